import * as RpcServer from "@effect/rpc/RpcServer"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type * as ActorSystem from "../ActorSystem.ts"
import { type Codec, codecsOf, type Envelope, Nodes, type StreamFailure } from "./Protocol.ts"
import type { Definition } from "../Definition.ts"
import * as Payload from "../durable/Payload.ts"
import { Message, type Outcome, type Trace } from "../local/Message.ts"

/** What the server needs of the node. */
export interface Served {
  readonly local: Effect.Effect.Success<ReturnType<typeof ActorSystem.make>>
  /** The type, when messages for that actor are to be taken here. */
  readonly accepts: (actor: string, id: string) => Definition | undefined
  readonly durable: () => ActorSystem.DurableHandler | undefined
}

const elsewhere: StreamFailure = { _tag: "Elsewhere" }

const spanOf = ({ trace }: Envelope): Tracer.ExternalSpan | undefined =>
  trace === undefined ? undefined : Tracer.externalSpan({ ...trace, sampled: true })

const payloadOf = ({ protocol }: Definition, { body, tag }: Envelope): Effect.Effect<unknown> =>
  Effect.orDie(Payload.decode(protocol.get(tag)!, body))

/** What cannot be encoded is a defect of its handler, and of no other message. */
const encoded = <E>(schema: Codec["exits"]["ask"], encoding: Effect.Effect<unknown, E>): Effect.Effect<unknown> =>
  Effect.catchAll(encoding, (error) => Effect.orDie(Schema.encode(schema)(Exit.die(error))))

/** As mapEffect, but what came together stays together: each chunk is a message of its own. */
export const inChunks = <A, B, E>(
  stream: Stream.Stream<A, E>,
  map: (value: A) => Effect.Effect<B, E>
): Stream.Stream<B, E> =>
  Stream.mapChunksEffect(stream, (chunk) => Effect.map(Effect.forEach(chunk, map), Chunk.unsafeFromArray))

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
      return Effect.matchCause(payloadOf(definition, envelope), {
        onFailure: (cause) => settled(Exit.failCause(cause), codec),
        onSuccess: (payload) => {
          if (wish === "durable") {
            const handled = durable()?.ask(definition, id, key ?? "", tag, payload)
            if (handled === undefined) return settled(Exit.void)
            const traced = span === undefined ? handled : Effect.withParentSpan(handled, span)
            const fiber = Runtime.runFork(runtime)(traced, { scope })
            // Interrupted is what this node ends with: its key lets the message begin anew on the next one.
            return fiber.addObserver((exit) => (Exit.isInterrupted(exit) ? settled(Exit.void) : settled(exit, codec)))
          }
          const trace: Trace | undefined = span && { span, tracer }
          const message = new Message(tag, payload, wish === "ask", trace)
          local.deliver(definition, id, message, (outcome, untouched) =>
            untouched && accepts(actor, id) === undefined ? settled(Exit.void) : settled(outcome, codec)
          )
        }
      })
    }

    /** Gives back each answer as soon as it is there: those of the same tick go together. */
    const deliver = (batch: ReadonlyArray<Envelope>) =>
      Effect.gen(function* () {
        const tracer = yield* Effect.tracer
        const answers = yield* Mailbox.make<readonly [number, unknown]>()
        let left = batch.length
        let next = 0
        const answer = (place: number, encodedExit: unknown) => {
          answers.unsafeOffer([place, encodedExit])
          if (--left === 0) answers.unsafeDone(Exit.void)
        }
        const settle = (place: number) => (outcome: Outcome, codec?: Codec) => {
          const { wish } = batch[place]!
          if (codec === undefined || wish === "wake") return answer(place, null)
          const encoding = Schema.encode(codec.exits[wish])(outcome)
          // Most Schemas encode at once, and give the result itself.
          if (Either.isEither(encoding) && Either.isRight(encoding)) return answer(place, encoding.right)
          Runtime.runFork(runtime)(
            Effect.map(encoded(codec.exits[wish], encoding), (encodedExit) => answer(place, encodedExit)),
            { scope }
          )
        }
        if (left === 0) answers.unsafeDone(Exit.void)
        yield* Effect.whileLoop({
          while: () => next < batch.length,
          body: () => take(batch[next]!, tracer, settle(next)),
          step: () => void next++
        })
        return answers
      })

    const open = (envelope: Envelope): Stream.Stream<unknown, StreamFailure> => {
      const definition = accepts(envelope.actor, envelope.id)
      const codec = definition && codecsOf(definition).get(envelope.tag)
      if (definition === undefined || codec === undefined) return Stream.fail(elsewhere)
      const encode = Schema.encode(codec.value)
      const span = spanOf(envelope)
      const stream = Stream.unwrap(
        Effect.map(payloadOf(definition, envelope), (payload) =>
          local.stream(definition, envelope.id, envelope.tag, payload)
        )
      ).pipe(
        (values) => inChunks(values, (value) => Effect.orDie(encode(value))),
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
      Deliver: ({ batch }) => deliver(batch),
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
