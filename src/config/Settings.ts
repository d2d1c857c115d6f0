import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as LogLevel from "effect/LogLevel"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"

/** The three presets of `NODE_ENV`. Without it, development. */
export type Preset = "production" | "development" | "test"

/** Everything that can be set. Preset first, then the environment variable named at each line. */
export interface Shape {
  readonly preset: Preset
  readonly logLevel: "Debug" | "Info" | "Warning" | "Error"
  readonly http: {
    /** `HOST`. Loopback unless set. */
    readonly host: string
    /** `PORT`. Absent: each program's own default (gateway and all 4000, user 4001, …). 0 takes a free port. */
    readonly port: Option.Option<number>
    /** `REQUEST_TIMEOUT` in milliseconds. */
    readonly requestTimeout: Duration.Duration
    /** `BODY_LIMIT` in bytes, 10,485,760 by default. */
    readonly bodyBytesMax: number
    /** `ENABLE_SLOW_REQUEST_LOGGING`, `SLOW_REQUEST_THRESHOLD` in milliseconds. */
    readonly slowRequestLog: boolean
    readonly slowRequestThreshold: Duration.Duration
    /** `ENABLE_RESPONSE_CACHE`, `RESPONSE_CACHE_TTL` in seconds. */
    readonly responseCache: boolean
    readonly responseCacheTtl: Duration.Duration
    /** `TRUSTED_PROXIES`: addresses whose X-Forwarded-For is believed, comma separated. */
    readonly trustedProxies: ReadonlyArray<string>
    /** `ALLOWED_ORIGINS`: browser origins besides our own, comma separated. */
    readonly allowedOrigins: ReadonlyArray<string>
    /** Time to finish what is in flight after SIGTERM or Ctrl-C: `DRAIN_TIMEOUT` in milliseconds. */
    readonly drainTimeout: Duration.Duration
    /** GraphiQL and introspection. Off in production unless `ENABLE_GRAPHIQL`. */
    readonly explorer: boolean
  }
  readonly redis: Option.Option<{
    /** `REDIS_HOST` (its presence turns Redis on), `REDIS_PORT`, `REDIS_PASSWORD`. */
    readonly host: string
    readonly port: number
    readonly password: Option.Option<Redacted.Redacted>
    readonly connectTimeout: Duration.Duration
    readonly connectionsMax: number
  }>
  readonly database: {
    /** `DATABASE_URL`. Absent: embedded Postgres in `dataDir`. */
    readonly url: Option.Option<Redacted.Redacted>
    /** `DATA_DIR`, `.data` by default. */
    readonly dataDir: string
    /** `DB_POOL_SIZE`, `DB_POOL_MIN`. */
    readonly poolMax: number
    readonly poolMin: number
    readonly queryTimeout: Duration.Duration
    /** `ENABLE_QUERY_CACHE`. */
    readonly queryCache: boolean
    /** `ENABLE_QUERY_LOGGING`: each statement at debug level. */
    readonly queryLog: boolean
    /** `SLOW_QUERY_THRESHOLD` in milliseconds. */
    readonly slowQueryThreshold: Duration.Duration
  }
  readonly cache: {
    readonly ttl: Duration.Duration
    readonly compression: boolean
  }
  readonly session: {
    /** `SESSIONS_PER_USER`: at this many the one unused for longest ends. */
    readonly perUserMax: number
    readonly idle: Duration.Duration
    readonly absolute: Duration.Duration
  }
  readonly rateLimit: {
    /** `ENABLE_RATE_LIMIT`. */
    readonly enabled: boolean
  }
  readonly metrics: {
    /** `ENABLE_METRICS`, `PROMETHEUS_ENDPOINT` (a path, /metrics by default). */
    readonly enabled: boolean
    readonly path: string
    /** `OTEL_EXPORTER_OTLP_ENDPOINT`: traces and metrics by OTLP when set. */
    readonly otlpEndpoint: Option.Option<string>
    /** `TRACE_SAMPLE_RATE`, 0 to 1: the share of requests that are traced when OTLP is on. */
    readonly traceSampleRate: number
  }
  readonly user: {
    readonly profileCacheTtl: Duration.Duration
    readonly searchCacheTtl: Duration.Duration
    readonly searchResultsMax: number
  }
  readonly queuing: {
    readonly matchCache: boolean
    /** `QUEUE_INTERVAL` in milliseconds. */
    readonly interval: Duration.Duration
    /** `QUEUE_CAPACITY`: tickets waiting at most. */
    readonly capacity: number
    /** Waiting time after which a ticket widens to level 1, 2 and 3: `QUEUE_WIDEN` as `3000,8000,15000`. */
    readonly widenAfter: readonly [Duration.Duration, Duration.Duration, Duration.Duration]
    readonly ticketTtl: Duration.Duration
    /** Two who met are not matched again for this long. */
    readonly recentPairs: Duration.Duration
    readonly activeInteractionsMax: number
  }
  readonly communication: {
    readonly messageCache: boolean
    readonly messagesPerPageMax: number
    readonly voiceNoteCompression: boolean
  }
}

