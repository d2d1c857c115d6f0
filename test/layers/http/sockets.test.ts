import { expect } from "bun:test"
import { Client, subscriptionExchange } from "@urql/core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type { Client as WsClient, ClientOptions } from "graphql-ws"
import { createClient } from "graphql-ws"
import { WebSocket } from "ws"
import * as Http from "../../../layers/Http.ts"
import { closeCodes, messageBytesMax, operationsPerSocketMax } from "../../../src/request/socketLimits.ts"
import { withLayer } from "../../kit/effect.ts"
import { Journal, reportBytes, server } from "./fixture.ts"

const socketUrl = Effect.map(Http.Address, ({ url }) => `${url.replace("http", "ws")}/graphql`)

const connect = (options: Partial<ClientOptions> = {}) =>
  Effect.acquireRelease(
    Effect.map(socketUrl, (url) => createClient({ url, retryAttempts: 0, webSocketImpl: WebSocket, ...options })),
    (client) => Effect.promise(() => Promise.resolve(client.dispose()))
  )

/** The first `count` answers of an operation. */
const answers = (client: WsClient, query: string, count: number) =>
  Effect.promise(async () => {
    const all: Array<unknown> = []
    for await (const answer of client.iterate({ query })) if (all.push(answer) === count) break
    return all
  })

/** How a socket ends that says these messages. */
const closing = (options: {
  readonly say?: ReadonlyArray<string | Uint8Array>
  readonly protocol?: string
  readonly headers?: Record<string, string>
}) =>
  Effect.flatMap(socketUrl, (url) =>
    Effect.async<{ readonly code: number; readonly reason: string }>((resume) => {
      const socket = new WebSocket(url, options.protocol ?? "graphql-transport-ws", { headers: options.headers ?? {} })
      socket.on("open", () => options.say?.forEach((message) => socket.send(message)))
      socket.on("close", (code, reason) => resume(Effect.succeed({ code, reason: reason.toString() })))
      socket.on("error", (error) => resume(Effect.succeed({ code: 0, reason: error.message })))
    })
  )

const token = Effect.gen(function* () {
  const { url } = yield* Http.Address
  const answer = yield* Effect.promise(() =>
    fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "mutation { signInAsGuest { token } }" })
    }).then((response) => response.json() as Promise<{ data: { signInAsGuest: { token: string } } }>)
  )
  return answer.data.signInAsGuest.token
})

const until = (claim: Effect.Effect<boolean, never, Journal>) =>
  Effect.repeat(claim, { until: (holds) => holds, schedule: Schedule.spaced("5 millis") }).pipe(
    Effect.timeout("5 seconds")
  )

const init = `{"type":"connection_init"}`
const subscribe = (id: number, query: string) => JSON.stringify({ id: `${id}`, type: "subscribe", payload: { query } })

