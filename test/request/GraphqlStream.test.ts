import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Settings from "../../src/config/Settings.ts"
import { assemble } from "../../src/graphql/assemble.ts"
import * as Operations from "../../src/graphql/Operations.ts"
import { plain, subscription } from "../../src/graphql/Part.ts"
import * as Admission from "../../src/request/Admission.ts"
import * as GraphqlStream from "../../src/request/GraphqlStream.ts"
import { WithBody } from "../../src/request/Incoming.ts"
import { stallMillisMax } from "../../src/request/socketLimits.ts"
import { it } from "../kit/effect.ts"

const stats = { waiting: 1, matchesPerMinute: 1, waitMillisP50: 1, waitMillisP95: 1 }

const gate = {
  enter: () => Effect.succeed({ identity: { session: Option.none() }, quotas: [] }),
  again: () => Effect.succeed([]),
  identify: () => Effect.succeed({ session: Option.none() }),
  whenEnded: () => Effect.void
}

/** Streams of one event and then none, and a reader that took so many pieces before it stopped. */
const opened = (takes: number) =>
  Effect.gen(function* () {
    const settings = yield* Settings.Settings
    const schema = assemble([
      {
        Query: { queueStats: plain(() => stats) },
        Subscription: {
          queueStats: subscription(Schema.Struct({ everyMillis: Schema.Int }), () =>
            Effect.succeed(Stream.concat(Stream.make(stats), Stream.never))
          )
        }
      }
    ])
    const streams = yield* GraphqlStream.make({
      operations: Operations.make(schema, settings),
      gate,
      admission: yield* Admission.make(settings.overload),
      http: settings.http
    })
    const outcome = streams.handler({
      method: "POST",
      path: "/graphql/stream",
      search: "",
      header: (name) => ({ "content-type": "application/json", accept: "text/event-stream" })[name],
      peer: "127.0.0.1",
      secure: false
    })
    if (!(outcome instanceof WithBody)) return yield* Effect.dieMessage("refused")
    const reply = outcome.next(JSON.stringify({ query: "subscription { queueStats { waiting } }" }))
    const answer = Effect.isEffect(reply) ? yield* reply : reply
    if (answer.body === null || typeof answer.body !== "object" || !("open" in answer.body)) {
      return yield* Effect.dieMessage("no stream")
    }
    const sent: Array<string> = []
    const reader = { isOver: false, sent }
    answer.body.open({
      send: (text) => {
        sent.push(text)
        return sent.length > takes ? new Promise(() => {}) : undefined
      },
      end: () => {
        reader.isOver = true
      }
    })
    yield* TestClock.adjust("1 millis")
    return { streams, reader }
  }).pipe(Effect.provide(Settings.layerTest()))

it("a quiet stream says now and then that it is there", () =>
  Effect.gen(function* () {
    const { reader } = yield* opened(Infinity)
    yield* TestClock.adjust("40 seconds")
    const pings = reader.sent.filter((text) => text === ":\n\n")
    expect(pings.length).toBeGreaterThanOrEqual(2)
    expect(reader.sent.length - pings.length).toBe(1)
    expect(reader.isOver).toBe(false)
  }))

it("a reader that takes nothing for too long is cut off", () =>
  Effect.gen(function* () {
    const { reader, streams } = yield* opened(0)
    yield* TestClock.adjust("15 seconds")
    expect([reader.isOver, streams.size()]).toEqual([false, 1])
    yield* TestClock.adjust(stallMillisMax * 2)
    expect([reader.isOver, streams.size()]).toEqual([true, 0])
  }))

it("draining ends every stream without complete, and lets no more in", () =>
  Effect.gen(function* () {
    const { reader, streams } = yield* opened(Infinity)
    yield* streams.drain
    expect([reader.isOver, streams.size()]).toEqual([true, 0])
    expect(reader.sent.join("")).not.toContain("complete")
  }))
