import { expect, test } from "bun:test"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { explain, startupError } from "../../src/config/explain.ts"
import * as Settings from "../../src/config/Settings.ts"

const errorOf = (environment: Readonly<Record<string, string>>) =>
  Either.getOrThrow(
    Effect.runSync(
      Settings.fromEnvironment.pipe(
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))),
        Effect.flip,
        Effect.either
      )
    )
  )

const wrong: ReadonlyArray<readonly [name: string, value: string, line: string]> = [
  ["NODE_ENV", "prod", 'NODE_ENV: expected one of production, development, test, not "prod"'],
  ["LOG_LEVEL", "loud", 'LOG_LEVEL: expected one of Debug, Info, Warning, Error, not "loud"'],
  ["PORT", "70000", 'PORT: expected a whole number from 0 to 65535, not "70000"'],
  ["PORT", "http", 'PORT: expected a whole number from 0 to 65535, not "http"'],
  ["REQUEST_TIMEOUT", "-1", 'REQUEST_TIMEOUT: expected milliseconds, from 0 to a day, not "-1"'],
  ["REQUEST_TIMEOUT", "30s", 'REQUEST_TIMEOUT: expected milliseconds, from 0 to a day, not "30s"'],
  ["DB_POOL_SIZE", "1.5", 'DB_POOL_SIZE: expected a whole number from 1 to 1000, not "1.5"'],
  ["DB_POOL_MIN", "50", "DB_POOL_MIN: expected at most DB_POOL_SIZE (10), not 50"],
  ["ENABLE_METRICS", "maybe", 'ENABLE_METRICS: expected true or false, not "maybe"'],
  ["TRACE_SAMPLE_RATE", "2", 'TRACE_SAMPLE_RATE: expected a number from 0 to 1, not "2"'],
  ["PROMETHEUS_ENDPOINT", "metrics", 'PROMETHEUS_ENDPOINT: expected a path that starts with /, not "metrics"'],
  [
    "ALLOWED_ORIGINS",
    "example.org",
    'ALLOWED_ORIGINS: expected origins such as https://example.org, not "example.org"'
  ],
  [
    "TRUSTED_PROXIES",
    "proxy",
    'TRUSTED_PROXIES: expected addresses and networks such as 10.0.0.1 or 10.0.0.0/8, with commas between, not "proxy"'
  ],
  [
    "QUEUE_WIDEN",
    "3000,1000,2000",
    'QUEUE_WIDEN: expected 3 rising numbers of milliseconds such as 3000,8000,15000, not "3000,1000,2000"'
  ],
  [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "localhost:4318",
    'OTEL_EXPORTER_OTLP_ENDPOINT: expected an address such as http://127.0.0.1:4318, not "localhost:4318"'
  ],
  ["REDIS_PORT", "x", 'REDIS_PORT: expected a whole number from 1 to 65535, not "x"']
]

for (const [name, value, line] of wrong) {
  test(`${name}=${value} says what is expected`, () => {
    expect(explain(errorOf({ [name]: value }))).toEqual([line])
  })
}

test("a secret that is wrong is not repeated", () => {
  expect(explain(errorOf({ DATABASE_URL: "mysql://root:hunter2@db" }))).toEqual([
    "DATABASE_URL: expected postgres://user:password@host:5432/name, not what it is"
  ])
})

test("every wrong variable is named at once, each on its line", () => {
  const error = startupError(errorOf({ LOG_LEVEL: "loud", DB_POOL_SIZE: "0", TRACE_SAMPLE_RATE: "2" }))
  expect(error.message.split("\n")).toEqual([
    "The settings are not valid: environment",
    'LOG_LEVEL: expected one of Debug, Info, Warning, Error, not "loud"',
    'DB_POOL_SIZE: expected a whole number from 1 to 1000, not "0"',
    'TRACE_SAMPLE_RATE: expected a number from 0 to 1, not "2"',
    "docs/configuration.md lists every variable."
  ])
})
