import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Redis, type RedisOptions } from "ioredis"
import { StartupError } from "../../src/config/StartupError.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"

/** Where Redis is; `Settings.redis` has this shape. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly password: Option.Option<Redacted.Redacted>
  readonly connectTimeout: Duration.Duration
}

/** The driver's own limit, for what has no caller of ours: greetings, subscriptions, heartbeats. */
const driverTimeoutMillis = 500

/** Between two tries to connect again: 50 ms, 100 ms, … up to this. */
export const reconnectMaxMillis = 400

/** How often a server that is away or still loading its data is tried again at start, until `connectTimeout`. */
const startPauseMillis = 100

type Options = Omit<RedisOptions, "replyMapping">

const options = (address: Address): Options => ({
  host: address.host,
  port: address.port,
  ...(Option.isSome(address.password) ? { password: Redacted.value(address.password.value) } : {}),
  connectTimeout: Duration.toMillis(address.connectTimeout),
  commandTimeout: driverTimeoutMillis,
  lazyConnect: true,
  // A dead Redis must fail at once; queueing commands for its return makes every caller wait.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  // The ready check waits a second when it finds Redis loading; our callers see LOADING as unavailable anyway.
  enableReadyCheck: false,
  disableClientInfo: true,
  retryStrategy: (times) => Math.min(50 * times, reconnectMaxMillis),
  reconnectOnError: (error) => error.message.startsWith("READONLY")
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
  Effect.gen(function* () {
    let last: unknown = new Error("no answer")
    const redis = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis({ ...options(address), ...more })),
      (open) => Effect.sync(() => open.disconnect())
    )
    // Without a listener an error event would end the process; the calls that fail carry the error.
    redis.on("error", (error) => void (last = error))
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
    return redis
  })
