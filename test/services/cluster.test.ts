import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { freePort } from "../kit/ports.ts"
import * as Redis from "../kit/Redis.ts"
import { startServer } from "../kit/server.ts"
import { twoPeopleTalk } from "../kit/talk.ts"

interface Inspected {
  readonly actors: ReadonlyArray<{ readonly actor: string; readonly processed: number }>
  readonly shards: ReadonlyArray<{ readonly group: string; readonly shards: number }>
}

it.live(
  "in a cluster each program serves the actors of its role, and the gateway reaches them all",
  () =>
    Effect.gen(function* () {
      const redis = yield* Redis.start()
      const env = {
        CLUSTER: "on",
        DATABASE_URL: yield* Postgres.url,
        REDIS_HOST: redis.host,
        REDIS_PORT: String(redis.port)
      }
      const program = (name: string) =>
        Effect.acquireRelease(
          Effect.promise(async () =>
            startServer({ ...env, NODE_PORT: String(await freePort()) }, [process.execPath, `services/${name}.ts`])
          ),
          (server) => Effect.promise(() => server.stop())
        )
      const inspected = (url: string) =>
        Effect.promise(async () => (await (await fetch(`${url}/actors`)).json()) as Inspected)
      const names = ["user", "queuing", "interaction", "gateway"] as const
      const [user, queuing, interaction, gateway] = yield* Effect.all(names.map(program), { concurrency: 4 })
      yield* Effect.promise(() => twoPeopleTalk(gateway!.url))
      for (const [server, actor] of [
        [user, "User"],
        [queuing, "Queue"],
        [interaction, "Interaction"]
      ] as const) {
        const { actors } = yield* inspected(server!.url)
        expect(actors.map((each) => each.actor)).toEqual([actor])
        expect(actors[0]!.processed).toBeGreaterThan(0)
      }
      const { actors, shards } = yield* inspected(gateway!.url)
      expect(actors).toEqual([])
      expect(shards.map(({ group }) => group).sort()).toEqual(["interaction", "queuing", "user"])
    }),
  150_000
)
