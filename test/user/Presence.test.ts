import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import * as fc from "fast-check"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import { UserId } from "../../src/domain/Ids.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as PresenceModule from "../../src/user/Presence.ts"
import { Presence } from "../../src/user/Presence.ts"
import * as UserActor from "../../src/user/UserActor.ts"
import { it } from "../kit/effect.ts"

const ada = UserId.make("0190b3a0-0000-7000-8000-000000000001")

/** No interaction anywhere. */
const layerNoSql = Layer.succeed(
  SqlClient.SqlClient,
  Object.assign(() => Effect.succeed([]), { literal: () => "" }) as unknown as SqlClient.SqlClient
)

const layer = PresenceModule.layer.pipe(
  Layer.provideMerge(UserActor.layer),
  Layer.provideMerge(Layer.mergeAll(ActorSystem.layerLocal, StoreMemory.layer, layerNoSql))
)

/** Lets actors take their messages. */
const settle = Effect.gen(function* () {
  for (let n = 0; n < 20; n++) yield* Effect.yieldNow()
})

const state = Effect.gen(function* () {
  yield* settle
  return (yield* (yield* Presence).of([ada], null)).get(ada)
})

/** In steps shorter than a heartbeat: the test clock wakes who sleeps at the end of a step, not in its middle. */
const pass = (seconds: number): Effect.Effect<void> =>
  seconds <= 0
    ? Effect.void
    : Effect.zipRight(
        Effect.zipRight(TestClock.adjust(`${Math.min(seconds, 5)} seconds`), settle),
        Effect.suspend(() => pass(seconds - 5))
      )

const connect = Effect.gen(function* () {
  const scope = yield* Scope.make()
  yield* Scope.extend((yield* Presence).connected(ada), scope)
  yield* settle
  return Effect.zipRight(Scope.close(scope, Exit.void), settle)
})

it("connected is ONLINE for as long as it lasts, then OFFLINE after a grace", () =>
  Effect.gen(function* () {
    expect(yield* state).toBe("OFFLINE")
    const disconnect = yield* connect
    expect(yield* state).toBe("ONLINE")
    yield* pass(120)
    expect(yield* state).toBe("ONLINE")
    yield* disconnect
    yield* pass(4)
    expect(yield* state).toBe("ONLINE")
    yield* pass(1)
    expect(yield* state).toBe("OFFLINE")
  }).pipe(Effect.provide(layer)))

it("closing one of two sockets leaves the person ONLINE", () =>
  Effect.gen(function* () {
    const first = yield* connect
    const second = yield* connect
    yield* first
    yield* pass(60)
    expect(yield* state).toBe("ONLINE")
    yield* second
    yield* pass(6)
    expect(yield* state).toBe("OFFLINE")
  }).pipe(Effect.provide(layer)))

it("silent for five minutes is AWAY, and one sign of life ends it", () =>
  Effect.gen(function* () {
    const disconnect = yield* connect
    yield* pass(299)
    expect(yield* state).toBe("ONLINE")
    yield* pass(11)
    expect(yield* state).toBe("AWAY")
    yield* (yield* Presence).touch(ada)
    expect(yield* state).toBe("ONLINE")
    yield* disconnect
  }).pipe(Effect.provide(layer)))

it("who is sent away is OFFLINE at once", () =>
  Effect.gen(function* () {
    const disconnect = yield* connect
    yield* (yield* Presence).leave(ada)
    expect(yield* state).toBe("OFFLINE")
    yield* disconnect
  }).pipe(Effect.provide(layer)))

it("whatever the order of connects and disconnects, ONLINE means a connection now or within the grace", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constant("connect"), fc.constant("disconnect"), fc.integer({ min: 1, max: 15 })), {
          maxLength: 12
        }),
        (plan) =>
          Effect.runPromise(
            Effect.gen(function* () {
              const open: Array<Effect.Effect<void>> = []
              let now = 0
              let lastSeen = -Infinity
              for (const step of plan) {
                if (step === "connect") open.push(yield* connect)
                else if (step === "disconnect") {
                  const close = open.shift()
                  if (close !== undefined) {
                    yield* close
                    if (open.length === 0) lastSeen = now
                  }
                } else {
                  yield* pass(step as number)
                  now += step as number
                }
                const there = open.length > 0 || now - lastSeen < UserActor.graceMillis / 1_000
                expect((yield* state) !== "OFFLINE").toBe(there)
              }
            }).pipe(Effect.provide(layer), Effect.scoped, Effect.provide(TestContext.TestContext))
          )
      ),
      { numRuns: 12 }
    )
  ))
