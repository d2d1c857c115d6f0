import { expect } from "bun:test"
import { createServer } from "node:net"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as PostgresBinaries from "../../layers/database/PostgresBinaries.ts"
import * as DatabaseLayer from "../../layers/Database.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Database } from "../../src/database/Database.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

type Change = Partial<Settings.Shape["database"]>

const layer = (change: Change) =>
  DatabaseLayer.layer.pipe(
    Layer.provide(Settings.layerTest((settings) => ({ ...settings, database: { ...settings.database, ...change } })))
  )

const at = (url: string, change: Change = {}) => layer({ ...change, url: Option.some(Redacted.make(url)) })

const startOf = (url: string) => Effect.flip(Effect.scoped(Layer.build(at(url))))

const backend = Effect.flatMap(Database, ({ stats }) => Effect.map(stats, (figures) => figures.backend))

it.live("DATABASE_URL is used and its empty database gets the tables", () =>
  Effect.gen(function* () {
    const url = yield* Postgres.emptyUrl
    for (const driver of ["pg", "bun"] as const)
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        expect(yield* backend).toBe("postgres")
        expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 0 }])
        const [row] =
          yield* sql`select current_setting('application_name') as name, current_setting('statement_timeout') as t`
        expect(row).toEqual({ name: "realtime-connect", t: "10s" })
      }).pipe(Effect.provide(at(url, { driver })))
  })
)

it.live("nobody listens there: the error says where, why and what to set, and no password", () =>
  Effect.gen(function* () {
    const error = yield* startOf("postgres://me:hunter2@127.0.0.1:1/shop")
    expect(error.message).toContain("127.0.0.1:1/shop")
    expect(error.message).toContain("REFUSED")
    expect(error.message).toContain("DATABASE_URL")
    expect(error.message).not.toContain("hunter2")
  })
)

it.live("a host that has no address is named", () =>
  Effect.gen(function* () {
    const error = yield* startOf("postgres://me:hunter2@no-such-host.invalid/shop")
    expect(error.message).toContain("no-such-host.invalid:5432/shop")
    expect(error.message).not.toContain("hunter2")
  })
)

it.live("a database that is not there is named", () =>
  Effect.gen(function* () {
    const url = new URL(yield* Postgres.emptyUrl)
    url.pathname = "/nowhere"
    const error = yield* startOf(url.href)
    expect(error.message).toContain(`${url.host}/nowhere`)
    expect(error.message).toContain("does not exist")
  })
)

it.live("a server that takes connections and says nothing is given up", () =>
  Effect.gen(function* () {
    const port = yield* Effect.acquireRelease(
      Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
        const server = createServer()
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          const close = () => void server.close()
          resume(Effect.succeed({ port: typeof address === "object" && address !== null ? address.port : 0, close }))
        })
      }),
      ({ close }) => Effect.sync(close)
    )
    const error = yield* startOf(`postgres://me:hunter2@127.0.0.1:${port.port}/shop`)
    expect(error.message).toMatch(/timeout/i)
    expect(error.message).not.toContain("hunter2")
  })
)

it.live("a user who may not make tables is told what right is missing", () =>
  Effect.gen(function* () {
    const url = new URL(yield* Postgres.emptyUrl)
    yield* Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe("drop role if exists guest; create role guest login; drop table migrations").unprepared
    }).pipe(Effect.provide(at(url.href)))
    url.username = "guest"
    const error = yield* startOf(url.href)
    expect(error.message).toContain("permission denied")
    expect(error.message).toContain("right to create tables")
  })
)

it.live("where no Postgres came with the program there is none to start", () =>
  Effect.gen(function* () {
    expect(Option.isNone(yield* PostgresBinaries.locate("unused", "plan9-x64"))).toBe(true)
    expect(Option.isSome(yield* PostgresBinaries.locate("unused"))).toBe(true)
  })
)
