import { PersistenceError } from "@effect/cluster/ClusterError"
import * as MachineId from "@effect/cluster/MachineId"
import * as Runner from "@effect/cluster/Runner"
import { RunnerStorage } from "@effect/cluster/RunnerStorage"
import * as ShardId from "@effect/cluster/ShardId"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Baton } from "../local/Baton.ts"
import { ClusterShards, lockExpiry, Shards } from "./Shards.ts"
import * as Groups from "../durable/Groups.ts"

/** A node that gave no sign of life for this long gets no shards. Its locks are safe until they expire all the same. */
export const silenceMax = Duration.millis(1_800)

/** Time between two tries to take shards that another node still has. */
export const acquireEvery = Duration.millis(50)

/** Time a renewal may take before it has failed; there are more before the locks expire. */
export const renewalMax = Duration.millis(800)

/** How long `acquire` tries; a little less than the engine's patience, so that it never leaves in mid-statement. */
const acquireMax = Duration.millis(800)

/** Once it has some of the shards it waits this long for the next ones: they come in batches. */
const acquireMore = Duration.millis(150)

/** Releases of one statement at most. */
const releaseMax = 1_000

/** In UTC and by the server, so that nodes whose clocks or time zones differ agree. */
const now = "timezone('utc', clock_timestamp())"

const before = (duration: Duration.Duration) => `${now} - interval '${Duration.toMillis(duration)} milliseconds'`

/**
 * Takes the shards nobody has. The rows of live locks are left alone: a renewal of them at the same time would be a
 * deadlock.
 */
const acquireText = `
  insert into cluster_locks (shard_id, address, acquired_at)
  select w.shard_id, $2::varchar, ${now} from unnest($1::text[]) as w (shard_id)
    left join cluster_locks l on l.shard_id = w.shard_id
  where l.shard_id is null or l.address = $2::varchar or l.acquired_at < ${before(lockExpiry)}
  order by w.shard_id
  on conflict (shard_id) do update set address = excluded.address, acquired_at = excluded.acquired_at
    where cluster_locks.address = excluded.address or cluster_locks.acquired_at < ${before(lockExpiry)}
  returning shard_id`

const renewText = `
  with alive as (update cluster_runners set last_heartbeat = ${now} where address = $1::varchar),
    own as (
      select shard_id from cluster_locks where address = $1::varchar and shard_id = any($2::text[]) order by shard_id for update
    )
  update cluster_locks l set acquired_at = ${now} from own where l.shard_id = own.shard_id returning l.shard_id`

/** Where the locks are kept, and what this node does about its own. */
export class ClusterLocks extends Context.Tag("@connect/actor/ClusterLocks")<
  ClusterLocks,
  {
    /** Reads who has which shard. */
    readonly read: Effect.Effect<void>
    /** The other nodes get this one's shards from now on, as soon as it releases them. */
    readonly leave: Effect.Effect<void>
  }
>() {}

