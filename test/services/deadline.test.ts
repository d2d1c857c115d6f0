import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import Pg from "pg"
import { searchMillisMax } from "../../src/user/UserSearch.ts"
import { Client } from "../kit/Client.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { startServer } from "../kit/server.ts"

const timeoutMillis = 500

const client = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const connected = new Pg.Client(url)
      await connected.connect()
      return connected
    }),
    (connected) => Effect.promise(() => connected.end())
  )

const guest = async (url: string): Promise<{ readonly token: string }> => {
  type Visit = { readonly signInAsGuest: { readonly token: string } }
  const { signInAsGuest } = await new Client(url).once<Visit>("mutation { signInAsGuest { token } }")
  return signInAsGuest
}

/** Statements of the program that wait for a lock. */
const waiting = async (watcher: Pg.Client): Promise<ReadonlyArray<string>> => {
  const { rows } = await watcher.query<{ readonly query: string }>(
    "select query from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
  )
  return rows.map(({ query }) => query)
}

/** Looks until it is so, for so long at most; how it was last. */
const until = async <A>(look: () => Promise<A>, isSo: (seen: A) => boolean, millisMax = 2_000): Promise<A> => {
  const end = performance.now() + millisMax
  for (;;) {
    const seen = await look()
    if (isSo(seen) || performance.now() > end) return seen
    await Bun.sleep(5)
  }
}

/** Who may wait so long, and how a server knows. */
const ways = {
  "a client that says": { env: {}, headers: { "connect-timeout-ms": String(timeoutMillis) } },
  "everybody by REQUEST_TIMEOUT": { env: { REQUEST_TIMEOUT: String(timeoutMillis) }, headers: {} }
} as const satisfies Readonly<Record<string, object>>

for (const [who, { env, headers }] of Object.entries(ways))
  it.live(
    `after its time, for ${who}, a request is answered, and Postgres does not go on with what it asked for`,
    () =>
      Effect.gen(function* () {
        const url = yield* Postgres.url
        const server = yield* Effect.acquireRelease(
          Effect.promise(() => startServer({ DATABASE_URL: url, ...env }, [process.execPath, "services/user.ts"])),
          (running) => Effect.promise(() => running.stop())
        )
        const locker = yield* client(url)
        const watcher = yield* client(url)
        // A read and a write.
        const asked = [
          `{ user(handle: "ada") { id } }`,
          `mutation { updateProfile(input: { bio: "Likes chess" }) { id } }`
        ]
        const { token } = yield* Effect.promise(() => guest(server.url))
        const ask = (query: string) =>
          fetch(`${server.url}/graphql`, {
            method: "POST",
            headers: {
              "content-type": "application/json",
              ...headers,
              authorization: `Bearer ${token}`
            },
            body: JSON.stringify({ query })
          })
        // What runs for the first time is not what is measured.
        yield* Effect.promise(() => Promise.all(asked.map(async (query) => (await ask(query)).text())))
        yield* Effect.promise(() => locker.query("begin; lock table users in access exclusive mode"))
        for (const query of asked) {
          const since = performance.now()
          const answering = ask(query)
          expect(
            yield* Effect.promise(() =>
              until(
                () => waiting(watcher),
                (all) => all.length > 0
              )
            )
          ).toHaveLength(1)
          const answer = yield* Effect.promise(() => answering)
          const took = performance.now() - since
          expect(answer.status).toBe(504)
          expect(yield* Effect.promise(() => answer.json())).toMatchObject({
            errors: [
              {
                message: `Not done within ${timeoutMillis} ms`,
                extensions: { code: "DEADLINE_EXCEEDED", retryable: true }
              }
            ]
          })
          expect(took).toBeWithin(timeoutMillis - 5, timeoutMillis + 200)
          // Nobody has let go of the lock: only a cancel ends them.
          expect(
            yield* Effect.promise(() =>
              until(
                () => waiting(watcher),
                (all) => all.length === 0
              )
            )
          ).toEqual([])
        }
        const search = (text: string) => `{ searchUsers(text: "${text}") { edges { cursor } } }`
        // A search is everybody's: it goes on for who asks next, but not for long.
        expect((yield* Effect.promise(() => ask(search("ada")))).status).toBe(504)
        expect(yield* Effect.promise(() => waiting(watcher))).toHaveLength(1)
        const left = () => waiting(watcher)
        const isNone = (all: ReadonlyArray<string>) => all.length === 0
        expect(yield* Effect.promise(() => until(left, isNone, searchMillisMax + 1_000))).toEqual([])
        yield* Effect.promise(() => locker.query("rollback"))
        for (const query of [...asked, search("ada")])
          expect((yield* Effect.promise(() => ask(query))).status).toBe(200)
      }),
    30_000
  )
