import { expect } from "bun:test"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { WebSocket } from "ws"
import * as Http from "../../../layers/Http.ts"
import type { Shape } from "../../../src/config/Settings.ts"
import { StartupError } from "../../../src/config/StartupError.ts"
import { it } from "../../kit/effect.ts"
import { Journal, server } from "./fixture.ts"

const http = (change: Partial<Shape["http"]>) => (settings: Shape) => ({
  ...settings,
  http: { ...settings.http, ...change }
})

/** A server in a scope of its own, for the test to close. */
const start = (change: Partial<Shape["http"]>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(server(http(change)), scope)
    const { url } = Context.get(context, Http.Address)
    return { url, journal: Context.get(context, Journal), stop: Scope.close(scope, Exit.void) }
  })

const post = (url: string, query: string, signal?: AbortSignal, headers: Readonly<Record<string, string>> = {}) =>
  Effect.promise(() =>
    fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ query }),
      ...(signal === undefined ? {} : { signal })
    }).then(
      async (response) => ({ status: response.status, text: await response.text(), headers: response.headers }),
      () => ({ status: 0, text: "", headers: new Headers() })
    )
  )

const slow = "mutation { revokeAllSessions }"

it.live("draining finishes what is in flight, refuses what comes, sends sockets away, then stops", () =>
  Effect.gen(function* () {
    const { url, stop } = yield* start({ drainTimeout: Duration.seconds(5) })
    const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, "graphql-transport-ws")
    yield* Effect.async<void>((resume) => void socket.on("open", () => resume(Effect.void)))
    const closed = Effect.async<number>((resume) => void socket.on("close", (code) => resume(Effect.succeed(code))))
    const inFlight = yield* Effect.fork(post(url, slow))
    const left = yield* Effect.fork(closed)
    yield* Effect.sleep("50 millis")
    const stopping = yield* Effect.fork(stop)
    expect(yield* Fiber.join(left)).toBe(1012)
    const refused = yield* post(url, "{ queueStats { waiting } }")
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"])
    const ready = yield* Effect.promise(() => fetch(`${url}/health/ready`))
    expect(ready.status).toBe(503)
    expect(yield* Fiber.join(inFlight)).toMatchObject({ status: 200, text: `{"data":{"revokeAllSessions":7}}` })
    yield* Fiber.join(stopping)
    expect((yield* post(url, "{ queueStats { waiting } }")).status).toBe(0)
  })
)

it.live("what is not done when draining ends is interrupted and answered", () =>
  Effect.gen(function* () {
    const { url, stop, journal } = yield* start({ drainTimeout: Duration.millis(50) })
    const inFlight = yield* Effect.fork(post(url, "mutation { leaveQueue }"))
    yield* Effect.sleep("50 millis")
    yield* stop
    expect((yield* Fiber.join(inFlight)).status).toBe(503)
    expect(journal.interrupted).toBe(1)
  })
)

it.live("a request that is not done by its deadline is interrupted and told so", () =>
  Effect.gen(function* () {
    const { url, stop, journal } = yield* start({ requestTimeout: Duration.millis(100) })
    const answer = yield* post(url, "mutation { leaveQueue }")
    expect(answer.status).toBe(504)
    expect(JSON.parse(answer.text).errors[0]).toMatchObject({
      message: "Not done within 100 ms",
      extensions: { code: "DEADLINE_EXCEEDED", retryable: true }
    })
    expect(journal.interrupted).toBe(1)
    yield* stop
  })
)

it.live("a client may give less time, and is told when that is over; what is no time is refused", () =>
  Effect.gen(function* () {
    const { url, stop, journal } = yield* start({ requestTimeout: Duration.seconds(10) })
    const since = performance.now()
    const answer = yield* post(url, "mutation { leaveQueue }", undefined, { "connect-timeout-ms": "120" })
    expect(performance.now() - since).toBeLessThan(2_000)
    expect(answer.status).toBe(504)
    expect(JSON.parse(answer.text).errors[0].extensions).toMatchObject({ code: "DEADLINE_EXCEEDED", retryable: true })
    expect(journal.interrupted).toBe(1)
    const wrong = yield* post(url, "{ queueStats { waiting } }", undefined, { "connect-timeout-ms": "soon" })
    expect(wrong.status).toBe(400)
    expect(JSON.parse(wrong.text).errors[0].message).toContain("Connect-Timeout-Ms")
    yield* stop
  })
)

