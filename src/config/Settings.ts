import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Network from "../request/Network.ts"
import * as Variable from "./Variable.ts"

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
    /** `GRAPHQL_DOCUMENTS`: a file of the only documents that are accepted. Absent: any. */
    readonly documents: Option.Option<string>
    /** `MAX_COST` of one operation, as `src/graphql/cost.ts` counts it; what costs more does not run. */
    readonly costMax: number
    /** `ALLOWED_HOSTS`: what Host may say, with its port, comma separated. Empty: any one host. */
    readonly allowedHosts: ReadonlyArray<string>
    /** `REQUIRE_HTTPS`: whether only what came over https, to a trusted proxy, is answered. */
    readonly requireHttps: boolean
    /** `TRUSTED_PROXIES`: addresses and networks whose X-Forwarded-For is believed, comma separated. */
    readonly trustedProxies: ReadonlyArray<string>
    /** `ALLOWED_ORIGINS`: browser origins besides our own, comma separated. */
    readonly allowedOrigins: ReadonlyArray<string>
    /** Time to finish what is in flight after SIGTERM or Ctrl-C: `DRAIN_TIMEOUT` in milliseconds. */
    readonly drainTimeout: Duration.Duration
    /** Before that, time in which load balancers see that it stops and everything is served still: `DRAIN_GRACE`. */
    readonly drainGrace: Duration.Duration
    /** GraphiQL and introspection. Off in production unless `ENABLE_GRAPHIQL`. */
    readonly explorer: boolean
  }
  /** Operations that may run at one time, found by what they lose to each other: `CONCURRENCY_…`. */
  readonly overload: {
    /** `CONCURRENCY_MIN` and `CONCURRENCY_MAX`: the least and the most that may be found. */
    readonly placesMin: number
    readonly placesMax: number
    /** `CONCURRENCY_DELAY` in milliseconds: what an operation may lose in the mean. */
    readonly delay: Duration.Duration
  }
  readonly redis: Option.Option<{
    /** `REDIS_HOST` (its presence turns Redis on), `REDIS_PORT`, `REDIS_PASSWORD`, `REDIS_CLUSTER`. */
    readonly host: string
    readonly port: number
    readonly password: Option.Option<Redacted.Redacted>
    readonly connectTimeout: Duration.Duration
    readonly connectionsMax: number
    readonly cluster: boolean
  }>
  readonly database: {
    /** `DATABASE_URL`. Absent: embedded Postgres in `dataDir`. */
    readonly url: Option.Option<Redacted.Redacted>
    /** `DB_DRIVER`: pg (every runtime), bun (Bun's own client), pglite (embedded in this process). auto: the best there is. */
    readonly driver: "auto" | "pg" | "bun" | "pglite"
    /** `DATA_DIR`, `.data` by default. */
    readonly dataDir: string
    /** `DB_POOL_SIZE`, `DB_POOL_MIN`. */
    readonly poolMax: number
    readonly poolMin: number
    /** `DB_PREPARED`: whether plans and settings last as long as a connection. Not with a PgBouncer that pools transactions. */
    readonly prepared: boolean
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
  /** `MEMORY_LIMIT` in bytes: near it idle actors are put away. Absent: what the cgroup or the machine allows; 0: never. */
  readonly memoryLimit: Option.Option<number>
  readonly cluster: {
    /** `CLUSTER`: spread the actors over all nodes that have it on and share a database. */
    readonly enabled: boolean
    /** `NODE_HOST`, `NODE_PORT`: where the other nodes reach this one. */
    readonly host: string
    readonly port: number
  }
  readonly session: {
    /** `SESSIONS_PER_USER`, and `SESSIONS_AT_LIMIT`: at this many the one unused for longest ends, or no more begin. */
    readonly perUserMax: number
    readonly atLimit: "end_oldest" | "refuse"
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
  readonly interaction: {
    /** An interaction ends when nobody has written for this long: `INTERACTION_IDLE_TIMEOUT` in milliseconds. */
    readonly idle: Duration.Duration
  }
  readonly communication: {
    readonly messageCache: boolean
    readonly messagesPerPageMax: number
    readonly voiceNoteCompression: boolean
  }
}

/** The settings in force. */
export class Settings extends Context.Tag("@connect/Settings")<Settings, Shape>() {}

const production = (preset: Preset) => preset === "production"

/** The minimum that the preset has gives way to a smaller maximum; one that was set does not. */
const poolSizes = (max: number, min: number): Config.Config<{ readonly poolMax: number; readonly poolMin: number }> =>
  Config.all([
    Variable.whole("DB_POOL_SIZE", 1, poolMaxOfAll, max),
    Config.option(Variable.wholeOf("DB_POOL_MIN", 0, poolMaxOfAll))
  ]).pipe(
    Config.mapOrFail(([poolMax, set]) => {
      const poolMin = Option.getOrElse(set, () => Math.min(min, poolMax))
      return poolMin <= poolMax
        ? Either.right({ poolMax, poolMin })
        : Either.left(
            ConfigError.InvalidData(["DB_POOL_MIN"], `expected at most DB_POOL_SIZE (${poolMax}), not ${poolMin}`)
          )
    })
  )

/** Operations that one process may run at one time, whatever is set. */
const placesMaxOfAll = 10_000

const places: (read: Config.Config<readonly [number, number, Duration.Duration]>) => Config.Config<Shape["overload"]> =
  Config.mapOrFail(([placesMin, placesMax, delay]) =>
    placesMin <= placesMax
      ? Either.right({ placesMin, placesMax, delay })
      : Either.left(
          ConfigError.InvalidData(
            ["CONCURRENCY_MIN"],
            `expected at most CONCURRENCY_MAX (${placesMax}), not ${placesMin}`
          )
        )
  )

/** Postgres refuses more than its max_connections anyway. */
const poolMaxOfAll = 1_000

const shape = (preset: Preset): Config.Config<Shape> =>
  Config.all({
    preset: Config.succeed(preset),
    logLevel: Variable.oneOf(
      "LOG_LEVEL",
      ["Debug", "Info", "Warning", "Error"],
      ({ production: "Info", development: "Debug", test: "Warning" } as const)[preset]
    ),
    http: Config.all({
      host: Variable.text("HOST", "an address to listen at").pipe(Config.withDefault("127.0.0.1")),
      port: Config.option(Variable.wholeOf("PORT", 0, 65_535)),
      requestTimeout: Variable.millis("REQUEST_TIMEOUT", production(preset) ? "30 seconds" : "10 seconds"),
      bodyBytesMax: Variable.whole("BODY_LIMIT", 1_024, 1_073_741_824, 10_485_760),
      slowRequestLog: Variable.flag("ENABLE_SLOW_REQUEST_LOGGING", preset !== "test"),
      slowRequestThreshold: Variable.millis("SLOW_REQUEST_THRESHOLD", "1 second"),
      responseCache: Variable.flag("ENABLE_RESPONSE_CACHE", production(preset)),
      responseCacheTtl: Variable.whole("RESPONSE_CACHE_TTL", 0, 86_400, 300).pipe(Config.map(Duration.seconds)),
      documents: Config.option(Variable.text("GRAPHQL_DOCUMENTS", "a file")),
      costMax: Variable.whole("MAX_COST", 1, 1_000_000_000, 20_000),
      allowedHosts: Variable.list("ALLOWED_HOSTS", "hosts such as example.org or example.org:8080", Variable.isHost),
      requireHttps: Variable.flag("REQUIRE_HTTPS", false),
      trustedProxies: Variable.list(
        "TRUSTED_PROXIES",
        "addresses and networks such as 10.0.0.1 or 10.0.0.0/8, with commas between",
        (text) => Network.read(text) !== undefined
      ),
      allowedOrigins: Variable.list("ALLOWED_ORIGINS", "origins such as https://example.org", Variable.isOrigin),
      drainTimeout: Variable.millis("DRAIN_TIMEOUT", production(preset) ? "25 seconds" : "5 seconds"),
      drainGrace: Variable.millis("DRAIN_GRACE", production(preset) ? "2 seconds" : 0),
      explorer: Variable.flag("ENABLE_GRAPHIQL", !production(preset))
    }),
    overload: places(
      Config.all([
        Variable.whole("CONCURRENCY_MIN", 1, placesMaxOfAll, 16),
        Variable.whole("CONCURRENCY_MAX", 1, placesMaxOfAll, 256),
        // Production has its machine for itself; anywhere else a busy one must not look like load.
        Variable.millis("CONCURRENCY_DELAY", production(preset) ? "12 millis" : "1 second")
      ])
    ),
    redis: Config.option(
      Config.all({
        host: Variable.text("REDIS_HOST", "a host name or address"),
        port: Variable.whole("REDIS_PORT", 1, 65_535, 6_379),
        password: Config.option(Variable.secret("REDIS_PASSWORD", "a password")),
        connectTimeout: Config.succeed(Duration.seconds(production(preset) ? 10 : 2)),
        connectionsMax: Config.succeed(50),
        cluster: Variable.flag("REDIS_CLUSTER", false)
      })
    ),
    database: Config.all({
      url: Config.option(
        Variable.secret("DATABASE_URL", "postgres://user:password@host:5432/name", Variable.isPostgresUrl)
      ),
      driver: Variable.oneOf("DB_DRIVER", ["auto", "pg", "bun", "pglite"], "auto"),
      dataDir: Variable.text("DATA_DIR", "a folder").pipe(Config.withDefault(".data")),
      pool: poolSizes(production(preset) ? 20 : 10, production(preset) ? 5 : 1),
      prepared: Variable.flag("DB_PREPARED", true),
      queryTimeout: Config.succeed(Duration.seconds(production(preset) ? 30 : 10)),
      queryCache: Variable.flag("ENABLE_QUERY_CACHE", production(preset)),
      queryLog: Variable.flag("ENABLE_QUERY_LOGGING", false),
      slowQueryThreshold: Variable.millis("SLOW_QUERY_THRESHOLD", "1 second")
    }).pipe(Config.map(({ pool, ...rest }) => ({ ...rest, ...pool }))),
    cache: Config.all({
      ttl: Config.succeed(Duration.seconds(3_600)),
      compression: Config.succeed(production(preset))
    }),
    memoryLimit: Config.option(Variable.wholeOf("MEMORY_LIMIT", 0, Number.MAX_SAFE_INTEGER)),
    cluster: Config.all({
      enabled: Variable.flag("CLUSTER", false),
      host: Variable.text("NODE_HOST", "a host name or address").pipe(Config.withDefault("127.0.0.1")),
      port: Variable.whole("NODE_PORT", 1, 65_535, 34_431)
    }),
    session: Config.all({
      perUserMax: Variable.whole("SESSIONS_PER_USER", 1, 1_000, 5),
      atLimit: Variable.oneOf("SESSIONS_AT_LIMIT", ["end_oldest", "refuse"], "end_oldest"),
      idle: Config.succeed(Duration.days(7)),
      absolute: Config.succeed(Duration.days(30))
    }),
    rateLimit: Config.all({
      enabled: Variable.flag("ENABLE_RATE_LIMIT", production(preset))
    }),
    metrics: Config.all({
      enabled: Variable.flag("ENABLE_METRICS", true),
      path: Variable.text("PROMETHEUS_ENDPOINT", "a path that starts with /", (path) => path.startsWith("/")).pipe(
        Config.withDefault("/metrics")
      ),
      otlpEndpoint: Config.option(
        Variable.text("OTEL_EXPORTER_OTLP_ENDPOINT", "an address such as http://127.0.0.1:4318", Variable.isHttpUrl)
      ),
      traceSampleRate: Variable.share("TRACE_SAMPLE_RATE", production(preset) ? 0.01 : 1)
    }),
    user: Config.succeed({
      profileCacheTtl: Duration.minutes(30),
      searchCacheTtl: Duration.minutes(5),
      searchResultsMax: 50
    }),
    queuing: Config.all({
      matchCache: Config.succeed(true),
      interval: Variable.millis("QUEUE_INTERVAL", "5 seconds"),
      capacity: Variable.whole("QUEUE_CAPACITY", 1, 1_000_000, 1_000),
      widenAfter: Variable.risingMillis("QUEUE_WIDEN", [3_000, 8_000, 15_000]),
      ticketTtl: Config.succeed(Duration.minutes(10)),
      recentPairs: Config.succeed(Duration.minutes(30)),
      activeInteractionsMax: Config.succeed(10)
    }),
    interaction: Config.all({ idle: Variable.millis("INTERACTION_IDLE_TIMEOUT", "30 minutes") }),
    communication: Config.succeed({ messageCache: true, messagesPerPageMax: 50, voiceNoteCompression: true })
  })

/** What each preset and environment variable means. A variable that cannot be read fails with its name and why. */
export const fromEnvironment: Effect.Effect<Shape, ConfigError.ConfigError> = Effect.flatMap(
  Variable.oneOf("NODE_ENV", ["production", "development", "test"], "development"),
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
