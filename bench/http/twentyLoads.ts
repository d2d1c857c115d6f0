import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Batcher from "../../src/request/Batcher.ts"
import { median } from "../kit.ts"

const ids = Array.from({ length: 20 }, (_, i) => i % 10)
const lanes = 64
const perRound = 6_400

/** Twenty loads of ten keys by one batcher, as resolvers make them: without a fiber of their own. One batch. */
const once = (done: () => void): void => {
  const batcher = Batcher.make((keys: ReadonlyArray<number>) =>
    Effect.sync(() => new Map(keys.map((key) => [key, key * 2])))
  )
  let left = ids.length
  for (const id of ids) {
    batcher.load(id).join(
      () => Runtime.defaultRuntime,
      () => {
        if (--left === 0) done()
      }
    )
  }
}

const round = (): Promise<number> =>
  new Promise((resolve) => {
    const began = process.cpuUsage()
    let started = lanes
    let finished = 0
    const next = (): void => {
      if (++finished === perRound) {
        const used = process.cpuUsage(began)
        return resolve((used.user + used.system) / perRound)
      }
      if (started++ < perRound) once(next)
    }
    for (let lane = 0; lane < lanes; lane++) once(next)
  })

/** CPU microseconds of twenty loads, batch included. */
export const twentyLoadsMicros = async (): Promise<number> => {
  const rounds: Array<number> = []
  for (let i = 0; i < 12; i++) rounds.push(await round())
  return median(rounds.slice(4))
}