it.live("before it refuses, a server that leaves serves on with ready red, and ends each connection", () =>
  Effect.gen(function* () {
    const { url, stop } = yield* start({ drainGrace: Duration.millis(400) })
    const stopping = yield* Effect.fork(stop)
    yield* Effect.sleep("50 millis")
    const ready = yield* Effect.promise(() => fetch(`${url}/health/ready`))
    expect([ready.status, ready.headers.get("connection")]).toEqual([503, "close"])
    const served = yield* post(url, "{ queueStats { waiting } }")
    expect([served.status, served.headers.get("connection")]).toEqual([200, "close"])
    yield* Fiber.join(stopping)
    expect((yield* post(url, "{ queueStats { waiting } }")).status).toBe(0)
  })
)

it.live("where no place is free a request is refused with Retry-After, and health is answered", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      server((settings) => ({
        ...http({ drainTimeout: Duration.millis(50) })(settings),
        overload: { ...settings.overload, placesMin: 1, placesMax: 1 }
      })),
      scope
    )
    const { url } = Context.get(context, Http.Address)
    expect((yield* post(url, "{ queueStats { waiting } }")).status).toBe(200)
    const held = yield* Effect.fork(post(url, "mutation { leaveQueue }"))
    yield* Effect.sleep("50 millis")
    const shed = yield* Effect.all(
      Array.from({ length: 10 }, () => post(url, "{ queueStats { waiting } }")),
      {
        concurrency: "unbounded"
      }
    )
    for (const { headers, status, text } of shed) {
      expect(status).toBe(503)
      expect(Number(headers.get("retry-after"))).toBeWithin(1, 4)
      expect(JSON.parse(text).errors[0].extensions).toMatchObject({ code: "OVERLOADED", retryable: true })
    }
    expect((yield* Effect.promise(() => fetch(`${url}/health/ready`))).status).toBe(200)
    yield* Scope.close(scope, Exit.void)
    yield* Fiber.join(held)
  })
)

it.live("a request whose client has gone is interrupted", () =>
  Effect.gen(function* () {
    const { url, stop, journal } = yield* start({})
    const abort = new AbortController()
    const asked = yield* Effect.fork(post(url, "mutation { leaveQueue }", abort.signal))
    yield* Effect.sleep("100 millis")
    abort.abort()
    yield* Fiber.join(asked)
    yield* Effect.repeat(
      Effect.sync(() => journal.interrupted),
      {
        until: (n) => n === 1,
        schedule: Schedule.spaced("5 millis")
      }
    ).pipe(Effect.timeout("5 seconds"))
    yield* stop
  })
)

it.live("whenever clients go away, each gives its place back", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const places = 2
    const context = yield* Layer.buildWithScope(
      server((settings) => ({
        ...http({ drainTimeout: Duration.millis(50) })(settings),
        overload: { ...settings.overload, placesMin: places, placesMax: places }
      })),
      scope
    )
    const { url } = Context.get(context, Http.Address)
    const stuck = "mutation { leaveQueue }"
    // Some are let in and some wait; each goes at another moment, from before it has come to long after.
    yield* Effect.forEach(
      Array.from({ length: 300 }, (_, n) => n),
      (n) => {
        const abort = new AbortController()
        return Effect.zipRight(
          Effect.zipRight(
            Effect.sync(() => void setTimeout(() => abort.abort(), (n * 7) % 20)),
            post(url, stuck, abort.signal)
          ),
          n % 3 === 0 ? post(url, "{ queueStats { waiting } }") : Effect.void
        )
      },
      { concurrency: 12, discard: true }
    )
    const held = yield* Effect.replicateEffect(Effect.fork(post(url, stuck)), places)
    // Nobody else finds a place now, and those two have theirs.
    yield* Effect.repeat(post(url, "{ queueStats { waiting } }"), {
      until: ({ status }) => status === 503,
      schedule: Schedule.spaced("5 millis")
    }).pipe(Effect.timeout("5 seconds"))
    yield* Effect.sleep("100 millis")
    for (const fiber of held) expect(Option.isNone(yield* Fiber.poll(fiber))).toBe(true)
    yield* Scope.close(scope, Exit.void)
    for (const { status } of yield* Fiber.joinAll(held)) expect(status).toBe(503)
  })
)

it.live("a port in use is named with what to do about it", () =>
  Effect.gen(function* () {
    const { url, stop } = yield* start({})
    const port = Number(new URL(url).port)
    const second = yield* Effect.exit(Effect.scoped(Layer.build(server(http({ port: Option.some(port) })))))
    expect(second).toEqual(
      Exit.fail(
        new StartupError({
          what: "The port is in use",
          where: url,
          fix: "Stop what listens there, or set PORT to another port (PORT=0 takes a free one); HOST is the address."
        })
      )
    )
    yield* stop
  })
)
