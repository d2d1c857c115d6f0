import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Cursor from "../../src/graphql/Cursor.ts"
import * as AuditModule from "../../src/moderation/Audit.ts"
import { Audit } from "../../src/moderation/Audit.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const layer = AuditModule.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(Postgres.layerDatabase, Cursor.layerSecret("test")))
)

const deed = (n: number) => ({
  actorId: null,
  verb: "test.deed",
  target: n % 2 === 0 ? "even" : "odd",
  details: { zeta: String(n), alpha: null, "a key": "ünïcode \u2028" }
})

const append = (n: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction((yield* Audit).append(deed(n)))
  })

it.live("an empty log is sound, and so is one that many wrote at once", () =>
  Effect.gen(function* () {
    const audit = yield* Audit
    expect(yield* audit.verify).toEqual({ sound: 0, broken: Option.none() })
    yield* Effect.forEach(
      Array.from({ length: 24 }, (_, n) => n),
      append,
      { concurrency: 8 }
    )
    expect(yield* audit.verify).toEqual({ sound: 24, broken: Option.none() })
  }).pipe(Effect.provide(layer))
)

it.live("a deed that is rolled back leaves no entry and the chain whole", () =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const sql = yield* SqlClient.SqlClient
    yield* append(1)
    yield* Effect.flip(sql.withTransaction(Effect.zipRight(audit.append(deed(2)), Effect.fail("no"))))
    yield* append(3)
    expect(yield* audit.verify).toEqual({ sound: 2, broken: Option.none() })
  }).pipe(Effect.provide(layer))
)

for (const [what, tamper] of [
  [
    "a changed detail",
    (sql: SqlClient.SqlClient, at: number) => sql`
    update audit_log set details = '{"zeta":"other"}' where position = ${at}`
  ],
  [
    "a changed time",
    (sql: SqlClient.SqlClient, at: number) => sql`
    update audit_log set at = at - interval '1 hour' where position = ${at}`
  ],
  [
    "a changed hash",
    (sql: SqlClient.SqlClient, at: number) => sql`
    update audit_log set hash = repeat('0', 64) where position = ${at}`
  ]
] as const)
  it.live(`${what} shows where it is`, () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const sql = yield* SqlClient.SqlClient
      yield* Effect.forEach([1, 2, 3, 4, 5], append)
      yield* tamper(sql, 3)
      expect(yield* audit.verify).toEqual({ sound: 2, broken: Option.some({ position: 3, what: "changed" }) })
    }).pipe(Effect.provide(layer))
  )

it.live("an entry taken out of the middle, or off the end, shows", () =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const sql = yield* SqlClient.SqlClient
    yield* Effect.forEach([1, 2, 3, 4, 5], append)
    yield* sql`delete from audit_log where position = 5`
    expect(yield* audit.verify).toEqual({ sound: 4, broken: Option.some({ position: 5, what: "missing" }) })
    yield* sql`delete from audit_log where position = 2`
    expect((yield* audit.verify).broken).toEqual(Option.some({ position: 3, what: "changed" }))
  }).pipe(Effect.provide(layer))
)

it.live("pages go from the newest back, of one target or of all", () =>
  Effect.gen(function* () {
    const audit = yield* Audit
    yield* Effect.forEach([1, 2, 3, 4, 5], append)
    const first = yield* audit.page({ target: "odd", first: 2, after: null })
    const second = yield* audit.page({ target: "odd", first: 2, after: first.pageInfo.endCursor })
    expect([...first.edges, ...second.edges].map(({ node }) => node.details["zeta"])).toEqual(["5", "3", "1"])
    expect(first.pageInfo.hasNextPage).toBe(true)
    expect(second.pageInfo.hasNextPage).toBe(false)
    const foreign = yield* Effect.flip(audit.page({ target: null, first: 2, after: first.pageInfo.endCursor }))
    expect(foreign._tag).toBe("ValidationFailed")
    const one = first.edges[0]!.node
    expect(Option.getOrThrow(yield* audit.byId(one.id))).toEqual(one)
  }).pipe(Effect.provide(layer))
)
