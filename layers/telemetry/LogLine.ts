import process from "node:process"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as FiberId from "effect/FiberId"
import * as Inspectable from "effect/Inspectable"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"

/** Control characters, what ends a line or turns the direction of text, and halves of surrogate pairs. */
const unfit =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

/** Text that cannot begin a line of its own, or steer the terminal that shows it. Valid inside JSON too. */
const tame = (text: string): string => text.replace(unfit, escape)

const colours: Readonly<Record<LogLevel.LogLevel["_tag"], number>> = {
  All: 0,
  None: 0,
  Trace: 90,
  Debug: 36,
  Info: 32,
  Warning: 33,
  Error: 31,
  Fatal: 31
}

/** Values under a line: a stack's lines stay lines, indented so that none looks like a line of the log. */
const block = (text: string): string =>
  text
    .split("\n")
    .map((line) => `\n    ${tame(line.trim())}`)
    .join("")

const textOf = (value: unknown): string =>
  value instanceof Error ? block(value.stack ?? String(value)) : tame(Inspectable.toStringUnknown(value, 0))

/** For people: `17:50:16.123 INFO  user: starting {"password":"<redacted>"} token=<redacted>`, and the cause below. */
export const pretty: Logger.Logger<unknown, void> = Logger.withConsoleLog(
  Logger.make(({ annotations, cause, date, fiberId, logLevel, message, spans }) => {
    const { service, ...others } = Object.fromEntries(annotations)
    const level = logLevel.label.padEnd(5)
    const coloured = process.stdout.isTTY ? `\u001b[${colours[logLevel._tag]}m${level}\u001b[0m` : level
    const words = [
      date.toISOString().slice(11, -1),
      coloured,
      `${textOf(service ?? FiberId.threadName(fiberId))}:`,
      ...Arr.ensure(message).map(textOf),
      ...Object.entries(others).map(([name, value]) => `${tame(name)}=${textOf(value)}`),
      ...Array.from(spans, ({ label, startTime }) => `${tame(label)}=${date.getTime() - startTime}ms`)
    ]
    return words.join(" ") + (Cause.isEmpty(cause) ? "" : block(Cause.pretty(cause, { renderErrorCause: true })))
  })
)

/** For programs: one JSON object a line. */
export const json: Logger.Logger<unknown, void> = Logger.withConsoleLog(Logger.map(Logger.jsonLogger, tame))
