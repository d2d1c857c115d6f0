import { expect, test } from "bun:test"
import * as fs from "node:fs"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Settings from "../../src/config/Settings.ts"

const read = (environment: Readonly<Record<string, string>>) =>
  Effect.runSync(
    Settings.fromEnvironment.pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))),
      Effect.either
    )
  )

const settingsOf = (environment: Readonly<Record<string, string>>): Settings.Shape =>
  Either.getOrThrow(read(environment))

/** A documented variable: a value for it, where it ends up, and what that is then. */
interface Variable {
  readonly name: string
  readonly value: string
  readonly pick: (settings: Settings.Shape) => unknown
  readonly means: unknown
  /** Others it needs. */
  readonly beside?: Readonly<Record<string, string>>
}

const redis = { REDIS_HOST: "cache.internal" }
const secretOf = (value: Option.Option<Redacted.Redacted>) => Option.map(value, Redacted.value)
const url = "postgres://connect:hidden@db.internal:5432/connect"

const variables: ReadonlyArray<Variable> = [
  { name: "NODE_ENV", value: "production", pick: (s) => s.preset, means: "production" },
  { name: "MEMORY_LIMIT", value: "1000000", pick: (s) => s.memoryLimit, means: Option.some(1_000_000) },
  { name: "CLUSTER", value: "on", pick: (s) => s.cluster.enabled, means: true },
  { name: "NODE_HOST", value: "node-1", pick: (s) => s.cluster.host, means: "node-1" },
  { name: "NODE_PORT", value: "7000", pick: (s) => s.cluster.port, means: 7_000 },
  {
    name: "INTERACTION_IDLE_TIMEOUT",
    value: "60000",
    pick: (s) => s.interaction.idle,
    means: Duration.minutes(1)
  },
  { name: "LOG_LEVEL", value: "error", pick: (s) => s.logLevel, means: "Error" },
  { name: "HOST", value: "0.0.0.0", pick: (s) => s.http.host, means: "0.0.0.0" },
  { name: "PORT", value: "0", pick: (s) => s.http.port, means: Option.some(0) },
  { name: "REQUEST_TIMEOUT", value: "1500", pick: (s) => s.http.requestTimeout, means: Duration.millis(1_500) },
  { name: "BODY_LIMIT", value: "2048", pick: (s) => s.http.bodyBytesMax, means: 2_048 },
  { name: "ENABLE_SLOW_REQUEST_LOGGING", value: "FALSE", pick: (s) => s.http.slowRequestLog, means: false },
  { name: "SLOW_REQUEST_THRESHOLD", value: "50", pick: (s) => s.http.slowRequestThreshold, means: Duration.millis(50) },
  { name: "ENABLE_RESPONSE_CACHE", value: "true", pick: (s) => s.http.responseCache, means: true },
  { name: "RESPONSE_CACHE_TTL", value: "7", pick: (s) => s.http.responseCacheTtl, means: Duration.seconds(7) },
  {
    name: "GRAPHQL_DOCUMENTS",
    value: "documents.json",
    pick: (s) => s.http.documents,
    means: Option.some("documents.json")
  },
  { name: "MAX_COST", value: "500", pick: (s) => s.http.costMax, means: 500 },
  {
    name: "ALLOWED_HOSTS",
    value: "example.org, api.example.org:8080",
    pick: (s) => s.http.allowedHosts,
    means: ["example.org", "api.example.org:8080"]
  },
  { name: "CONCURRENCY_MIN", value: "5", pick: (s) => s.overload.placesMin, means: 5 },
  { name: "CONCURRENCY_MAX", value: "500", pick: (s) => s.overload.placesMax, means: 500 },
  { name: "CONCURRENCY_DELAY", value: "40", pick: (s) => s.overload.delay, means: Duration.millis(40) },
  { name: "DRAIN_GRACE", value: "300", pick: (s) => s.http.drainGrace, means: Duration.millis(300) },
  { name: "REQUIRE_HTTPS", value: "on", pick: (s) => s.http.requireHttps, means: true },
  {
    name: "TRUSTED_PROXIES",
    value: "10.0.0.1, fd00::/8",
    pick: (s) => s.http.trustedProxies,
    means: ["10.0.0.1", "fd00::/8"]
  },
  {
    name: "ALLOWED_ORIGINS",
    value: "https://example.org,http://localhost:3000",
    pick: (s) => s.http.allowedOrigins,
    means: ["https://example.org", "http://localhost:3000"]
  },
  { name: "DRAIN_TIMEOUT", value: "100", pick: (s) => s.http.drainTimeout, means: Duration.millis(100) },
  { name: "ENABLE_GRAPHIQL", value: "off", pick: (s) => s.http.explorer, means: false },
  {
    name: "REDIS_HOST",
    value: "cache.internal",
    pick: (s) => Option.map(s.redis, ({ host }) => host),
    means: Option.some("cache.internal")
  },
  {
    name: "REDIS_PORT",
    value: "6380",
    beside: redis,
    pick: (s) => Option.map(s.redis, ({ port }) => port),
    means: Option.some(6_380)
  },
  {
    name: "REDIS_PASSWORD",
    value: "hidden",
    beside: redis,
    pick: (s) => Option.flatMap(s.redis, ({ password }) => secretOf(password)),
    means: Option.some("hidden")
  },
  {
    name: "REDIS_CLUSTER",
    value: "on",
    beside: redis,
    pick: (s) => Option.map(s.redis, ({ cluster }) => cluster),
    means: Option.some(true)
  },
  { name: "DATABASE_URL", value: url, pick: (s) => secretOf(s.database.url), means: Option.some(url) },
  { name: "DATA_DIR", value: "/var/lib/connect", pick: (s) => s.database.dataDir, means: "/var/lib/connect" },
  { name: "DB_DRIVER", value: "pglite", pick: (s) => s.database.driver, means: "pglite" },
  { name: "DB_POOL_SIZE", value: "40", pick: (s) => s.database.poolMax, means: 40 },
  { name: "DB_POOL_MIN", value: "2", pick: (s) => s.database.poolMin, means: 2 },
  { name: "DB_PREPARED", value: "false", pick: (s) => s.database.prepared, means: false },
  { name: "ENABLE_QUERY_CACHE", value: "yes", pick: (s) => s.database.queryCache, means: true },
  { name: "ENABLE_QUERY_LOGGING", value: "1", pick: (s) => s.database.queryLog, means: true },
  { name: "SLOW_QUERY_THRESHOLD", value: "20", pick: (s) => s.database.slowQueryThreshold, means: Duration.millis(20) },
  { name: "SESSIONS_PER_USER", value: "2", pick: (s) => s.session.perUserMax, means: 2 },
  { name: "SESSIONS_AT_LIMIT", value: "refuse", pick: (s) => s.session.atLimit, means: "refuse" },
  { name: "ENABLE_RATE_LIMIT", value: "on", pick: (s) => s.rateLimit.enabled, means: true },
  { name: "ENABLE_METRICS", value: "false", pick: (s) => s.metrics.enabled, means: false },
  { name: "PROMETHEUS_ENDPOINT", value: "/internal", pick: (s) => s.metrics.path, means: "/internal" },
  {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    value: "http://127.0.0.1:4318",
    pick: (s) => s.metrics.otlpEndpoint,
    means: Option.some("http://127.0.0.1:4318")
  },
  { name: "TRACE_SAMPLE_RATE", value: "0.25", pick: (s) => s.metrics.traceSampleRate, means: 0.25 },
  { name: "QUEUE_INTERVAL", value: "250", pick: (s) => s.queuing.interval, means: Duration.millis(250) },
  { name: "QUEUE_CAPACITY", value: "9", pick: (s) => s.queuing.capacity, means: 9 },
  {
    name: "QUEUE_WIDEN",
    value: "1, 2,3",
    pick: (s) => s.queuing.widenAfter,
    means: [Duration.millis(1), Duration.millis(2), Duration.millis(3)]
  }
]

