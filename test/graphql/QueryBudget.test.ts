import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Settings from "../../src/config/Settings.ts"
import { assemble } from "../../src/graphql/assemble.ts"
import * as Operations from "../../src/graphql/Operations.ts"
import { field, memo, type Part, plain, type RequestContext } from "../../src/graphql/Part.ts"
import * as Batcher from "../../src/request/Batcher.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const rows = 10

const document = "query Queue { moderationQueue { edges { node { subject { handle } } } } }"

const Page = Schema.Struct({ state: Schema.String, first: Schema.Int, after: Schema.optional(Schema.Any) })

const subject = (id: string) => ({ id, handle: id, displayName: id })

/** Ten reports; how each finds its subject is the question. */
const reports = (find: (id: string, request: RequestContext) => Effect.Effect<unknown, never>): Part => ({
  Query: {
    moderationQueue: field(Page, () => ({
      edges: Array.from({ length: rows }, (_, n) => ({ node: { subjectId: `user${n}` } }))
    }))
  },
  types: {
    Report: { subject: plain((report: { readonly subjectId: string }, request) => find(report.subjectId, request)) }
  }
})

/** The answer as it leaves a server whose preset is `preset`. */
const answer = (part: Part, preset: "test" | "production") =>
  Effect.gen(function* () {
    const settings = yield* Settings.Settings
    const operations = Operations.make(assemble([part]), { ...settings, preset })
    const operation = operations.find({ query: document, sha256: undefined, variables: {} })
    if ("errors" in operation) throw new Error(JSON.stringify(operation))
    return yield* operations.run(operation, {}, {
      memo: new Map(),
      session: Option.none()
    } as unknown as RequestContext)
  }).pipe(Effect.provide(Settings.layerTest()))

withLayer("statements of an operation", Postgres.layerDatabase, (it) => {
  it("a field that asks row by row fails where tests run, by its name, and works elsewhere", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const part = reports((id) => Effect.as(Effect.orDie(sql`select id from users where handle = ${id}`), subject(id)))
      const tested = yield* answer(part, "test")
      const said = (tested.errors ?? []).map(({ message }) => message).join()
      expect(said).toContain(`Report.subject ran one statement ${rows} times`)
      expect(said).toContain("select id from users where handle = ?")
      expect(said).not.toContain("user1")
      expect((yield* answer(part, "production")).errors).toBeUndefined()
    }))

  it("the same through a batcher is one statement", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const part = reports((id, request) =>
        memo(request, "subjects", () =>
          Batcher.make((ids: ReadonlyArray<string>) =>
            Effect.as(
              Effect.orDie(sql`select id from users where handle = any(${ids}::text[])`),
              new Map(ids.map((one) => [one, subject(one)]))
            )
          )
        ).read(id, (found) => Exit.succeed(Option.getOrNull(found)))
      )
      const tested = yield* answer(part, "test")
      expect(tested.errors).toBeUndefined()
      expect(JSON.stringify(tested.data)).toContain('"handle":"user9"')
    }))
})
