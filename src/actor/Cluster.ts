import * as Entity from "@effect/cluster/Entity"
import * as EntityId from "@effect/cluster/EntityId"
import * as ShardId from "@effect/cluster/ShardId"
import { Sharding } from "@effect/cluster/Sharding"
import * as Rpc from "@effect/rpc/Rpc"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ActorCrashed, ActorStopped, AskTimeout, isConnectError, MailboxFull } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as ActorSystem from "./ActorSystem.ts"
import type { Definition } from "./Definition.ts"

/** Time between two looks for actors whose shard has gone to another node. */
export const disownEvery = "250 millis"

/** Shards of each group; the same on all nodes. */
export const shardsPerGroup = 300

/** Time a sender is told to wait while shards move. */
const movingMillis = 250

/**
 * What travels: one message of any protocol, encoded. Its reply travels as an encoded Exit, so that the failures of the
 * protocol and our own arrive typed and the cluster has nothing to interpret.
 */
const envelope = { tag: Schema.String, body: Schema.Unknown, ask: Schema.Boolean }

const protocol = [
  Rpc.make("Deliver", { payload: envelope, success: Schema.Unknown }),
  Rpc.make("Open", { payload: envelope, success: Schema.Unknown, error: Schema.Unknown, stream: true }),
  Rpc.make("IsActive", { success: Schema.Boolean })
] as const

type Remote = Entity.Entity<string, (typeof protocol)[number]>

const Failure = Schema.Union(MailboxFull, ActorStopped, ActorCrashed, AskTimeout)

type ExitSchema = Schema.Schema<Exit.Exit<unknown, unknown>, unknown>

/** What comes back for a message that nobody waits for: whether a mailbox has it. */
const accepted = Schema.Exit({
  success: Schema.Unknown,
  failure: Failure,
  defect: Schema.Defect
}) as unknown as ExitSchema

interface Codec {
  readonly payload: Schema.Schema<unknown, unknown>
  readonly exit: ExitSchema
  readonly value: Schema.Schema<unknown, unknown>
  readonly error: Schema.Schema<unknown, unknown>
}

/** A type as the cluster knows it. */
interface Kind {
  readonly definition: Definition
  readonly entity: Remote
  readonly group: string
  readonly codecs: ReadonlyMap<string, Codec>
}

const codecOf = (rpc: Rpc.AnyWithProps): Codec => {
  const streamed = "success" in rpc.successSchema && "failure" in rpc.successSchema
  const parts = rpc.successSchema as unknown as {
    readonly success: Schema.Schema.Any
    readonly failure: Schema.Schema.All
  }
  const value = (streamed ? parts.success : rpc.successSchema) as Schema.Schema<unknown, unknown>
  const own = (streamed ? [rpc.errorSchema, parts.failure] : [rpc.errorSchema]) as ReadonlyArray<Schema.Schema.Any>
  const error = Schema.Union(...own, Failure) as unknown as Schema.Schema<unknown, unknown>
  return {
    payload: rpc.payloadSchema as Schema.Schema<unknown, unknown>,
    value,
    error,
    exit: Schema.Exit({
      success: streamed ? Schema.Unknown : value,
      failure: error,
      defect: Schema.Defect
    }) as unknown as ExitSchema
  }
}

const kindOf = (kinds: Map<string, Kind>, definition: Definition): Kind => {
  const known = kinds.get(definition.name)
  if (known !== undefined) return known
  const entity: Remote = Entity.make(definition.name, protocol)
  const made: Kind = {
    definition,
    entity,
    group: entity.getShardGroup(EntityId.make(definition.name)),
    codecs: new Map(Array.from(definition.protocol, ([tag, rpc]) => [tag, codecOf(rpc)]))
  }
  kinds.set(definition.name, made)
  return made
}

/** What the cluster does not settle in our words: nobody has the shard now, or the connection broke on the way. */
const transport = (definition: Definition, cause: Cause.Cause<unknown>): Effect.Effect<never, unknown> => {
  if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure) && isConnectError(failure.value)) return Effect.fail(failure.value)
  Metrics.series(Metrics.actorRemoteFailures, definition.name).unsafeUpdate(1, [])
  return Effect.zipRight(
    Effect.logDebug(`A call of ${definition.name} on another node failed`, cause),
    Effect.fail(new ActorStopped({ actor: definition.name, retryAfterMillis: movingMillis }))
  )
}

