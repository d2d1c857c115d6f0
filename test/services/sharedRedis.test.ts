import { expect } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { percentile } from "../../bench/kit.ts"
import { Client } from "../kit/Client.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Redis from "../kit/Redis.ts"
import { type Server, startServer } from "../kit/server.ts"

/** Two gateways that share a Postgres and a Redis, and somebody who has signed up. */
class Nodes extends Context.Tag("test/services/Nodes")<
  Nodes,
  {
    readonly redis: Redis.Instance
    readonly servers: readonly [Server, Server]
    readonly clients: readonly [Client, Client]
    readonly userId: string
  }
>() {
  static readonly layer = Layer.scoped(
    Nodes,
    Effect.gen(function* () {
      const redis = yield* Redis.start("--enable-protected-configs", "yes")
      const env = {
        DATABASE_URL: yield* Postgres.url,
        REDIS_HOST: redis.host,
        REDIS_PORT: String(redis.port),
        ENABLE_RESPONSE_CACHE: "true"
      }
      const server = Effect.acquireRelease(
        Effect.promise(() => startServer(env)),
        (started) => Effect.promise(() => started.stop())
      )
      // The first makes the tables.
      const servers = [yield* server, yield* server] as const
      const { token, viewer } = yield* Effect.promise(async () => {
        const query = `mutation { signUp(handle: "ada", password: "correct horse") { token viewer { user { id } } } }`
        return (
          await new Client(servers[0].url).once<{ signUp: { token: string; viewer: { user: { id: string } } } }>(query)
        ).signUp
      })
      const [a, b] = servers.map(({ url }) => new Client(url, token))
      return { redis, servers, clients: [a!, b!] as const, userId: viewer.user.id }
    })
  )
}

/** The sum of a metric's series that have these labels. */
const counted = async ({ url }: Server, name: string, labels = ""): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text()
  return text
    .split("\n")
    .filter((line) => line.startsWith(name) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)
}

const nameOf = async (client: Client, id: string): Promise<string> => {
  const query = "query ($id: ID!) { user(id: $id) { displayName } }"
  return (await client.once<{ user: { displayName: string } }>(query, { id })).user.displayName
}

const rename = (client: Client, displayName: string) =>
  client.once("mutation ($input: ProfileInput!) { updateProfile(input: $input) { id } }", { input: { displayName } })

/** A request may take this long on Redis, whatever is wrong with it. */
const waitMillisMax = 250

/** Requests that read and write; how long each took, in milliseconds. A failed one throws. */
const requests = async (client: Client, count: number): Promise<ReadonlyArray<number>> => {
  const waits: Array<number> = []
  for (let n = 0; n < count; n++) {
    const began = performance.now()
    await (n % 2 === 0
      ? client.once("{ viewer { role user { displayName } sessions { id } } }")
      : rename(client, `Ada ${n}`))
    waits.push(performance.now() - began)
  }
  return waits
}

interface Fault {
  readonly what: string
  readonly begin: (redis: Redis.Instance) => Effect.Effect<unknown>
  readonly end: (redis: Redis.Instance) => Effect.Effect<unknown>
}

const folder = mkdtempSync(join(tmpdir(), "connect-full-"))
const gone = join(folder, "gone")

const status = (redis: Redis.Instance, wanted: "ok" | "err") =>
  Effect.repeat(Effect.zipRight(redis.command("BGSAVE"), redis.command("INFO", "persistence")), {
    until: (info) => info.includes(`rdb_last_bgsave_status:${wanted}`),
    schedule: Schedule.spaced("20 millis")
  })

const faults: ReadonlyArray<Fault> = [
  { what: "killed", begin: (redis) => redis.kill, end: (redis) => redis.restart },
  { what: "stopped", begin: (redis) => redis.pause, end: (redis) => redis.resume },
  {
    what: "out of memory",
    begin: (redis) =>
      Effect.all([
        redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction"),
        redis.command("CONFIG", "SET", "maxmemory", "1")
      ]),
    end: (redis) => redis.command("CONFIG", "SET", "maxmemory", "128mb")
  },
  {
    what: "on a disk that takes nothing",
    begin: (redis) =>
      Effect.gen(function* () {
        mkdirSync(gone)
        yield* redis.command("CONFIG", "SET", "save", "3600 1")
        yield* redis.command("CONFIG", "SET", "dir", gone)
        rmSync(gone, { recursive: true })
        yield* status(redis, "err")
      }),
    end: (redis) => Effect.zipRight(redis.command("CONFIG", "SET", "dir", folder), status(redis, "ok"))
  }
]

withLayer(
  "two gateways on one Redis",
  Nodes.layer,
  (test) => {
    test("an answer that one has kept is forgotten when the other changes what it was made of", () =>
      Effect.gen(function* () {
        const { clients, servers, userId } = yield* Nodes
        const [a, b] = clients
        const late: Array<number> = []
        yield* Effect.promise(async () => {
          for (let n = 0; n < 20; n++) {
            const before = await nameOf(a, userId)
            const hits = await counted(servers[0], "connect_cache_hits_total", 'cache="response"')
            expect(await nameOf(a, userId)).toBe(before)
            expect(await counted(servers[0], "connect_cache_hits_total", 'cache="response"')).toBe(hits + 1)
            const name = `Ada the ${n}th`
            await rename(b, name)
            const changed = performance.now()
            // When the first look began that saw it.
            let asked = changed
            while ((await nameOf(a, userId)) !== name) asked = performance.now()
            late.push(asked - changed)
          }
        })
        expect(percentile(late, 0.5)).toBeLessThan(5)
        expect(percentile(late, 0.95)).toBeLessThan(waitMillisMax)
      }))

    for (const { begin, end, what } of faults) {
      test(`with a Redis that is ${what} requests are answered from Postgres, none waits for long, and it recovers`, () =>
        Effect.gen(function* () {
          const { clients, redis, servers } = yield* Nodes
          const failures = () =>
            Effect.promise(() => counted(servers[0], "connect_store_commands_total", 'outcome="failed"'))
          yield* Effect.promise(() => requests(clients[0], 6))
          const before = yield* failures()
          yield* begin(redis)
          const waits = yield* Effect.promise(() => requests(clients[0], 20))
          expect(percentile(waits, 0.9)).toBeLessThan(waitMillisMax)
          expect(yield* failures()).toBeGreaterThan(before)
          yield* end(redis)
          // Without a restart: a second later the store is used again, and nothing fails any more.
          const quiet = Effect.gen(function* () {
            const from = yield* failures()
            yield* Effect.promise(() => requests(clients[0], 10))
            return (yield* failures()) - from
          })
          yield* Effect.repeat(quiet, {
            until: (failed) => failed === 0,
            schedule: Schedule.spaced("100 millis")
          }).pipe(Effect.timeout("10 seconds"))
        }))
    }
  },
  60_000
)

process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
