import * as RpcServer from "@effect/rpc/RpcServer"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type * as ActorSystem from "./ActorSystem.ts"
import { type Codec, codecsOf, type Envelope, Nodes, type StreamFailure } from "./ClusterProtocol.ts"
import type { Definition } from "./Definition.ts"
import { Message, type Outcome, type Trace } from "./Message.ts"

/** What the server needs of the node. */
export interface Served {
  readonly local: Effect.Effect.Success<ReturnType<typeof ActorSystem.make>>
  /** The type, when messages for that actor are to be taken here. */
  readonly accepts: (actor: string, id: string) => Definition | undefined
  readonly durable: () => ActorSystem.DurableHandler | undefined
}

interface Settled {
  readonly place: number
  readonly schema: Schema.Schema<Outcome, unknown> | undefined
  readonly outcome: Outcome
}

const elsewhere: StreamFailure = { _tag: "Elsewhere" }

const spanOf = ({ trace }: Envelope): Tracer.ExternalSpan | undefined =>
  trace === undefined ? undefined : Tracer.externalSpan({ ...trace, sampled: true })

const payloadOf = (codec: Codec, body: unknown): Effect.Effect<unknown> =>
  Effect.orDie(Schema.decodeUnknown(codec.payload)(body ?? undefined))

/** What cannot be encoded is a defect of its handler, and of no other message. */
const encoded = ({ outcome, place, schema }: Settled): Effect.Effect<readonly [number, unknown]> => {
  if (schema === undefined) return Effect.succeed([place, null])
  return Effect.map(
    Effect.catchAll(Schema.encode(schema)(outcome), (error) => Effect.orDie(Schema.encode(schema)(Exit.die(error)))),
    (answer) => [place, answer] as const
  )
}

/** Answers the other nodes, for as long as the scope lives. */
export const serve = ({
  accepts,
  durable,
  local
}: Served): Effect.Effect<void, never, RpcServer.Protocol | Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const scope = yield* Effect.scope

    const take = (envelope: Envelope, tracer: Tracer.Tracer, settled: (outcome: Outcome, codec?: Codec) => void) => {
      const { actor, id, key, tag, wish } = envelope
      const definition = accepts(actor, id)
      const codec = definition && codecsOf(definition).get(tag)
      if (wish === "wake") {
        durable()?.wake()
        return Effect.sync(() => settled(Exit.void))
      }
      if (definition === undefined || codec === undefined) return Effect.sync(() => settled(Exit.void))
      const span = spanOf(envelope)
      return Effect.matchCause(payloadOf(codec, envelope.body), {
        onFailure: (cause) => settled(Exit.failCause(cause), codec),
        onSuccess: (payload) => {
          if (wish === "durable") {
            const handled = durable()?.ask(definition, id, key ?? "", tag, payload)
            if (handled === undefined) return settled(Exit.void)
            const traced = span === undefined ? handled : Effect.withParentSpan(handled, span)
            const fiber = Runtime.runFork(runtime)(traced, { scope })
            return fiber.addObserver((exit) => settled(exit, codec))
          }
          const trace: Trace | undefined = span && { span, tracer }
          const message = new Message(tag, payload, wish === "ask", trace)
          local.deliver(definition, id, message, (outcome, untouched) =>
            untouched && accepts(actor, id) === undefined ? settled(Exit.void) : settled(outcome, codec)
          )
        }
      })
    }

    const deliver = (batch: ReadonlyArray<Envelope>) =>
      Effect.gen(function* () {
        const tracer = yield* Effect.tracer
        const answers = yield* Mailbox.make<Settled>()
        let left = batch.length
        let next = 0
        const settle = (place: number) => (outcome: Outcome, codec?: Codec) => {
          const { wish } = batch[place]!
          const schema = wish === "wake" ? undefined : codec?.exits[wish]
          answers.unsafeOffer({ place, schema, outcome })
          if (--left === 0) answers.unsafeDone(Exit.void)
        }
        if (left === 0) answers.unsafeDone(Exit.void)
        yield* Effect.whileLoop({
          while: () => next < batch.length,
          body: () => take(batch[next]!, tracer, settle(next)),
          step: () => void next++
        })
        return Mailbox.toStream(answers).pipe(
          Stream.mapChunksEffect((chunk) => Effect.forEach(chunk, encoded).pipe(Effect.map(Chunk.unsafeFromArray)))
        )
      })

    const open = (envelope: Envelope): Stream.Stream<unknown, StreamFailure> => {
      const definition = accepts(envelope.actor, envelope.id)
      const codec = definition && codecsOf(definition).get(envelope.tag)
      if (definition === undefined || codec === undefined) return Stream.fail(elsewhere)
      const encode = Schema.encode(codec.value)
      const span = spanOf(envelope)
      const stream = Stream.unwrap(
        Effect.map(payloadOf(codec, envelope.body), (payload) =>
          local.stream(definition, envelope.id, envelope.tag, payload)
        )
      ).pipe(
        Stream.mapEffect((value) => Effect.orDie(encode(value))),
        Stream.catchAll((error) =>
          Stream.fromEffect(
            Effect.flatMap(
              Effect.orDie(Schema.encode(codec.error)(error)),
              (failure): Effect.Effect<never, StreamFailure> => Effect.fail({ _tag: "Failed", error: failure })
            )
          )
        )
      )
      return span === undefined ? stream : Stream.provideService(stream, Tracer.ParentSpan, span)
    }

    const handlers = Nodes.toLayer({
      Hello: () => Effect.void,
      Deliver: ({ batch }) => Stream.unwrapScoped(deliver(batch)),
      Open: open,
      IsActive: ({ actor, id }) => {
        const definition = accepts(actor, id)
        return definition === undefined ? Effect.succeed(false) : local.isActive(definition, id)
      }
    })
    yield* RpcServer.make(Nodes, { disableTracing: true, disableFatalDefects: true }).pipe(
      Effect.provide(handlers),
      Effect.interruptible,
      Effect.forkScoped
    )
  })