/** The settings in force. */
export class Settings extends Context.Tag("@connect/Settings")<Settings, Shape>() {}

const millis = (name: string, fallback: Duration.DurationInput) =>
  Config.number(name).pipe(
    Config.validate({ message: "is not a number of milliseconds, 0 or more", validation: (n) => n >= 0 }),
    Config.map(Duration.millis),
    Config.withDefault(Duration.decode(fallback))
  )

const count = (name: string, min: number, fallback: number) =>
  Config.integer(name).pipe(
    Config.validate({ message: `is not a whole number of at least ${min}`, validation: (n) => n >= min }),
    Config.withDefault(fallback)
  )

const list = (name: string) =>
  Config.string(name).pipe(
    Config.map((text) =>
      text
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== "")
    ),
    Config.withDefault([] as ReadonlyArray<string>)
  )

const widen = (fallback: readonly [number, number, number]) =>
  Config.string("QUEUE_WIDEN").pipe(
    Config.map((text) => text.split(",").map(Number)),
    Config.validate({
      message: "is not three rising numbers of milliseconds such as 3000,8000,15000",
      validation: (n) => n.length === 3 && n.every((x, i) => x >= (n[i - 1] ?? 0))
    }),
    Config.withDefault(fallback),
    Config.map((n) => [Duration.millis(n[0]!), Duration.millis(n[1]!), Duration.millis(n[2]!)] as const)
  )

const production = (preset: Preset) => preset === "production"

