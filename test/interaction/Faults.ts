import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broadcast, type Heard } from "../../src/broadcast/Broadcast.ts"

/** Numbers from 0 to 1 that a seed repeats. */
export const chance = (seed: number) => {
  let state = seed >>> 0 || 1
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** What a fault harness decides with; changed between runs. */
export interface Dice {
  next: () => number
  /** Share of commits whose connection is lost: half of them before the statement runs, half after it has committed. */
  commitsLost: number
  /** Shares of the signals that one subscriber does not get, or gets twice. */
  signalsLost: number
  signalsDoubled: number
}

export const fair = (): Dice => ({ next: chance(1), commitsLost: 0, signalsLost: 0, signalsDoubled: 0 })

const lost = Effect.fail(new SqlError({ cause: { code: "ECONNRESET", message: "connection reset" } }))

const isCommit = (args: ReadonlyArray<unknown>): boolean =>
  Array.isArray(args[0]) && String(args[0][0]).includes("with wanted")

/** The same database, over a connection that breaks in the middle of commits. */
export const layerBreaking = (dice: Dice) =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.map(
      SqlClient.SqlClient,
      (sql) =>
        new Proxy(sql, {
          apply: (target, self, args) => {
            const statement: Effect.Effect<unknown, SqlError> = Reflect.apply(target as never, self, args)
            if (!isCommit(args)) return statement
            return Effect.suspend(() => {
              if (dice.next() >= dice.commitsLost) return statement
              return dice.next() < 0.5 ? lost : Effect.zipRight(statement, lost)
            })
          }
        })
    )
  )

/** A broadcast that loses and doubles signals without a word, until `gap` tells everyone that they may have missed some. */
export const lossyBroadcast = (dice: Dice) => {
  const topics = new Map<string, Set<Heard<unknown>>>()
  const of = (topic: string) => {
    const found = topics.get(topic) ?? new Set()
    topics.set(topic, found)
    return found
  }
  const offer = (heard: Heard<unknown>, message: unknown) => {
    const roll = dice.next()
    if (roll < dice.signalsLost) return
    const times = roll < dice.signalsLost + dice.signalsDoubled ? 2 : 1
    for (let n = 0; n < times; n++) heard({ _tag: "Message", message })
  }
  const layer = Layer.succeed(Broadcast, {
    publish: (topic, message) =>
      Effect.sync(() => {
        for (const heard of of(topic)) offer(heard, message)
      }),
    listen: <A>(topic: string, heard: Heard<A>) =>
      Effect.acquireRelease(
        Effect.sync(() => of(topic).add(heard as Heard<unknown>)),
        () => Effect.sync(() => of(topic).delete(heard as Heard<unknown>))
      )
  })
  const gap = Effect.sync(() => {
    for (const listeners of topics.values()) for (const heard of listeners) heard({ _tag: "Gap" })
  })
  return { layer, gap }
}
