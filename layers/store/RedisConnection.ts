import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Cluster, Redis, type RedisOptions } from "ioredis"
import { StartupError } from "../../src/config/StartupError.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"

/** Where Redis is; `Settings.redis` has this shape. */
export interface Address {
  /** Of a cluster one server is enough: it names the others. */
  readonly host: string
  readonly port: number
  readonly password: Option.Option<Redacted.Redacted>
  readonly connectTimeout: Duration.Duration
  readonly cluster: boolean
}

/** The driver's own limit, for what has no caller of ours: greetings, subscriptions, heartbeats. */
const driverTimeoutMillis = 500

/** Between two tries to connect again: 50 ms, 100 ms, … up to this. */
export const reconnectMaxMillis = 400

/** How often a server that is away or still loading its data is tried again at start, until `connectTimeout`. */
const startPauseMillis = 100

type Options = Omit<RedisOptions, "replyMapping">

/** How often the servers of a cluster are asked who holds what; also asked when one refuses a key. */
const slotsRefreshMillis = 1_000

const shared = (address: Address) => ({
  ...(Option.isSome(address.password) ? { password: Redacted.value(address.password.value) } : {}),
  connectTimeout: Duration.toMillis(address.connectTimeout),
  commandTimeout: driverTimeoutMillis,
  // One that nobody closes at the other end is given up after this, and made anew.
  disconnectTimeout: driverTimeoutMillis,
  // A dead Redis must fail at once; queueing commands for its return makes every caller wait.
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  // The ready check waits a second when it finds Redis loading; our callers see LOADING as unavailable anyway.
  enableReadyCheck: false,
  disableClientInfo: true,
  reconnectOnError: (error: Error) => error.message.startsWith("READONLY")
})

const retryStrategy = (times: number): number => Math.min(50 * times, reconnectMaxMillis)

const options = (address: Address): Options => ({
  ...shared(address),
  host: address.host,
  port: address.port,
  lazyConnect: true,
  enableOfflineQueue: false,
  retryStrategy
})

/** A connection for news of the server behind `data`. RESP2: ioredis drops what Redis pushes of itself in RESP3. */
export const newsOf = (address: Address, data: Redis): Redis =>
  new Redis({
    ...options(address),
    host: data.options.host ?? address.host,
    port: data.options.port ?? address.port,
    protocol: 2
  })

/**
 * A cluster as one client: each command goes to the server that holds its key. It has the commands of a single Redis,
 * and nothing else of it is used.
 */
const openCluster = (address: Address): Cluster =>
  new Cluster([{ host: address.host, port: address.port }], {
    lazyConnect: true,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    enableReadyCheck: false,
    clusterRetryStrategy: retryStrategy,
    clusterNodeRetryStrategy: retryStrategy,
    slotsRefreshInterval: slotsRefreshMillis,
    slotsRefreshTimeout: driverTimeoutMillis,
    retryDelayOnFailover: 50,
    retryDelayOnClusterDown: 50,
    redisOptions: { ...shared(address), connectTimeout: driverTimeoutMillis }
  })

const refused = (cause: unknown): boolean => cause instanceof Error && /NOAUTH|WRONGPASS|AUTH/.test(cause.message)

const startupError = (address: Address, cause: unknown): StartupError => {
  const wrongPassword = refused(cause)
  return new StartupError({
    what: wrongPassword
      ? "Redis refuses the password"
      : `Redis cannot be reached (${cause instanceof Error ? cause.message : String(cause)})`,
    where: `${address.host}:${address.port}`,
    fix: wrongPassword
      ? "Set REDIS_PASSWORD to Redis's password."
      : "Start Redis there, or set REDIS_HOST and REDIS_PORT to where it is, or unset REDIS_HOST to run without Redis."
  })
}

/**
 * Ready when the Effect returns; afterwards it connects again by itself whenever the connection is lost. At start a
 * server that is away or loading is tried until `connectTimeout`; a wrong password fails at once.
 */
export const connect = (address: Address, more: Options = {}): Effect.Effect<Redis, StartupError, Scope.Scope> =>
  ready(address, () => new Redis({ ...options(address), ...more }))

/** The same for a cluster: ready when it is known which server holds what. */
export const connectCluster = (address: Address): Effect.Effect<Cluster, StartupError, Scope.Scope> =>
  ready(address, () => openCluster(address))

const ready = <Client extends Redis | Cluster>(
  address: Address,
  open: () => Client
): Effect.Effect<Client, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    let last: unknown = new Error("no answer")
    const redis: Redis | Cluster = yield* Effect.acquireRelease(Effect.sync(open), (made) =>
      Effect.sync(() => made.disconnect())
    )
    // Without a listener an error event would end the process; the calls that fail carry the error.
    redis.on("error", (error: Error) => void (last = error))
    redis.on("reconnecting", () => Metrics.storeReconnects.unsafeUpdate(1, []))
    yield* Effect.tryPromise({
      // It connects by itself from the first try on; a "closed" error says less than the one noted before.
      try: () => (redis.status === "wait" ? redis.connect().then(() => redis.ping()) : redis.ping()),
      catch: (error) => {
        if (redis.status === "ready") last = error
        return last
      }
    }).pipe(
      Effect.retry({ schedule: Schedule.spaced(startPauseMillis), while: (error) => !refused(error) }),
      Effect.mapError((error) => startupError(address, error)),
      Effect.timeoutFail({ duration: address.connectTimeout, onTimeout: () => startupError(address, last) })
    )
    return redis as Client
  })
