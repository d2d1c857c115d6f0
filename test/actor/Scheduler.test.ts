import { expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Effects from "effect/Scheduler"
import * as Scheduler from "../../src/actor/Scheduler.ts"

const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.provide(effect, Scheduler.layer)))

test("the scheduler of programs lets fibers take turns in the order in which they came", () =>
  run(
    Effect.gen(function* () {
      const said: Array<string> = []
      const speaker = (name: string) =>
        Effect.repeatN(
          Effect.zipRight(
            Effect.sync(() => said.push(name)),
            Effect.yieldNow()
          ),
          2
        )
      yield* Effect.all(["a", "b", "c"].map(speaker), { concurrency: "unbounded" })
      expect(said.join("")).toBe("abcabcabc")
    })
  ))

test("timers go on beside fibers that never rest", () =>
  run(
    Effect.gen(function* () {
      const busy = yield* Effect.forkAll(Array.from({ length: 50 }, () => Effect.forever(Effect.yieldNow())))
      const rang = yield* Deferred.make<boolean>()
      setTimeout(() => Deferred.unsafeDone(rang, Effect.succeed(true)), 1)
      expect(yield* Deferred.await(rang)).toBe(true)
      yield* Fiber.interruptFork(busy)
    })
  ))

test("every fiber that begins under the scheduler of programs runs on it", () =>
  run(
    Effect.gen(function* () {
      const own = yield* FiberRef.get(FiberRef.currentScheduler)
      const child = yield* Effect.flatMap(Effect.fork(FiberRef.get(FiberRef.currentScheduler)), Fiber.join)
      const apart = yield* Effect.flatMap(Effect.forkDaemon(FiberRef.get(FiberRef.currentScheduler)), Fiber.join)
      expect(child).toBe(own)
      expect(apart).toBe(own)
      expect(own).not.toBe(Effects.defaultScheduler)
    })
  ))
