import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Uuid from "./Uuid.ts"

/**
 * Ids are UUIDs inside (what Postgres stores) and `prefix_hex` outside (what GraphQL shows): the prefix names the type,
 * so an id of the wrong type is refused at the edge and `node(id)` knows where to look.
 */
const prefixes = {
  User: "usr",
  Session: "ses",
  Ticket: "tkt",
  Match: "mat",
  Interaction: "int",
  Message: "msg",
  VoiceNote: "vox",
  Report: "rep",
  ModerationAction: "act",
  Appeal: "apl",
  AuditEntry: "aud"
} as const

/** The names of the types that have a global id: those that implement `Node`. */
export type NodeType = keyof typeof prefixes

const id = <const B extends string>(brand: B) => Schema.String.pipe(Schema.brand(brand))

export const UserId = id("UserId")
export type UserId = typeof UserId.Type
export const SessionId = id("SessionId")
export type SessionId = typeof SessionId.Type
export const TicketId = id("TicketId")
export type TicketId = typeof TicketId.Type
export const MatchId = id("MatchId")
export type MatchId = typeof MatchId.Type
export const InteractionId = id("InteractionId")
export type InteractionId = typeof InteractionId.Type
export const MessageId = id("MessageId")
export type MessageId = typeof MessageId.Type
export const ReportId = id("ReportId")
export type ReportId = typeof ReportId.Type
export const ModerationActionId = id("ModerationActionId")
export type ModerationActionId = typeof ModerationActionId.Type
export const AuditEntryId = id("AuditEntryId")
export type AuditEntryId = typeof AuditEntryId.Type

/** A new id of the brand: `yield* Ids.make(Ids.UserId)`. */
export const make = <B extends string>(schema: Schema.brand<typeof Schema.String, B>) =>
  Effect.map(Uuid.v7, (uuid) => uuid as typeof schema.Type)

/** Global ids of one type that are remembered; when there are more, all are forgotten. */
export const rememberedMax = 4_096

const remembered = Object.fromEntries(Object.keys(prefixes).map((type) => [type, new Map()])) as Readonly<
  Record<NodeType, Map<string, string>>
>

/**
 * What GraphQL shows for a UUID of this type. A page has dozens, mostly of the same few people, and a text put together
 * of pieces costs its reader more than all else of a row: so it is remembered.
 */
export const toGlobal = (type: NodeType, uuid: string): string => {
  const known = remembered[type]
  const found = known.get(uuid)
  if (found !== undefined) return found
  const [a, b, c, d, e] = [uuid.slice(0, 8), uuid.slice(9, 13), uuid.slice(14, 18), uuid.slice(19, 23), uuid.slice(24)]
  const made = `${prefixes[type]}_${a}${b}${c}${d}${e}`
  if (known.size >= rememberedMax) known.clear()
  known.set(uuid, made)
  return made
}

const form = /^([a-z]{3})_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/
const types = new Map(Object.entries(prefixes).map(([type, prefix]) => [prefix as string, type as NodeType]))

interface Named {
  readonly type: NodeType
  readonly uuid: string
}

const named = new Map<string, Named>()

/** The type and the UUID that a global id names; undefined when it is not one. What was named before is remembered. */
export const fromGlobal = (global: string): Named | undefined => {
  const found = named.get(global)
  if (found !== undefined) return found
  const match = form.exec(global)
  const type = match ? types.get(match[1]!) : undefined
  if (!match || !type) return undefined
  const made = { type, uuid: `${match[2]}-${match[3]}-${match[4]}-${match[5]}-${match[6]}` }
  if (named.size >= rememberedMax) named.clear()
  // Its own text: the one that came may be a piece of a long document, which would stay with it.
  named.set(toGlobal(type, made.uuid), made)
  return made
}

/** As it is spoken: a User. */
const article = (type: NodeType): string => (/^[AEIO]/.test(type) ? "an" : "a")

/** An argument that must be the global id of one type; decodes to the branded UUID. `Ids.Global("User", UserId)` */
export const Global = <B extends string>(type: NodeType, brand: Schema.brand<typeof Schema.String, B>) =>
  Schema.transformOrFail(Schema.String, Schema.typeSchema(brand), {
    strict: false,
    decode: (global, _, ast) => {
      const found = fromGlobal(global)
      return found?.type === type
        ? ParseResult.succeed(found.uuid)
        : ParseResult.fail(new ParseResult.Type(ast, global, `not the id of ${article(type)} ${type}`))
    },
    encode: (uuid) => ParseResult.succeed(toGlobal(type, uuid))
  }) as Schema.Schema<typeof brand.Type, string>