const make = (options: Partial<ActorSystem.Options>) =>
  Effect.gen(function* () {
    const sharding = yield* Sharding
    const local = yield* ActorSystem.make(options)
    const kinds = new Map<string, Kind>()
    const served = new Set<string>()
    const owned = new Set<string>()

    /** Whether an actor lives in this process: its shard is ours, and so is its type. */
    const isOurs = (kind: Kind, id: string): boolean =>
      served.has(kind.definition.name) && sharding.hasShardId(sharding.getShardId(EntityId.make(id), kind.group))

    const clientOf = (kind: Kind) => Effect.provideService(kind.entity.client, Sharding, sharding)

    const remote = (kind: Kind, id: string, tag: string, payload: unknown, ask: boolean) =>
      Effect.gen(function* () {
        const codec = kind.codecs.get(tag)!
        const body = (yield* Effect.orDie(Schema.encode(codec.payload)(payload))) ?? null
        const client = yield* clientOf(kind)
        const reply = yield* client(id)
          .Deliver({ tag, body, ask })
          .pipe(
            Effect.catchAllCause((cause) => transport(kind.definition, cause)),
            Effect.timeoutFail({
              duration: kind.definition.askTimeoutMillis,
              onTimeout: () =>
                new AskTimeout({ actor: kind.definition.name, timeoutMillis: kind.definition.askTimeoutMillis })
            })
          )
        return yield* Effect.flatten(Effect.orDie(Schema.decodeUnknown(ask ? codec.exit : accepted)(reply)))
      })

    const remoteStream = (kind: Kind, id: string, tag: string, payload: unknown) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const codec = kind.codecs.get(tag)!
          const body = (yield* Effect.orDie(Schema.encode(codec.payload)(payload))) ?? null
          const client = yield* clientOf(kind)
          return client(id)
            .Open({ tag, body, ask: true })
            .pipe(
              Stream.mapEffect((value) => Effect.orDie(Schema.decodeUnknown(codec.value)(value))),
              Stream.catchAllCause((cause) => {
                const failure = Cause.failureOption(cause)
                return Stream.fromEffect(
                  Option.isSome(failure) && !isConnectError(failure.value)
                    ? Schema.decodeUnknown(codec.error)(failure.value).pipe(
                        Effect.matchEffect({
                          onFailure: () => transport(kind.definition, cause),
                          onSuccess: (error) => Effect.fail(error)
                        })
                      )
                    : transport(kind.definition, cause)
                )
              })
            )
        })
      )

    const handlers = (kind: Kind) => {
      const decode = (tag: string, body: unknown) =>
        Effect.orDie(Schema.decodeUnknown(kind.codecs.get(tag)!.payload)(body ?? undefined))
      return kind.entity.of({
        Deliver: ({ address, payload: { ask, body, tag } }) =>
          Effect.gen(function* () {
            const payload = yield* decode(tag, body)
            const send = ask ? local.ask : local.tell
            const exit = yield* Effect.exit(send(kind.definition, address.entityId, tag, payload))
            return yield* Effect.orDie(Schema.encode(ask ? kind.codecs.get(tag)!.exit : accepted)(exit))
          }),
        Open: ({ address, payload: { body, tag } }) => {
          const codec = kind.codecs.get(tag)!
          return Stream.unwrap(
            Effect.map(decode(tag, body), (payload) => local.stream(kind.definition, address.entityId, tag, payload))
          ).pipe(
            Stream.mapEffect((value) => Effect.orDie(Schema.encode(codec.value)(value))),
            Stream.catchAll((error) =>
              Stream.fromEffect(Effect.flatMap(Effect.orDie(Schema.encode(codec.error)(error)), Effect.fail))
            )
          )
        },
        IsActive: ({ address }) => local.isActive(kind.definition, address.entityId)
      })
    }

    /** Actors whose shard has gone end their activation; what waits is told to try again, and finds the new node. */
    const disown = Effect.suspend(() => {
      let lost = false
      for (const { group } of kinds.values()) {
        for (let shard = 1; shard <= shardsPerGroup; shard++) {
          const id = ShardId.make(group, shard)
          const key = id.toString()
          if (sharding.hasShardId(id)) owned.add(key)
          else if (owned.delete(key)) lost = true
        }
      }
      if (!lost) return Effect.void
      return Effect.forEach(served, (name) => local.disown(name, (id) => isOurs(kinds.get(name)!, id)), {
        discard: true
      })
    })
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep(disownEvery), disown)))

    return ActorSystem.ActorSystem.of({
      ...local,
      register: (definition, activate, context) =>
        Effect.gen(function* () {
          const kind = kindOf(kinds, definition)
          yield* local.register(definition, activate, context)
          served.add(definition.name)
          yield* Effect.addFinalizer(() => Effect.sync(() => served.delete(definition.name)))
          yield* sharding.registerEntity(kind.entity, Effect.succeed(handlers(kind)), {
            concurrency: "unbounded",
            mailboxCapacity: "unbounded",
            disableFatalDefects: true,
            maxIdleTime: "30 seconds"
          })
        }),
      ask: (definition, id, tag, payload) =>
        Effect.suspend(() => {
          const kind = kindOf(kinds, definition)
          return isOurs(kind, id) ? local.ask(definition, id, tag, payload) : remote(kind, id, tag, payload, true)
        }),
      tell: (definition, id, tag, payload) =>
        Effect.suspend(() => {
          const kind = kindOf(kinds, definition)
          return isOurs(kind, id)
            ? local.tell(definition, id, tag, payload)
            : Effect.asVoid(remote(kind, id, tag, payload, false))
        }),
      stream: (definition, id, tag, payload) =>
        Stream.suspend(() => {
          const kind = kindOf(kinds, definition)
          return isOurs(kind, id) ? local.stream(definition, id, tag, payload) : remoteStream(kind, id, tag, payload)
        }),
      isActive: (definition, id) =>
        Effect.suspend(() => {
          const kind = kindOf(kinds, definition)
          if (isOurs(kind, id)) return local.isActive(definition, id)
          return Effect.flatMap(clientOf(kind), (client) => Effect.orElseSucceed(client(id).IsActive(), () => false))
        })
    })
  })

/** Actors spread over the nodes of a cluster: each lives on the node that has its shard, and is reached from all. */
export const layer = (
  options: Partial<ActorSystem.Options> = {}
): Layer.Layer<ActorSystem.ActorSystem, never, Sharding> => Layer.scoped(ActorSystem.ActorSystem, make(options))
