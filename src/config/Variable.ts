import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"

/**
 * Readers of one environment variable each. A variable that is absent or empty has its default, so that
 * `REDIS_PASSWORD=${REDIS_PASSWORD:-}` in a compose file means "none". One that cannot be read fails with a message
 * that says what is expected and what came, except for secrets.
 */
const variable = <A>(
  name: string,
  expected: string,
  parse: (text: string) => A | undefined,
  show: (text: string) => string = JSON.stringify
): Config.Config<A> =>
  Config.primitive(expected, (raw): Either.Either<A, ConfigError.ConfigError> => {
    const text = raw.trim()
    if (text === "") return Either.left(ConfigError.MissingData([], `expected ${expected}`))
    const value = parse(text)
    return value === undefined
      ? Either.left(ConfigError.InvalidData([], `expected ${expected}, not ${show(text)}`))
      : Either.right(value)
  }).pipe(Config.nested(name))

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)$/

const within = (text: string, min: number, max: number): number | undefined => {
  const value = decimal.test(text) ? Number(text) : NaN
  return value >= min && value <= max ? value : undefined
}

/** The longest time that can be set: a day. */
const millisMax = 86_400_000

/** A time in milliseconds, up to a day. */
export const millis = (name: string, fallback: Duration.DurationInput): Config.Config<Duration.Duration> =>
  variable(name, "milliseconds, from 0 to a day", (text) => within(text, 0, millisMax)).pipe(
    Config.map(Duration.millis),
    Config.withDefault(Duration.decode(fallback))
  )

/** A whole number, without a default. */
export const wholeOf = (name: string, min: number, max: number): Config.Config<number> =>
  variable(name, `a whole number from ${min} to ${max}`, (text) => {
    const value = within(text, min, max)
    return Number.isInteger(value) ? value : undefined
  })

/** A whole number. */
export const whole = (name: string, min: number, max: number, fallback: number): Config.Config<number> =>
  Config.withDefault(wholeOf(name, min, max), fallback)

/** A number from 0 to 1. */
export const share = (name: string, fallback: number): Config.Config<number> =>
  Config.withDefault(
    variable(name, "a number from 0 to 1", (text) => within(text, 0, 1)),
    fallback
  )

const words = new Map([
  ["true", true],
  ["yes", true],
  ["on", true],
  ["1", true],
  ["false", false],
  ["no", false],
  ["off", false],
  ["0", false]
])

/** On or off, in any case of letters. */
export const flag = (name: string, fallback: boolean): Config.Config<boolean> =>
  Config.withDefault(
    variable(name, "true or false", (text) => words.get(text.toLowerCase())),
    fallback
  )

/** One of these words, in any case of letters. */
export const oneOf = <const A extends string>(
  name: string,
  choices: ReadonlyArray<A>,
  fallback: NoInfer<A>
): Config.Config<A> =>
  Config.withDefault(
    variable(name, `one of ${choices.join(", ")}`, (text) =>
      choices.find((choice) => choice.toLowerCase() === text.toLowerCase())
    ),
    fallback
  )

/** Text that `accept` takes; `expected` says which. */
export const text = (
  name: string,
  expected: string,
  accept: (text: string) => boolean = () => true
): Config.Config<string> => variable(name, expected, (value) => (accept(value) ? value : undefined))

/** Text that is never shown, not even when it is wrong. */
export const secret = (
  name: string,
  expected: string,
  accept: (text: string) => boolean = () => true
): Config.Config<Redacted.Redacted> =>
  Config.map(
    variable(
      name,
      expected,
      (value) => (accept(value) ? value : undefined),
      () => "what it is"
    ),
    Redacted.make
  )

/** Texts with commas between; none without the variable. */
export const list = (
  name: string,
  expected: string,
  accept: (text: string) => boolean
): Config.Config<ReadonlyArray<string>> =>
  variable(name, expected, (value) => {
    const parts = value
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")
    return parts.every(accept) ? parts : undefined
  }).pipe(Config.withDefault([] as ReadonlyArray<string>))

/** Times in milliseconds with commas between, each at least the one before. */
export const risingMillis = <const A extends ReadonlyArray<number>>(name: string, fallback: A) =>
  variable(name, `${fallback.length} rising numbers of milliseconds such as ${fallback.join(",")}`, (value) => {
    const times = value.split(",").map((part) => within(part.trim(), 0, millisMax) ?? NaN)
    return times.length === fallback.length && times.every((time, i) => time >= (times[i - 1] ?? 0)) ? times : undefined
  }).pipe(
    Config.withDefault(fallback as ReadonlyArray<number>),
    Config.map((times) => times.map(Duration.millis) as unknown as { readonly [K in keyof A]: Duration.Duration })
  )

const parsed = (value: string): URL | undefined => (URL.canParse(value) ? new URL(value) : undefined)

/** An address such as `http://127.0.0.1:4318`. */
export const isHttpUrl = (value: string): boolean => /^https?:$/.test(parsed(value)?.protocol ?? "")

/** What a browser sends as Origin, such as `https://example.org`. */
export const isOrigin = (value: string): boolean =>
  parsed(value)?.origin === value && isHttpUrl(value) && !value.includes("*")

/** An address such as `postgres://user:password@host:5432/name`. */
export const isPostgresUrl = (value: string): boolean => /^postgres(ql)?:$/.test(parsed(value)?.protocol ?? "")

/** A host as the Host header names it: lower case, with the port where it is not the scheme's. */
export const isHost = (value: string): boolean => parsed(`http://${value}`)?.host === value && !value.includes("*")