/** A connection of its own, so that locks are renewed however busy the pool is. One that failed is replaced. */
const ownConnection = (sql: SqlClient.SqlClient) =>
  Effect.map(Effect.scope, (scope) => {
    const baton = new Baton()
    let current: { readonly connection: Connection; readonly scope: Scope.CloseableScope } | undefined
    const reserve = Effect.flatMap(Scope.make(), (own) =>
      Scope.extend(sql.reserve, own).pipe(
        Effect.map((connection) => (current = { connection, scope: own })),
        Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
      )
    )
    const had = Effect.suspend(() => (current === undefined ? reserve : Effect.succeed(current)))
    // Without waiting where it is there: what waits can be interrupted, and a program that ends gives back its locks.
    const open = Effect.suspend(() => (current === undefined ? baton.hold(had) : Effect.succeed(current)))
    const drop = Effect.suspend(() => {
      const dropped = current
      current = undefined
      return dropped === undefined ? Effect.void : Effect.forkIn(Scope.close(dropped.scope, Exit.void), scope)
    })
    const rows = (text: string, params: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<string>, SqlError> =>
      Effect.flatMap(open, ({ connection }) => connection.executeValues(text, params)).pipe(
        Effect.map((found) => found.map((row) => String(row[0]))),
        Effect.onError(() => drop)
      )
    return Effect.as(
      Scope.addFinalizer(
        scope,
        Effect.suspend(() => (current === undefined ? Effect.void : Scope.close(current.scope, Exit.void)))
      ),
      rows
    )
  }).pipe(Effect.flatten)

const make = (shards: ClusterShards) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* ownConnection(sql)
    const { address } = shards
    let self: Runner.Runner | undefined
    let leaving = false

    const tryAcquire = (keys: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const sent = yield* Clock.currentTimeMillis
        const taken = yield* rows(acquireText, [keys, address])
        if (taken.length > 0) shards.gained(taken, sent)
        return taken
      })

    /**
     * Tries until it has all, or some and no more come. The engine pauses for a second after each answer. One that does
     * not arrive there leaves its locks to expire.
     */
    const acquire = (keys: ReadonlyArray<string>) =>
      Effect.suspend(() => {
        const missing = new Set(keys)
        const taken: Array<string> = []
        return Effect.gen(function* () {
          const begun = yield* Clock.currentTimeMillis
          let last = begun
          while (missing.size > 0) {
            for (const key of yield* tryAcquire(Array.from(missing))) {
              missing.delete(key)
              taken.push(key)
              last = yield* Clock.currentTimeMillis
            }
            const time = yield* Clock.currentTimeMillis
            if (taken.length > 0 && time - last >= Duration.toMillis(acquireMore)) break
            if (time - begun >= Duration.toMillis(acquireMax)) return taken.length > 0 ? taken : yield* Effect.never
            if (missing.size > 0) yield* Effect.sleep(acquireEvery)
          }
          return taken
        }).pipe(Effect.onError(() => Effect.sync(() => shards.dropped(taken))))
      })

    /** A renewal that fails is no reason to stop: the locks last until they expire. */
    const renew = (keys: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        if (shards.fenced && keys.length > 0)
          return yield* new PersistenceError({ cause: new Error("This node was fenced") })
        const sent = yield* Clock.currentTimeMillis
        const exit = yield* Effect.exit(Effect.timeout(rows(renewText, [address, keys]), renewalMax))
        if (Exit.isSuccess(exit)) {
          shards.renewed(keys, exit.value, sent)
          return exit.value
        }
        if (shards.leftMillis === 0) return yield* exit
        const left = shards.leftMillis
        const shown = Number.isFinite(left) ? `they last for ${left} ms more` : "it holds none"
        yield* Effect.logWarning(`This node did not renew its locks; ${shown}`, exit.cause)
        return keys
      })

    /** What ends here may begin elsewhere only when it has ended. */
    const release = (keys: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        shards.dropped(keys)
        yield* shards.handOver
        yield* rows("delete from cluster_locks where address = $1::varchar and shard_id = any($2::text[])", [
          address,
          keys
        ])
      })

    const released = yield* Groups.make<string, void, SqlError>({
      sizeMax: releaseMax,
      full: () => {
        throw new Error("There are fewer shards than may wait")
      },
      run: (keys) => Effect.map(Effect.exit(release(keys)), (exit) => keys.map(() => exit))
    })

    /** In a fiber of its own: the one that ends the program is interrupted already. */
    const atEnd = <A, E>(effect: Effect.Effect<A, E>) =>
      Effect.flatMap(Effect.forkDaemon(Effect.timeout(effect, renewalMax)), Fiber.join)

    const orPersistence = PersistenceError.refail
    const toKeys = (ids: Iterable<ShardId.ShardId>) => Array.from(ids, String)
    const toIds = (keys: ReadonlyArray<string>) => keys.map((key) => ShardId.ShardId.fromString(key))

    const storage = RunnerStorage.of({
      register: (runner, healthy) =>
        Effect.gen(function* () {
          self = runner
          const [id] = yield* rows(
            `insert into cluster_runners (address, runner, last_heartbeat, healthy) values ($1, $2, ${now}, $3)
             on conflict (address) do update set runner = excluded.runner, last_heartbeat = excluded.last_heartbeat,
               healthy = excluded.healthy
             returning machine_id`,
            [address, Runner.Runner.encodeSync(runner), healthy]
          )
          return MachineId.make(Number(id))
        }).pipe(orPersistence),
      unregister: () =>
        atEnd(
          rows(
            `delete from cluster_runners where address = $1::varchar or last_heartbeat < ${before(Duration.minutes(1))}`,
            [address]
          )
        ).pipe(Effect.asVoid, orPersistence),
      getRunners: rows(`select runner from cluster_runners where last_heartbeat > ${before(silenceMax)}`, []).pipe(
        orPersistence,
        Effect.map((found) => {
          const runners = found.map((text) => Runner.Runner.decodeSync(text))
          // One that leaves works on until it has handed over; only the others shall think that it has gone.
          const gone =
            leaving && self !== undefined && !runners.some((runner) => String(runner.address) === String(self?.address))
          return [...runners, ...(gone ? [self!] : [])].map((runner) => [runner, true] as const)
        })
      ),
      setRunnerHealth: () => Effect.void,
      acquire: (_, ids) => acquire(toKeys(ids)).pipe(Effect.map(toIds), orPersistence),
      refresh: (_, ids) => renew(toKeys(ids)).pipe(Effect.map(toIds), orPersistence),
      release: (_, id) => orPersistence(released(String(id))),
      releaseAll: () =>
        Effect.gen(function* () {
          shards.droppedAll()
          yield* shards.handOver
          yield* atEnd(rows("delete from cluster_locks where address = $1::varchar", [address]))
        }).pipe(orPersistence)
    })

    const read = sql<{ node: string; shards: ReadonlyArray<string> }>`
      select address as node, array_agg(shard_id::text) as shards from cluster_locks
      where acquired_at >= ${sql.literal(before(lockExpiry))} group by address`.pipe(
      Effect.map((found) => shards.read(found)),
      Effect.timeout(renewalMax),
      Effect.withTracerEnabled(false),
      Effect.catchAllCause((cause) => Effect.logDebug("Who has which shard could not be read", cause))
    )

    const leave = Effect.suspend(() => {
      if (leaving) return Effect.void
      leaving = true
      return Effect.ignore(atEnd(rows("delete from cluster_runners where address = $1::varchar", [address])))
    })

    return Context.make(RunnerStorage, storage).pipe(Context.add(ClusterLocks, ClusterLocks.of({ read, leave })))
  })

/** Stops acting when the locks were not renewed in time, whatever the engine believes. */
const fence = (shards: ClusterShards) =>
  Effect.suspend(() => {
    if (shards.leftMillis > 0) return Effect.void
    shards.droppedAll()
    shards.fenced = true
    return Effect.zipRight(
      Effect.logError("The shards' locks were not renewed in time: this node stops acting"),
      shards.cut
    )
  }).pipe(
    Effect.zipRight(Effect.suspend(() => Effect.sleep(Math.max(20, Math.min(200, shards.leftMillis))))),
    Effect.forever
  )

export interface Node {
  /** `host:port`. */
  readonly address: string
  /** The shard groups that this node serves. */
  readonly groups: ReadonlyArray<string>
}

/** The locks of the shards as rows of a table that our migrations make. */
export const layer = (node: Node): Layer.Layer<RunnerStorage | ClusterLocks | Shards, never, SqlClient.SqlClient> =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const shards = new ClusterShards(node.address, node.groups, () => clock.unsafeCurrentTimeMillis())
      const context = yield* make(shards)
      yield* Effect.forkScoped(Effect.interruptible(fence(shards)))
      return Context.add(context, Shards, shards)
    })
  )
