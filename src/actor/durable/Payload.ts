import type * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** The payload of a message as JSON; null for one that has none. */
export const encode = (rpc: Rpc.AnyWithProps, payload: unknown): Effect.Effect<unknown> =>
  Effect.map(
    Effect.orDie(Schema.encode(rpc.payloadSchema as Schema.Schema<unknown, unknown>)(payload)),
    (encoded) => encoded ?? null
  )

export const decode = (rpc: Rpc.AnyWithProps, encoded: unknown): Effect.Effect<unknown, ParseError> => {
  const schema = rpc.payloadSchema as Schema.Schema<unknown, unknown>
  return Schema.decodeUnknown(schema)(encoded === null && schema.ast._tag === "VoidKeyword" ? undefined : encoded)
}
