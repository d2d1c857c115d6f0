import { expect } from "bun:test"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as DatabaseLayer from "../../layers/Database.ts"
import * as Settings from "../../src/config/Settings.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const program = join(import.meta.dir, "..", "..", "services", "role.ts")

/** Runs the program; its output, its complaints and its exit code. */
const role = (url: string, ...words: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const child = Bun.spawn(["bun", program, ...words], {
      env: { ...process.env, NODE_ENV: "test", DATABASE_URL: url, REDIS_HOST: "" },
      stdout: "pipe",
      stderr: "pipe"
    })
    const [output, complaint] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text()
    ])
    return { output, complaint, code: await child.exited }
  })

it.live("a role is changed, audited, and the user's sessions end", () =>
  Effect.gen(function* () {
    const url = yield* Postgres.url
    yield* Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`insert into users (id, handle, display_name, created_at, updated_at)
        values (gen_random_uuid(), 'ada', 'Ada', now(), now())`
      yield* sql`insert into sessions (id, user_id, token_hash, created_at, last_used_at, expires_at, absolute_expires_at)
        select gen_random_uuid(), id, 'x', now(), now(), now() + interval '1 day', now() + interval '1 day' from users`
      const { code, complaint, output } = yield* role(url, "@Ada", "moderator")
      expect(complaint).toBe("")
      expect(output).toContain("ada was USER and is MODERATOR now.")
      expect(output).toContain("1 session(s) ended")
      expect(code).toBe(0)
      expect(yield* sql`select role, end_reason from users join sessions on user_id = users.id`).toEqual([
        { role: 1, end_reason: "role_changed" }
      ])
      expect(yield* sql`select verb, details from audit_log`).toEqual([
        { verb: "user.role", details: { from: "USER", to: "MODERATOR" } }
      ])
    }).pipe(
      Effect.provide(
        DatabaseLayer.layer.pipe(
          Layer.provide(
            Settings.layerTest((settings) => ({
              ...settings,
              database: { ...settings.database, url: Option.some(Redacted.make(url)) }
            }))
          )
        )
      )
    )
    const unknown = yield* role(url, "nobody", "ADMIN")
    expect([unknown.code, unknown.output]).toEqual([1, ""])
    expect(unknown.complaint).toContain("No such user: nobody")
  })
)

it.live("words that are not understood are answered with how it is used", () =>
  Effect.gen(function* () {
    const wrong = yield* role("", "ada", "KING")
    expect([wrong.code, wrong.output]).toEqual([1, ""])
    expect(wrong.complaint).toContain("bun run role HANDLE USER|MODERATOR|ADMIN")
    const help = yield* role("", "--help")
    expect([help.code, help.complaint]).toEqual([0, ""])
    expect(help.output).toContain("DATABASE_URL")
  })
)
