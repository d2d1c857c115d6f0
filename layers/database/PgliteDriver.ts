import type { PGlite } from "@electric-sql/pglite"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import { StartupError } from "../../src/config/StartupError.ts"
import { rollback } from "../../src/database/Boundary.ts"
import type { Driver, DriverConnection, Ear, DriverResult, DriverStatement } from "../../src/database/Driver.ts"
import { failure, settle } from "./DriverOutcome.ts"

const signs: Readonly<Record<string, string>> = { "{": "[", "}": "]", NULL: "null" }

/** int8 and arrays of it as text, like the other drivers: a number would lose digits. */
const parsers = {
  20: (value: string) => value,
  1016: (value: string): unknown =>
    JSON.parse(value.replace(/^.*=/, "").replace(/[{}]|NULL|-?\d+/g, (sign) => signs[sign] ?? `"${sign}"`))
}

const run = async (db: PGlite, { arrays, params, prepare, sql }: DriverStatement): Promise<DriverResult> => {
  const rowMode = arrays ? "array" : "object"
  const result =
    params.length === 0 && !prepare
      ? (await db.exec(sql, { rowMode, parsers })).at(-1)
      : await db.query(sql, [...params], { rowMode, parsers })
  return { rows: result?.rows ?? [], affected: result?.affectedRows || (result?.rows.length ?? 0) }
}

const listenTo = (channels: ReadonlySet<string>): string =>
  [...channels].map((channel) => `listen "${channel.replaceAll('"', '""')}";`).join("")

/**
 * PGlite has one session for all: a connection that ends has to leave it without a transaction. Who began to listen in the
 * meantime did so inside of that transaction, and has to begin again when it is rolled back.
 */
const wrap = (db: PGlite, channels: ReadonlySet<string>): DriverConnection => {
  let open = true
  const again = async (): Promise<void> => {
    if (channels.size > 0) await db.exec(listenTo(channels))
  }
  const runAndHear = async (statement: DriverStatement): Promise<DriverResult> => {
    const result = await run(db, statement)
    if (statement.sql.startsWith(rollback)) await again()
    return result
  }
  return {
    isOpen: () => open && !db.closed,
    close: () => {
      open = false
      if (!db.closed)
        db.exec(rollback)
          .then(again)
          .catch(() => {})
    },
    run: (statement, done) => {
      settle(runAndHear(statement), (result) => result, done)
      // It runs on this thread: there is nobody to ask, and nothing happens before it is done anyway.
      return () => {}
    }
  }
}

/** The session goes on listening when nobody asks for it any more: another one may, and it costs nothing. */
const listen = (db: PGlite, channels: Set<string>, channel: string, ear: Ear): (() => void) => {
  channels.add(channel)
  const stop = db.onNotification((from, payload) => {
    if (from === channel) ear.notified(payload)
  })
  db.exec(listenTo(new Set([channel]))).then(ear.began, (cause: unknown) => ear.lost(failure(cause)))
  return stop
}

/** Postgres inside this process, in `folder` or in memory. One connection; closed with the scope. */
export const make = (folder: string | undefined): Effect.Effect<Driver, StartupError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const [{ PGlite: Class }, { pg_trgm }] = await Promise.all([
            import("@electric-sql/pglite"),
            import("@electric-sql/pglite/contrib/pg_trgm")
          ])
          return Class.create({ ...(folder === undefined ? {} : { dataDir: folder }), extensions: { pg_trgm } })
        },
        catch: (error) =>
          new StartupError({
            what: "PGlite could not open its data folder",
            where: `${folder ?? "memory"}\n${error instanceof Error ? error.message : String(error)}`,
            fix: "Set DATA_DIR to another folder, or DATABASE_URL to a Postgres server."
          })
      }),
      (db) => Effect.promise(() => db.close())
    ),
    (db): Driver => {
      const channels = new Set<string>()
      return {
        name: "pglite",
        connectionsMax: 1,
        depthMax: 1,
        connect: (done) => done(Either.right(wrap(db, channels))),
        listen: (channel, ear) => listen(db, channels, channel, ear)
      }
    }
  )
