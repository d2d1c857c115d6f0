import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Batcher from "../../src/request/Batcher.ts"
import { median } from "../kit.ts"

const ids = Array.from({ length: 20 }, (_, i) => i % 10)
const perRound = 6_400

/** Twenty loads of ten keys by one batcher, as an execution makes them: without a fiber of their own. One batch. */
const once = (): void => {
  const batcher = Batcher.make((keys: ReadonlyArray<number>) =>
    Effect.sync(() => new Map(keys.map((key) => [key, key * 2])))
  )
  let left = ids.length
  let opened: Batcher.Opened | undefined
  const caller: Batcher.Caller<unknown, never> = {
    runtime: () => Runtime.defaultRuntime,
    opened: (batch) => {
      opened = batch
    },
    succeeded: () => {
      left--
    },
    failed: (cause) => {
      throw new Error("A load failed", { cause })
    }
  }
  for (const id of ids) batcher.load(id).join(caller, id)
  opened?.begin()
  if (left > 0) throw new Error(`${left} of the loads are not there`)
}

const round = (): number => {
  const began = process.cpuUsage()
  for (let i = 0; i < perRound; i++) once()
  const used = process.cpuUsage(began)
  return (used.user + used.system) / perRound
}

/** CPU microseconds of twenty loads, batch included. */
export const twentyLoadsMicros = (): number => median(Array.from({ length: 12 }, round).slice(4))