for (const { beside, means, name, pick, value } of variables) {
  test(`${name} works`, () => {
    expect(pick(settingsOf({ ...beside, [name]: value }))).toEqual(means)
  })
}

test("an empty variable is one that is not set", () => {
  for (const { beside, name, pick } of variables) {
    expect([name, pick(settingsOf({ ...beside, [name]: name === "REDIS_HOST" ? "" : " " }))]).toEqual([
      name,
      pick(settingsOf({ ...beside, ...(name === "REDIS_HOST" ? { [name]: "" } : {}) }))
    ])
  }
})

test("production has the promised values", () => {
  const settings = settingsOf({ NODE_ENV: "production", REDIS_HOST: "cache" })
  expect(Option.getOrThrow(settings.redis)).toMatchObject({ connectionsMax: 50, connectTimeout: Duration.seconds(10) })
  expect(settings.database).toMatchObject({ poolMax: 20, queryTimeout: Duration.seconds(30), queryCache: true })
  expect(settings.cache).toEqual({ ttl: Duration.seconds(3_600), compression: true })
  expect(settings.http).toMatchObject({ requestTimeout: Duration.seconds(30), bodyBytesMax: 10_485_760 })
  expect(settings.rateLimit.enabled).toBe(true)
  expect(settings.user).toMatchObject({ profileCacheTtl: Duration.seconds(1_800), searchResultsMax: 50 })
  expect(settings.queuing).toMatchObject({ matchCache: true, interval: Duration.millis(5_000), capacity: 1_000 })
  expect(settings.communication).toEqual({ messageCache: true, messagesPerPageMax: 50, voiceNoteCompression: true })
})

