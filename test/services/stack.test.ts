import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Client, GraphqlFailure } from "../kit/Client.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Redis from "../kit/Redis.ts"
import { type Server, startServer } from "../kit/server.ts"
import { twoMatched, twoPeopleTalk } from "../kit/talk.ts"

/** A program on a real Redis and a real Postgres, stopped with the scope. */
const program = (name: string, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(() => startServer(env, [process.execPath, `services/${name}.ts`])),
    (server) => Effect.promise(() => server.stop())
  )

const stack = Effect.gen(function* () {
  const redis = yield* Redis.start()
  const url = yield* Postgres.emptyUrl
  return {
    redis,
    env: { DATABASE_URL: url, REDIS_HOST: redis.host, REDIS_PORT: String(redis.port), QUEUE_INTERVAL: "500" }
  }
})

const operations = {
  user: ["viewer", "searchUsers", "signUp", "updateProfile", "block"],
  queuing: ["queueStats", "joinQueue", "leaveQueue", "inbox"],
  interaction: ["interaction", "endInteraction", "interactionEvents"],
  communication: ["sendMessage"],
  history: ["history", "searchMessages"],
  moderation: ["report", "moderate", "auditLog"]
}

const served = async (server: Server): Promise<ReadonlyArray<string>> => {
  const { __schema } = await new Client(server.url).once<{
    readonly __schema: Record<string, { readonly fields: ReadonlyArray<{ readonly name: string }> } | null>
  }>(
    "{ __schema { queryType { fields { name } } mutationType { fields { name } } subscriptionType { fields { name } } } }"
  )
  return Object.values(__schema).flatMap((type) => type?.fields.map(({ name }) => name) ?? [])
}

it.live(
  "each program alone serves its own operations, metrics and health, on the same Redis and Postgres",
  () =>
    Effect.gen(function* () {
      const { env } = yield* stack
      for (const [name, own] of Object.entries(operations)) {
        const server = yield* program(name, env)
        const fields = yield* Effect.promise(() => served(server))
        expect(fields).toEqual(expect.arrayContaining(own))
        const others = Object.entries(operations).flatMap(([other, theirs]) => (other === name ? [] : theirs))
        expect(fields.filter((field) => others.includes(field))).toEqual([])
        for (const path of ["/metrics", "/health", "/health/live", "/health/ready"])
          expect(yield* Effect.promise(async () => (await fetch(`${server.url}${path}`)).status)).toBe(200)
      }
    }),
  120_000
)

/** What the server says to whoever asks who they are. */
const codeOf = (client: Client): Promise<string> =>
  client.once("{ viewer { user { id } } }").then(
    () => "accepted",
    (error: unknown) => (error instanceof GraphqlFailure ? error.code : String(error))
  )

it.live(
  "two processes share the queue, the rooms and the sessions through Redis and Postgres",
  () =>
    Effect.gen(function* () {
      const { env } = yield* stack
      const [one, two] = yield* Effect.all([program("all", env), program("gateway", env)], { concurrency: 2 })
      yield* Effect.promise(() => twoPeopleTalk(one.url))
      const { people, interactionId } = yield* Effect.promise(() => twoMatched(two.url))
      // The same person through the other process: the same session, and a message that the other one's reader sees.
      const elsewhere = new Client(one.url, people[0].client.token)
      const seen = yield* Effect.async<string>((resume) => {
        people[1].client.listen<{ readonly message?: { readonly body: string } }>(
          "subscription($id: ID!) { interactionEvents(interactionId: $id) { ... on MessageAdded { message { body } } } }",
          { id: interactionId },
          (event) => event.message !== undefined && resume(Effect.succeed(event.message.body)),
          (cause) => resume(Effect.die(cause))
        )
        void elsewhere.call("mutation($input: SendMessageInput!) { sendMessage(input: $input) { seq } }", {
          input: { interactionId, clientKey: "from-one", body: "through the other door" }
        })
      })
      expect(seen).toBe("through the other door")
      yield* Effect.promise(() => elsewhere.call("mutation { signOut }"))
      const refused = yield* Effect.promise(() => codeOf(people[0].client)).pipe(
        Effect.repeat({ until: (code) => code !== "accepted" }),
        Effect.timeout("1 second")
      )
      expect(refused).toBe("SESSION_EXPIRED")
    }),
  120_000
)

it.live(
  "Redis lost while running: people go on, the loss is counted, and it comes back by itself",
  () =>
    Effect.gen(function* () {
      const { env, redis } = yield* stack
      const server = yield* program("all", env)
      yield* Effect.promise(() => twoPeopleTalk(server.url))
      yield* redis.kill
      yield* Effect.promise(() => twoPeopleTalk(server.url))
      const metrics = yield* Effect.promise(async () => (await fetch(`${server.url}/metrics`)).text())
      expect(
        Number(/^connect_store_commands_total\{outcome="(?!ok).*\} (\d+)$/m.exec(metrics)?.[1] ?? 0)
      ).toBeGreaterThan(0)
      yield* redis.restart
      yield* Effect.promise(() => twoPeopleTalk(server.url))
      expect(yield* Effect.promise(async () => (await fetch(`${server.url}/health/ready`)).status)).toBe(200)
    }),
  120_000
)

it.live(
  "a fiber that fails starts again, and /health and /metrics say so",
  () =>
    Effect.gen(function* () {
      const { env, redis } = yield* stack
      const server = yield* program("all", env)
      const read = (path: string) => Effect.promise(async () => (await fetch(`${server.url}${path}`)).text())
      // Nothing that our programs would say: the fiber that reads it fails.
      yield* redis.command("PUBLISH", "broadcast:moderation", '["nobody",null]')
      yield* read("/health").pipe(
        Effect.repeat({ until: (text) => text.includes("last TypeError"), schedule: Schedule.spaced("100 millis") }),
        Effect.timeout("20 seconds")
      )
      expect(JSON.parse(yield* read("/health")).checks.fibers).toMatchObject({
        status: "warn",
        output: expect.stringMatching(/^Restarted in the last 5 minutes: .*restriction signals/),
        observed: {
          "restriction signals": expect.stringMatching(/^running \(restart\), 1 restart, last TypeError at \d{4}-/),
          "event log commits 1": expect.stringContaining("running (restart)"),
          "broadcast sender": expect.stringContaining("running (restart)")
        }
      })
      expect(yield* read("/metrics")).toContain('connect_fiber_restarts_total{fiber="restriction signals"} 1')
    }),
  60_000
)
