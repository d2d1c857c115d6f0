import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
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

/** A command that Redis has not answered by then fails. */
export const commandTimeoutMillis = 50

/** Between two tries to connect again: 50 ms, 100 ms, … up to this. */
export const reconnectMaxMillis = 400

/** How often a server that is still loading its data is asked again at start. */
const loadingPauseMillis = 100

type Options = Omit<RedisOptions, "replyMapping">

const options = (address: Address, commandTimeout: number): Options => ({
  host: address.host,
  port: address.port,
  ...(Option.isSome(address.password) ? { password: Redacted.value(address.password.value) } : {}),
  connectTimeout: Duration.toMillis(address.connectTimeout),
  commandTimeout,
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

const startupError = (address: Address, cause: unknown): StartupError => {
  const message = cause instanceof Error ? cause.message : String(cause)
  const refused = /NOAUTH|WRONGPASS|AUTH/.test(message)
  return new StartupError({
    what: refused ? "Redis refuses the password" : `Redis cannot be reached (${message})`,
    where: `${address.host}:${address.port}`,
    fix: refused
      ? "Set REDIS_PASSWORD to Redis's password."
      : "Start Redis there, or set REDIS_HOST and REDIS_PORT to where it is, or unset REDIS_HOST to run without Redis."
  })
}

/** Answers PING when the promise resolves. A server that is loading its data is waited for. */
const begin = async (redis: Redis, note: (error: unknown) => void): Promise<void> => {
  await redis.connect()
  while (true) {
    const error = await redis.ping().then(
      () => undefined,
      (reason: Error) => reason
    )
    if (error === undefined) return
    note(error)
    if (!error.message.startsWith("LOADING")) throw error
    await new Promise((resolve) => setTimeout(resolve, loadingPauseMillis))
  }
}

/** Ready when the Effect returns; afterwards it connects again by itself whenever the connection is lost. */
export const connect = (
  address: Address,
  more: Options = {},
  commandTimeout: number = commandTimeoutMillis
): Effect.Effect<Redis, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    let last: unknown = new Error("no answer")
    const note = (error: unknown) => void (last = error)
    const redis = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis({ ...options(address, commandTimeout), ...more })),
      (open) => Effect.sync(() => open.disconnect())
    )
    // Without a listener an error event would end the process; the calls that fail carry the error.
    redis.on("error", note)
    redis.on("reconnecting", () => Metrics.storeReconnects.unsafeUpdate(1, []))
    yield* Effect.tryPromise({ try: () => begin(redis, note), catch: () => startupError(address, last) }).pipe(
      Effect.timeoutFail({ duration: address.connectTimeout, onTimeout: () => startupError(address, last) })
    )
    return redis
  })