const shape = (preset: Preset): Config.Config<Shape> =>
  Config.all({
    preset: Config.succeed(preset),
    logLevel: Config.literal(
      "Debug",
      "Info",
      "Warning",
      "Error"
    )("LOG_LEVEL").pipe(
      Config.withDefault(({ production: "Info", development: "Info", test: "Warning" } as const)[preset])
    ),
    http: Config.all({
      host: Config.string("HOST").pipe(Config.withDefault("127.0.0.1")),
      port: Config.option(Config.port("PORT").pipe(Config.orElse(() => Config.literal(0)("PORT")))),
      requestTimeout: millis("REQUEST_TIMEOUT", production(preset) ? "30 seconds" : "10 seconds"),
      bodyBytesMax: count("BODY_LIMIT", 1_024, 10_485_760),
      slowRequestLog: Config.boolean("ENABLE_SLOW_REQUEST_LOGGING").pipe(Config.withDefault(preset !== "test")),
      slowRequestThreshold: millis("SLOW_REQUEST_THRESHOLD", "1 second"),
      responseCache: Config.boolean("ENABLE_RESPONSE_CACHE").pipe(Config.withDefault(production(preset))),
      responseCacheTtl: count("RESPONSE_CACHE_TTL", 0, 300).pipe(Config.map(Duration.seconds)),
      trustedProxies: list("TRUSTED_PROXIES"),
      allowedOrigins: list("ALLOWED_ORIGINS"),
      drainTimeout: millis("DRAIN_TIMEOUT", production(preset) ? "25 seconds" : "5 seconds"),
      explorer: Config.boolean("ENABLE_GRAPHIQL").pipe(Config.withDefault(!production(preset)))
    }),
    redis: Config.option(
      Config.all({
        host: Config.nonEmptyString("REDIS_HOST"),
        port: Config.port("REDIS_PORT").pipe(Config.withDefault(6379)),
        password: Config.option(Config.redacted("REDIS_PASSWORD")),
        connectTimeout: Config.succeed(Duration.seconds(production(preset) ? 10 : 2)),
        connectionsMax: Config.succeed(50)
      })
    ),
    database: Config.all({
      url: Config.option(Config.redacted("DATABASE_URL")),
      dataDir: Config.nonEmptyString("DATA_DIR").pipe(Config.withDefault(".data")),
      poolMax: count("DB_POOL_SIZE", 1, production(preset) ? 20 : 10),
      poolMin: count("DB_POOL_MIN", 0, production(preset) ? 5 : 1),
      queryTimeout: Config.succeed(Duration.seconds(production(preset) ? 30 : 10)),
      queryCache: Config.boolean("ENABLE_QUERY_CACHE").pipe(Config.withDefault(production(preset))),
      queryLog: Config.boolean("ENABLE_QUERY_LOGGING").pipe(Config.withDefault(false)),
      slowQueryThreshold: millis("SLOW_QUERY_THRESHOLD", "1 second")
    }),
    cache: Config.all({
      ttl: Config.succeed(Duration.seconds(3_600)),
      compression: Config.succeed(production(preset))
    }),
    session: Config.all({
      perUserMax: count("SESSIONS_PER_USER", 1, 5),
      idle: Config.succeed(Duration.days(7)),
      absolute: Config.succeed(Duration.days(30))
    }),
    rateLimit: Config.all({
      enabled: Config.boolean("ENABLE_RATE_LIMIT").pipe(Config.withDefault(production(preset)))
    }),
    metrics: Config.all({
      enabled: Config.boolean("ENABLE_METRICS").pipe(Config.withDefault(true)),
      path: Config.string("PROMETHEUS_ENDPOINT").pipe(
        Config.validate({ message: "is not a path that starts with /", validation: (path) => path.startsWith("/") }),
        Config.withDefault("/metrics")
      ),
      otlpEndpoint: Config.option(Config.nonEmptyString("OTEL_EXPORTER_OTLP_ENDPOINT")),
      traceSampleRate: Config.number("TRACE_SAMPLE_RATE").pipe(
        Config.validate({ message: "is not between 0 and 1", validation: (n) => n >= 0 && n <= 1 }),
        Config.withDefault(production(preset) ? 0.01 : 1)
      )
    }),
    user: Config.succeed({
      profileCacheTtl: Duration.minutes(30),
      searchCacheTtl: Duration.minutes(5),
      searchResultsMax: 50
    }),
    queuing: Config.all({
      matchCache: Config.succeed(true),
      interval: millis("QUEUE_INTERVAL", "5 seconds"),
      capacity: count("QUEUE_CAPACITY", 1, 1_000),
      widenAfter: widen([3_000, 8_000, 15_000]),
      ticketTtl: Config.succeed(Duration.minutes(10)),
      recentPairs: Config.succeed(Duration.minutes(30)),
      activeInteractionsMax: Config.succeed(10)
    }),
    communication: Config.succeed({ messageCache: true, messagesPerPageMax: 50, voiceNoteCompression: true })
  })

/** What each preset and environment variable means. A variable that cannot be read fails with its name and why. */
export const fromEnvironment: Effect.Effect<Shape, ConfigError.ConfigError> = Effect.flatMap(
  Config.literal("production", "development", "test")("NODE_ENV").pipe(Config.withDefault("development" as const)),
  shape
)

/** Settings from the ConfigProvider in force: the process environment unless another is given. */
export const layer: Layer.Layer<Settings, ConfigError.ConfigError> = Layer.effect(Settings, fromEnvironment)

/** The `test` preset with some parts changed; reads no environment. */
export const layerTest = (change: (settings: Shape) => Shape = (settings) => settings): Layer.Layer<Settings> =>
  Layer.effect(
    Settings,
    Effect.map(Effect.withConfigProvider(shape("test"), ConfigProvider.fromMap(new Map())), change)
  ).pipe(Layer.orDie)

/** The log level as Effect's Logger names it. */
export const minimumLogLevel = (settings: Shape): LogLevel.Literal => settings.logLevel
