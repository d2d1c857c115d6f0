import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import * as SqlClient from "@effect/sql/SqlClient"
import type * as SqlError from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ValidationFailed } from "../errors.ts"
import { invalid } from "../errors.ts"

/** The sort values of the row that a cursor stands at, in the order of the sort: times as milliseconds, then the id. */
export type Values = ReadonlyArray<string | number | boolean | null>

/** A cursor longer than this is refused unread. */
export const cursorCharactersMax = 1_024

/**
 * Opaque positions in a connection. A cursor is valid only for the field and the arguments that returned it: both are
 * part of its signature, and so nobody can make one up or carry one over to another list.
 */
export class Cursor extends Context.Tag("@connect/Cursor")<
  Cursor,
  {
    /**
     * `field` names the list ("history", "Interaction.messages"); `args` is what else decides its content (the parent's
     * id included). `first`, `after`, `last` and `before` in `args` are not part of the binding.
     */
    readonly encode: (field: string, args: object, values: Values) => string
    /**
     * The values encoded before; None for no cursor. ValidationFailed at `path` for anything that `encode` of the same
     * field and arguments did not return, so `V` may be the type that was encoded.
     */
    readonly decode: <V extends Values>(
      field: string,
      args: object,
      cursor: string | null | undefined,
      path?: "after" | "before"
    ) => Effect.Effect<Option.Option<V>, ValidationFailed>
  }
>() {}

/** Changes when what is inside a cursor changes: older ones are refused then instead of misread. */
const version = 1
const macBytes = 16
const paging = new Set(["first", "after", "last", "before"])

/** JSON with the keys in order, so that the same arguments in another order are the same arguments. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner
  )

const binding = (field: string, args: object): string =>
  canonical([field, Object.fromEntries(Object.entries(args).filter(([name, of]) => !paging.has(name) && of != null))])

/** Cursors signed with this secret. */
export const make = (secret: string): Context.Tag.Service<Cursor> => {
  const key = createHash("sha256").update(secret).digest()
  const sign = (bound: string, payload: Uint8Array): Buffer =>
    createHmac("sha256", key).update(`${version}\n${bound}\n`).update(payload).digest().subarray(0, macBytes)

  const open = (bound: string, cursor: string): Values | undefined => {
    if (cursor.length > cursorCharactersMax || !/^[\w-]+$/.test(cursor)) return undefined
    const bytes = Buffer.from(cursor, "base64url")
    if (bytes[0] !== version || bytes.length <= 1 + macBytes) return undefined
    const payload = bytes.subarray(1 + macBytes)
    return timingSafeEqual(bytes.subarray(1, 1 + macBytes), sign(bound, payload))
      ? (JSON.parse(payload.toString("utf8")) as Values)
      : undefined
  }

  return {
    encode: (field, args, values) => {
      const payload = Buffer.from(JSON.stringify(values))
      return Buffer.concat([Buffer.of(version), sign(binding(field, args), payload), payload]).toString("base64url")
    },
    decode: <V extends Values>(
      field: string,
      args: object,
      cursor: string | null | undefined,
      path: "after" | "before" = "after"
    ) =>
      Effect.suspend(() => {
        if (cursor === null || cursor === undefined) return Effect.succeed(Option.none<V>())
        const values = open(binding(field, args), cursor)
        return values === undefined
          ? Effect.fail(invalid(path, "is not a cursor that this field returned for these arguments"))
          : Effect.succeed(Option.some(values as V))
      })
  }
}

/** Signed with the database's secret, so that a cursor outlives the process and works on every node. */
export const layer: Layer.Layer<Cursor, SqlError.SqlError, SqlClient.SqlClient> = Layer.effect(
  Cursor,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly value: string }>`select value from settings where key = 'cursor_secret'`
    const secret = rows[0]?.value
    return secret === undefined
      ? yield* Effect.dieMessage("settings.cursor_secret is missing: the migrations have not run")
      : make(secret)
  })
)

/** Signed with a fixed secret: for tests without a database. */
export const layerSecret = (secret: string): Layer.Layer<Cursor> => Layer.sync(Cursor, () => make(secret))
