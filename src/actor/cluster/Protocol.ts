import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import type * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { ActorCrashed, ActorStopped, AskTimeout, Conflict, DatabaseUnavailable, MailboxFull } from "../../errors.ts"
import type { Definition } from "../Definition.ts"

/**
 * What the sender wants: the reply, to know that a mailbox has it, the reply to a durable message, or only that the
 * inbox looks for messages that were kept.
 */
export const Wish = Schema.Literal("ask", "tell", "durable", "wake")

/** One message of any protocol on its way to another node. Its body is encoded by the protocol's own Schema. */
export const Envelope = Schema.Struct({
  actor: Schema.String,
  id: Schema.String,
  tag: Schema.String,
  wish: Wish,
  body: Schema.Unknown,
  /** Of a durable message. */
  key: Schema.optional(Schema.String),
  /** The sender's span, when it is sampled. */
  trace: Schema.optional(Schema.Struct({ traceId: Schema.String, spanId: Schema.String }))
})
export type Envelope = typeof Envelope.Type

/**
 * The answer to the message of that place in the batch: an encoded Exit, so that the failures of the protocol and our
 * own arrive typed, or null when the actor does not live here and the message was not touched.
 */
const Answer = Schema.Tuple(Schema.Int, Schema.Unknown)

/** Why a stream ended: with a failure of the protocol, encoded, or because the actor does not live here. */
export const StreamFailure = Schema.Union(
  Schema.TaggedStruct("Failed", { error: Schema.Unknown }),
  Schema.TaggedStruct("Elsewhere", {})
)
export type StreamFailure = typeof StreamFailure.Type

/** Messages of one batch at most. */
export const batchMax = 1_000

/** What the nodes of a cluster say to each other. */
export class Nodes extends RpcGroup.make(
  /** Answers as soon as the connection stands. */
  Rpc.make("Hello"),
  /** Everything that went to one node at the same time. Each message is answered when it is done, in any order. */
  Rpc.make("Deliver", { payload: { batch: Schema.Array(Envelope) }, success: Answer, stream: true }),
  Rpc.make("Open", { payload: Envelope, success: Schema.Unknown, error: StreamFailure, stream: true }),
  Rpc.make("IsActive", { payload: { actor: Schema.String, id: Schema.String }, success: Schema.Boolean })
) {}

type AnySchema = Schema.Schema<unknown, unknown>
type ExitSchema = Schema.Schema<Exit.Exit<unknown, unknown>, unknown>

/** How the messages of one tag travel. */
export interface Codec {
  readonly value: AnySchema
  readonly error: AnySchema
  readonly exits: Readonly<Record<"ask" | "tell" | "durable", ExitSchema>>
}

const ours = [MailboxFull, ActorStopped, ActorCrashed, AskTimeout] as const

const exitOf = (success: Schema.Schema.Any, failure: Schema.Schema.Any): ExitSchema =>
  Schema.Exit({ success, failure, defect: Schema.Defect }) as unknown as ExitSchema

const tell = exitOf(Schema.Unknown, Schema.Union(...ours))

const codecOf = (rpc: Rpc.AnyWithProps): Codec => {
  const streamed = "success" in rpc.successSchema && "failure" in rpc.successSchema
  const parts = rpc.successSchema as unknown as {
    readonly success: Schema.Schema.Any
    readonly failure: Schema.Schema.Any
  }
  const value = (streamed ? parts.success : rpc.successSchema) as Schema.Schema.Any
  const own = (streamed ? [rpc.errorSchema, parts.failure] : [rpc.errorSchema]) as ReadonlyArray<Schema.Schema.Any>
  const error = Schema.Union(...own, ...ours)
  return {
    value: value as AnySchema,
    error: error as unknown as AnySchema,
    exits: {
      ask: exitOf(streamed ? Schema.Unknown : value, error),
      tell,
      durable: exitOf(value, Schema.Union(error, DatabaseUnavailable, Conflict))
    }
  }
}

const known = new WeakMap<Definition, ReadonlyMap<string, Codec>>()

/** The codecs of a type by tag, made once. */
export const codecsOf = (definition: Definition): ReadonlyMap<string, Codec> => {
  let codecs = known.get(definition)
  if (codecs === undefined) {
    codecs = new Map(Array.from(definition.protocol, ([tag, rpc]) => [tag, codecOf(rpc)]))
    known.set(definition, codecs)
  }
  return codecs
}
