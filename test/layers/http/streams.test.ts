import { connect } from "node:net"
import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { createClient } from "graphql-sse"
import * as Http from "../../../layers/Http.ts"
import { withLayer } from "../../kit/effect.ts"
import { Journal, server } from "./fixture.ts"

const clientOf = (url: string, headers: Record<string, string> = {}) =>
  createClient({ url: `${url}/graphql/stream`, retryAttempts: 0, headers })

/** The first so many results, then the client leaves. */
const take = (url: string, query: string, count: number, headers: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const client = clientOf(url, headers)
    const results: Array<unknown> = []
    for await (const result of client.iterate({ query })) {
      results.push(result)
      if (results.length === count) break
    }
    client.dispose()
    return results
  })

const eventually = (holds: () => boolean) =>
  Effect.repeat(Effect.sync(holds), { until: (it) => it, schedule: Schedule.spaced("5 millis") }).pipe(
    Effect.timeout("10 seconds")
  )

const signIn = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "mutation { signInAsGuest { token } }" })
    })
    const body = (await response.json()) as { readonly data: { readonly signInAsGuest: { readonly token: string } } }
    return { authorization: `Bearer ${body.data.signInAsGuest.token}` }
  })

withLayer("GraphQL over server-sent events", server(), (it) => {
  it("graphql-sse subscribes, and what it leaves is closed", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const journal = yield* Journal
      const closed = journal.closed
      const results = yield* take(url, "subscription { queueStats(everyMillis: 5) { waiting } }", 3)
      expect(results).toEqual([0, 1, 2].map((waiting) => ({ data: { queueStats: { waiting } } })))
      yield* eventually(() => journal.closed === closed + 1)
    }))

  it("queries and mutations are answered once, and completed", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      expect(yield* take(url, "{ queueStats { waiting } }", 9)).toEqual([{ data: { queueStats: { waiting: 3 } } }])
      expect(yield* take(url, "mutation { revokeAllSessions }", 9)).toEqual([{ data: { revokeAllSessions: 7 } }])
    }))

  it("what cannot run is said in the stream", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const [invalid] = yield* take(url, "{ nothing }", 1)
      expect(invalid).toMatchObject({ errors: [{ extensions: { code: "VALIDATION_FAILED" } }] })
      const [anonymous] = yield* take(url, "subscription { inbox { __typename } }", 1)
      expect(anonymous).toMatchObject({ errors: [{ extensions: { code: "UNAUTHENTICATED" } }] })
    }))

  it("a session that ends takes its stream along", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const headers = yield* signIn(url)
      const client = clientOf(url, headers)
      const results = yield* Effect.fork(
        Effect.promise(async () => {
          const seen: Array<unknown> = []
          for await (const one of client.iterate({
            query: "subscription { queueStats(everyMillis: 20) { waiting } }"
          })) {
            seen.push(one)
            if (seen.length === 1) {
              await fetch(`${url}/graphql`, {
                method: "POST",
                headers: { "content-type": "application/json", ...headers },
                body: JSON.stringify({ query: "mutation { signOut }" })
              })
            }
          }
          return seen
        })
      )
      const seen = yield* results.await
      const last = seen._tag === "Success" ? seen.value.at(-1) : undefined
      expect(last).toMatchObject({ errors: [{ extensions: { code: "SESSION_EXPIRED" } }] })
    }))

  it("a reader that does not read holds back its stream and not the server's memory", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const journal = yield* Journal
      const { hostname, port } = new URL(url)
      const body = JSON.stringify({ query: "subscription { moderationFeed { details } }" })
      const [reports, closed] = [journal.reports, journal.feedsClosed]
      const socket = connect(Number(port), hostname)
      socket.pause()
      socket.write(
        `POST /graphql/stream HTTP/1.1\r\nhost: ${hostname}:${port}\r\naccept: text/event-stream\r\n` +
          `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
      )
      yield* eventually(() => journal.reports > reports)
      let before = -1
      yield* Effect.repeat(
        Effect.sync(() => {
          const isStill = journal.reports === before
          before = journal.reports
          return isStill
        }),
        { until: (still) => still, schedule: Schedule.spaced("100 millis") }
      ).pipe(Effect.timeout("10 seconds"))
      // What the kernel's buffers take, and not much more: each report is 64 KiB.
      expect(journal.reports - reports).toBeLessThan(200)
      socket.destroy()
      yield* eventually(() => journal.feedsClosed === closed + 1)
    }))

  it("is refused where it is not asked for as it should be", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const status = (init: RequestInit, search = "") =>
        Effect.promise(() => fetch(`${url}/graphql/stream${search}`, init).then((response) => response.status))
      const accept = "text/event-stream"
      expect(yield* status({ method: "PUT", headers: { accept } })).toBe(405)
      expect(yield* status({ headers: { accept: "image/png" } }, "?query={a}")).toBe(406)
      expect(yield* status({ method: "POST", headers: { accept }, body: "{}" })).toBe(415)
      expect(yield* status({ headers: { accept } }, "?query=mutation{signOut}")).toBe(405)
    }))
})