withLayer("WebSocket /graphql", server(), (it) => {
  it("queries, mutations and subscriptions go over one socket", () =>
    Effect.gen(function* () {
      const client = yield* connect({ connectionParams: { token: yield* token } })
      expect(yield* answers(client, "{ viewer { role } }", 1)).toEqual([{ data: { viewer: { role: "USER" } } }])
      const signed = yield* answers(client, "mutation { signInAsGuest { token } }", 1)
      expect(signed).toEqual([{ data: { signInAsGuest: { token: expect.stringMatching(/^token-/) } } }])
      expect(yield* answers(client, "subscription { queueStats(everyMillis: 1) { waiting } }", 3)).toEqual(
        [0, 1, 2].map((waiting) => ({ data: { queueStats: { waiting } } }))
      )
    }))

  it("what a subscription holds open is closed when the client completes it and when the socket goes", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const client = yield* connect()
      const before = journal.closed
      yield* answers(client, "subscription { queueStats(everyMillis: 1) { waiting } }", 1)
      yield* until(Effect.map(Journal, ({ closed }) => closed === before + 1))
      const first = yield* Deferred.make<void>()
      const query = "subscription { queueStats(everyMillis: 1) { waiting } }"
      const sink = { next: () => Deferred.unsafeDone(first, Effect.void), error: () => {}, complete: () => {} }
      client.subscribe({ query }, sink)
      yield* Deferred.await(first)
      client.terminate()
      yield* until(Effect.map(Journal, ({ closed }) => closed === before + 2))
    }))

  it("a mutation is interrupted when its socket goes", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const before = journal.interrupted
      const socket = new WebSocket(yield* socketUrl, "graphql-transport-ws")
      socket.on("open", () => socket.send(init))
      socket.on("message", () => {
        socket.send(subscribe(1, "mutation { leaveQueue }"))
        socket.send(`{"type":"ping"}`)
        socket.on("message", () => socket.terminate())
      })
      yield* until(Effect.map(Journal, ({ interrupted }) => interrupted === before + 1))
    }))

  it("failures keep their codes: before, during and after a subscription's events", () =>
    Effect.gen(function* () {
      const failing = (query: string, options: Partial<ClientOptions> = {}) =>
        Effect.gen(function* () {
          const client = yield* connect(options)
          const seen: Array<unknown> = []
          const error = yield* Effect.promise(async () => {
            try {
              for await (const answer of client.iterate({ query })) seen.push(answer)
            } catch (thrown) {
              return thrown as ReadonlyArray<{ extensions: { code: string } }>
            }
            return []
          })
          return [seen.length, error[0]?.extensions.code]
        })
      expect(yield* failing("{ nothing }")).toEqual([0, "VALIDATION_FAILED"])
      expect(yield* failing("{")).toEqual([0, "BAD_REQUEST"])
      expect(yield* failing("subscription { inbox { __typename } }")).toEqual([0, "UNAUTHENTICATED"])
      expect(yield* failing("subscription { queueStats(everyMillis: 0) { waiting } }")).toEqual([
        0,
        "VALIDATION_FAILED"
      ])
      const signed = { connectionParams: { token: yield* token } }
      expect(yield* failing("subscription { inbox { __typename } }", signed)).toEqual([1, "SESSION_EXPIRED"])
      const client = yield* connect()
      const [answer] = yield* answers(client, "{ viewer { role } }", 1)
      expect(answer).toMatchObject({ data: { viewer: null }, errors: [{ extensions: { code: "UNAUTHENTICATED" } }] })
    }))

  it("a dead token does not connect, and a session that ends closes its socket", () =>
    Effect.gen(function* () {
      const dead = yield* closing({ say: [`{"type":"connection_init","payload":{"token":"none"}}`] })
      expect(dead).toEqual({ code: closeCodes.unauthorized, reason: "The session has ended: sign in again" })
      const alive = yield* token
      const open = yield* Effect.fork(
        closing({
          say: [
            JSON.stringify({ type: "connection_init", payload: { token: alive } }),
            subscribe(1, "subscription { queueStats(everyMillis: 1) { waiting } }")
          ]
        })
      )
      const { url } = yield* Http.Address
      yield* Effect.sleep("50 millis")
      yield* Effect.promise(() =>
        fetch(`${url}/graphql`, {
          method: "POST",
          headers: { "content-type": "application/json", authorization: `Bearer ${alive}` },
          body: `{"query":"mutation { signOut }"}`
        })
      )
      expect(yield* Fiber.join(open)).toEqual({
        code: closeCodes.forbidden,
        reason: "The session has ended: signed_out"
      })
    }))

  it("each operation on a socket is a use of its session", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const client = yield* connect({ connectionParams: { token: yield* token }, lazy: false })
      for (let n = 0; n < 3; n++) {
        const before = journal.sessionsUsed
        yield* answers(client, "{ viewer { role } }", 1)
        expect(journal.sessionsUsed).toBeGreaterThan(before)
      }
    }))

  it("the cookie connects from our own origin; another origin does not connect at all", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const cookie = `connect_session=${yield* token}`
      const ask = (origin: string) =>
        Effect.flatMap(socketUrl, (at) =>
          Effect.async<string>((resume) => {
            const socket = new WebSocket(at, "graphql-transport-ws", { headers: { cookie, origin } })
            socket.on("open", () => socket.send(init))
            socket.on("message", (data) => {
              const message = JSON.parse(String(data))
              if (message.type === "connection_ack") return socket.send(subscribe(1, "{ viewer { role } }"))
              socket.close()
              resume(Effect.succeed(JSON.stringify(message.payload)))
            })
            socket.on("error", (error) => resume(Effect.succeed(error.message)))
          })
        )
      expect(yield* ask(url)).toBe(`{"data":{"viewer":{"role":"USER"}}}`)
      expect(yield* ask("https://evil.example")).toContain("403")
    }))

  it("closes sockets that do not keep to the protocol or its bounds", () =>
    Effect.gen(function* () {
      const query = "subscription { queueStats(everyMillis: 60000) { waiting } }"
      const codes = yield* Effect.forEach(
        [
          { say: ["{"] },
          { say: [init, `{"type":"next","id":"1","payload":{}}`] },
          { say: [init, init] },
          { say: [subscribe(1, query)] },
          { say: [new Uint8Array(3)] },
          { say: ["x".repeat(messageBytesMax + 1)] },
          {}
        ],
        closing,
        { concurrency: "unbounded" }
      )
      expect(codes.map(({ code }) => code)).toEqual([4400, 4400, 4429, 4401, 1003, expect.any(Number), 4408])
      expect([1006, 1009]).toContain(codes[5]!.code)
      expect((yield* closing({ protocol: "graphql-ws" })).code).not.toBe(1000)
    }))

  it("one more operation than a socket may have is refused, the others go on", () =>
    Effect.gen(function* () {
      const query = "subscription { queueStats(everyMillis: 60000) { waiting } }"
      const refused = yield* Effect.flatMap(socketUrl, (url) =>
        Effect.async<{ readonly id: string; readonly payload: ReadonlyArray<{ readonly message: string }> }>(
          (resume) => {
            const socket = new WebSocket(url, "graphql-transport-ws")
            socket.on("open", () => socket.send(init))
            socket.on("message", (data) => {
              const message = JSON.parse(String(data))
              if (message.type === "connection_ack") {
                for (let id = 0; id <= operationsPerSocketMax; id++) socket.send(subscribe(id, query))
              } else {
                socket.terminate()
                resume(Effect.succeed(message))
              }
            })
          }
        )
      )
      expect(refused.id).toBe(`${operationsPerSocketMax}`)
      expect(refused.payload[0]?.message).toContain(`${operationsPerSocketMax} operations`)
    }))

  it("a reader that stops reading stops its subscription, and goes on when it reads again", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const socket = new WebSocket(yield* socketUrl, "graphql-transport-ws")
      yield* Effect.addFinalizer(() => Effect.sync(() => socket.terminate()))
      socket.on("open", () => socket.send(init))
      socket.once("message", () => socket.send(subscribe(1, "subscription { moderationFeed { details } }")))
      const settled = Effect.gen(function* () {
        const before = journal.reports
        yield* Effect.sleep("300 millis")
        return before > 0 && journal.reports === before
      })
      socket.once("message", () => socket.pause())
      yield* until(settled)
      const stopped = journal.reports
      expect(stopped * reportBytes).toBeLessThan(64 * 1_048_576)
      socket.resume()
      yield* until(Effect.map(Journal, ({ reports }) => reports > stopped + 20))
    }))

  it("a reader that stops reading many subscriptions is cut off", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const before = journal.feedsOpened
      const socket = new WebSocket(yield* socketUrl, "graphql-transport-ws")
      yield* Effect.addFinalizer(() => Effect.sync(() => socket.terminate()))
      socket.on("open", () => socket.send(init))
      socket.once("message", () => {
        for (let id = 0; id < 40; id++) socket.send(subscribe(id, "subscription { moderationFeed { details } }"))
        socket.pause()
      })
      yield* until(Effect.sync(() => journal.feedsOpened > before && journal.feedsOpened === journal.feedsClosed))
    }))

  it("urql subscribes through graphql-ws", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const socket = yield* connect()
      const client = new Client({
        url: `${url}/graphql`,
        preferGetMethod: false,
        exchanges: [
          subscriptionExchange({
            forwardSubscription: (request) => ({
              subscribe: (sink) => ({
                unsubscribe: socket.subscribe({ ...request, query: request.query ?? "" } as never, sink as never)
              })
            })
          })
        ]
      })
      const seen = yield* Effect.async<ReadonlyArray<unknown>>((resume) => {
        const all: Array<unknown> = []
        const { unsubscribe } = client
          .subscription("subscription { queueStats(everyMillis: 1) { waiting } }", {})
          .subscribe((result) => {
            if (all.push(result.data) < 2) return
            resume(Effect.succeed(all))
            unsubscribe()
          })
      })
      expect(seen).toEqual([{ queueStats: { waiting: 0 } }, { queueStats: { waiting: 1 } }])
    }))
})

const proxied = server((settings) => ({ ...settings, http: { ...settings.http, trustedProxies: ["127.0.0.1"] } }))

withLayer("WebSocket /graphql, with limits", proxied, (it) => {
  it("an address that may ask no more does not connect, and its token is not looked for", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const say = [`{"type":"connection_init","payload":{"token":"none"}}`]
      const before = journal.sessionsUsed
      const refused = yield* closing({ say, headers: { "x-forwarded-for": "203.0.113.9" } })
      expect(refused.code).toBe(closeCodes.tryLater)
      expect(journal.sessionsUsed).toBe(before)
      expect((yield* closing({ say, headers: { "x-forwarded-for": "203.0.113.8" } })).code).toBe(
        closeCodes.unauthorized
      )
      expect(journal.sessionsUsed).toBe(before + 1)
    }))
})