test("development has short timeouts, a small pool, debug logs and no rate limit", () => {
  const [development, production] = [settingsOf({}), settingsOf({ NODE_ENV: "production" })]
  expect(development.preset).toBe("development")
  expect(Duration.lessThan(development.http.requestTimeout, production.http.requestTimeout)).toBe(true)
  expect(development.database.poolMax).toBeLessThan(production.database.poolMax)
  expect(development.logLevel).toBe("Debug")
  expect(development.rateLimit.enabled).toBe(false)
})

test("a small maximum takes the preset's minimum of the pool along", () => {
  expect(settingsOf({ NODE_ENV: "production", DB_POOL_SIZE: "2" }).database).toMatchObject({ poolMax: 2, poolMin: 2 })
})

test("an origin that is no origin, such as *, is refused at the start", () => {
  for (const value of ["*", "https://*.example.org", "null", "example.org", "https://example.org/path"]) {
    expect([value, Either.isLeft(read({ ALLOWED_ORIGINS: value }))]).toEqual([value, true])
  }
  for (const value of ["*", "example.org/path", "https://example.org", "Example.org"]) {
    expect([value, Either.isLeft(read({ ALLOWED_HOSTS: value }))]).toEqual([value, true])
  }
})

test("a secret in the settings is never printed", () => {
  const settings = settingsOf({ ...redis, REDIS_PASSWORD: "hidden", DATABASE_URL: url })
  for (const printed of [JSON.stringify(settings), String(settings.database.url), Bun.inspect(settings)]) {
    expect(printed).not.toContain("hidden")
  }
})

/** Each row of the table in docs/configuration.md: name, meaning, production, development, test. */
const documented = fs
  .readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")))
  .map(([, name, , production, development, forTest]) => ({ name, production, development, test: forTest }))

test("docs/configuration.md lists exactly the variables that are read", () => {
  const seen = new Set<string>()
  const provider = ConfigProvider.fromMap(new Map([["REDIS_HOST", "x"]]))
  const recording = ConfigProvider.fromFlat(
    ConfigProvider.makeFlat({
      load: (path, config, split) => {
        seen.add(path.join("_"))
        return provider.flattened.load(path, config, split)
      },
      enumerateChildren: provider.flattened.enumerateChildren,
      patch: provider.flattened.patch
    })
  )
  Effect.runSync(Effect.withConfigProvider(Settings.fromEnvironment, recording))
  expect(documented.map(({ name }) => name).sort()).toEqual([...seen].sort())
  expect(variables.map(({ name }) => name).sort()).toEqual([...seen].sort())
})

const shown = (name: string, value: unknown): string => {
  if (Option.isOption(value)) return Option.isNone(value) ? "–" : shown(name, value.value)
  if (Duration.isDuration(value)) {
    return String(name.endsWith("_TTL") ? Duration.toSeconds(value) : Duration.toMillis(value))
  }
  if (Array.isArray(value)) return value.length === 0 ? "–" : value.map((part) => shown(name, part)).join(",")
  return String(value)
}

test("docs/configuration.md has the values of the presets", () => {
  for (const { name, pick } of variables) {
    if (name === "NODE_ENV") continue
    const beside = name.startsWith("REDIS_") && name !== "REDIS_HOST" ? redis : {}
    const of = (preset: Settings.Preset) => shown(name, pick(settingsOf({ ...beside, NODE_ENV: preset })))
    expect(documented.find((row) => row.name === name)).toEqual({
      name,
      production: of("production"),
      development: of("development"),
      test: of("test")
    })
  }
})
