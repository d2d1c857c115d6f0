import * as Sharding from "@effect/cluster/Sharding"
import type { MessageStorage } from "@effect/cluster/MessageStorage"
import type { RunnerHealth } from "@effect/cluster/RunnerHealth"
import type { RpcClientProtocol, Runners } from "@effect/cluster/Runners"
import type { RunnerStorage } from "@effect/cluster/RunnerStorage"
import type { ShardingConfig } from "@effect/cluster/ShardingConfig"
import type * as RpcServer from "@effect/rpc/RpcServer"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ActorStopped } from "../errors.ts"
import * as ActorSystem from "./ActorSystem.ts"
import { ClusterLocks } from "./cluster/Locks.ts"
import { codecsOf, type Envelope } from "./cluster/Protocol.ts"
import * as Router from "./cluster/Router.ts"
import * as Server from "./cluster/Server.ts"
import { Shards } from "./cluster/Shards.ts"
import type { Definition } from "./Definition.ts"
import * as Payload from "./durable/Payload.ts"
import { shardOf } from "./Shard.ts"

/** Time that actors get to end what they are doing before their shard goes to another node. */
export const handOverMax = Duration.seconds(1)

/** Tries of a stream to find the node of its actor: one about every quarter of a second. */
export const openAttemptsMax = 20

type Wish = Envelope["wish"]

const traceOf = Effect.withFiberRuntime<Envelope["trace"]>((fiber) => {
  const span = fiber.currentSpan
  return Effect.succeed(span?.sampled === true ? { traceId: span.traceId, spanId: span.spanId } : undefined)
})

const bodyOf = ({ protocol }: Definition, tag: string, payload: unknown): Effect.Effect<unknown> =>
  Payload.encode(protocol.get(tag)!, payload)

const moving = ({ name }: Definition) => new ActorStopped({ actor: name, retryAfterMillis: Router.movingMillis })

const make = (options: Partial<ActorSystem.Options>) =>
  Effect.gen(function* () {
    const shards = yield* Shards
    const locks = yield* ClusterLocks
    const local = yield* ActorSystem.make(options)
    const served = new Map<string, Definition>()
    let durable: ActorSystem.DurableHandler | undefined
    let leaving = false

    const owns = (definition: Definition, id: string): boolean =>
      served.has(definition.name) && shards.holds(definition.group, shardOf(id))

    const { links, router } = yield* Router.make((definition) => served.has(definition.name))

    const order = (
      definition: Definition,
      id: string,
      tag: string,
      wish: Exclude<Wish, "wake">,
      payload: unknown,
      key: string | undefined,
      here: () => Effect.Effect<unknown, unknown>
    ): Effect.Effect<unknown, unknown> =>
      Effect.gen(function* () {
        const exit = codecsOf(definition).get(tag)!.exits[wish]
        const body = yield* bodyOf(definition, tag, payload)
        const trace = yield* traceOf
        const envelope: Envelope = {
          actor: definition.name,
          id,
          tag,
          wish,
          body,
          ...(key === undefined ? {} : { key }),
          ...(trace === undefined ? {} : { trace })
        }
        return yield* router.order({
          definition,
          shard: shardOf(id),
          envelope,
          repeatable: wish === "durable" || definition.idempotent.has(tag),
          here,
          answered: (answer) => Effect.flatten(Effect.orDie(Schema.decodeUnknown(exit)(answer)))
        })
      })

    /** A stream from the node that has the actor; looks again for as long as it has not begun. */
    const remoteStream = (definition: Definition, id: string, tag: string, payload: unknown) => {
      const codec = codecsOf(definition).get(tag)!
      const attempt = (left: number): Stream.Stream<unknown, unknown> => {
        if (owns(definition, id)) return local.stream(definition, id, tag, payload)
        const node = shards.holderOf(definition.group, shardOf(id))
        const again = Stream.unwrap(
          left === 0
            ? Effect.fail(moving(definition))
            : Effect.as(
                Effect.delay(locks.read, Router.movingMillis),
                Stream.suspend(() => attempt(left - 1))
              )
        )
        if (node === undefined || node === shards.address) return again
        return Stream.unwrapScoped(
          Effect.gen(function* () {
            const body = yield* bodyOf(definition, tag, payload)
            const trace = yield* traceOf
            const connected = yield* Effect.option(links.client(node))
            if (Option.isNone(connected)) return again
            const envelope = { actor: definition.name, id, tag, wish: "ask", body } as const
            return connected.value.Open(trace === undefined ? envelope : { ...envelope, trace }).pipe(
              (values) => Server.inChunks(values, (value) => Effect.orDie(Schema.decodeUnknown(codec.value)(value))),
              Stream.catchAllCause((cause): Stream.Stream<unknown, unknown> => {
                const failure = Option.getOrUndefined(Cause.failureOption(cause))
                if (failure?._tag === "Elsewhere") return again
                if (failure?._tag !== "Failed") return Stream.fail(moving(definition))
                return Stream.fromEffect(
                  Effect.flatMap(Effect.orDie(Schema.decodeUnknown(codec.error)(failure.error)), Effect.fail)
                )
              })
            )
          })
        )
      }
      return Stream.suspend(() => attempt(openAttemptsMax))
    }

    /** A message that was not touched before its actor went to another node follows it there. */
    const ask = (definition: Definition, id: string, tag: string, payload: unknown): Effect.Effect<unknown, unknown> =>
      Effect.suspend(() => {
        const here = () =>
          local.askUnless(definition, id, tag, payload, () =>
            owns(definition, id) ? Effect.fail(moving(definition)) : ask(definition, id, tag, payload)
          )
        return owns(definition, id) ? here() : order(definition, id, tag, "ask", payload, undefined, here)
      })

    const disown = (grace: Duration.Duration) =>
      Effect.suspend(() =>
        Effect.forEach(
          served.values(),
          (definition) => local.disown(definition.name, (id) => owns(definition, id), Duration.toMillis(grace)),
          { concurrency: "unbounded", discard: true }
        )
      )
    shards.handOver = disown(handOverMax)
    shards.cut = disown(Duration.zero)

    yield* Server.serve({
      local,
      accepts: (actor, id) => {
        const definition = served.get(actor)
        return !leaving && definition !== undefined && owns(definition, id) ? definition : undefined
      },
      durable: () => durable
    })

    /** From the first type that is no longer served on, the others take over: the program ends. */
    const leave = Effect.suspend(() => {
      leaving = true
      return locks.leave
    })

    const system = ActorSystem.ActorSystem.of({
      ...local,
      register: (definition, activate, context) =>
        Effect.gen(function* () {
          if (!shards.groups.has(definition.group)) return
          yield* Effect.addFinalizer(() => Effect.sync(() => served.delete(definition.name)))
          yield* local.register(definition, activate, context)
          served.set(definition.name, definition)
          yield* Effect.addFinalizer(() => leave)
        }),
      ask,
      tell: (definition, id, tag, payload) =>
        Effect.suspend(() => {
          const here = () => local.tell(definition, id, tag, payload)
          return owns(definition, id)
            ? here()
            : Effect.asVoid(order(definition, id, tag, "tell", payload, undefined, here))
        }),
      stream: (definition, id, tag, payload) =>
        Stream.suspend(() =>
          owns(definition, id) ? local.stream(definition, id, tag, payload) : remoteStream(definition, id, tag, payload)
        ),
      begin: (definition, id, work, settled) =>
        owns(definition, id) ? local.begin(definition, id, work, settled) : settled(Exit.fail(moving(definition))),
      owns,
      owned: ({ group }) => shards.owned(group),
      serveDurable: (handler) =>
        Effect.acquireRelease(
          Effect.sync(() => void (durable = handler)),
          () => Effect.sync(() => (durable = undefined))
        ),
      relay: (definition, id, key, tag, payload) =>
        order(definition, id, tag, "durable", payload, key, () =>
          durable === undefined ? Effect.fail(moving(definition)) : durable.ask(definition, id, key, tag, payload)
        ),
      wake: (definition, id) => {
        const envelope: Envelope = { actor: definition.name, id, tag: "", wish: "wake", body: null }
        const here = () => Effect.sync(() => durable?.wake())
        router.post({ definition, shard: shardOf(id), envelope, repeatable: true, here, answered: () => Effect.void })
      },
      placement: Effect.sync(() => shards.placement),
      isActive: (definition, id) =>
        Effect.suspend(() => {
          if (owns(definition, id)) return local.isActive(definition, id)
          const node = shards.holderOf(definition.group, shardOf(id))
          if (node === undefined || node === shards.address) return Effect.succeed(false)
          return links.client(node).pipe(
            Effect.flatMap((client) => client.IsActive({ actor: definition.name, id })),
            Effect.scoped,
            Effect.orElseSucceed(() => false)
          )
        })
    })

    // Last, so that this node answers when it takes its first shard, and first to go: the locks are given back then.
    yield* Layer.build(Sharding.layer)
    return system
  })

/** What an actor system on a cluster stands on. */
export type Requirements =
  | Shards
  | ClusterLocks
  | RunnerStorage
  | RpcServer.Protocol
  | RpcClientProtocol
  | ShardingConfig
  | Runners
  | RunnerHealth
  | MessageStorage

/**
 * Actors spread over the nodes of a cluster: each lives on the node that has its shard, and is reached from all. Which
 * node that is @effect/cluster decides; the messages travel by a protocol of ours, in batches.
 */
export const layer = (
  options: Partial<ActorSystem.Options> = {}
): Layer.Layer<ActorSystem.ActorSystem, never, Requirements> =>
  Layer.scoped(
    ActorSystem.ActorSystem,
    make(options) as Effect.Effect<ActorSystem.ActorSystem["Type"], never, Requirements | Scope.Scope>
  )
