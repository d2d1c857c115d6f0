import * as Cause from "effect/Cause"
import * as Metrics from "../../telemetry/Metrics.ts"
import type { Message } from "./Message.ts"

/** Dead letters kept; the oldest goes first. */
export const deadLettersMax = 100

/** A message that its actor failed on. The payload is shown by shape only: it may hold personal data. */
export interface DeadLetter {
  readonly actor: string
  readonly id: string
  readonly tag: string
  readonly payloadShape: string
  readonly cause: string
  readonly at: Date
}

const causeCharactersMax = 2_000
const shapeDepthMax = 4
const shapeKeysMax = 20

/** `{amount: number}` for a value. */
export const shapeOf = (value: unknown, depth = 0): string => {
  if (value === null || value === undefined) return String(value)
  if (typeof value !== "object") return typeof value
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `[${shapeOf(value[0], depth + 1)} × ${value.length}]`
  if (value instanceof Date) return "Date"
  if (depth >= shapeDepthMax) return "{…}"
  const entries = Object.entries(value)
  const shown = entries.slice(0, shapeKeysMax).map(([key, field]) => `${key}: ${shapeOf(field, depth + 1)}`)
  return `{${shown.join(", ")}${entries.length > shapeKeysMax ? ", …" : ""}}`
}

/** The last messages that failed, oldest first. */
export class DeadLetters {
  private readonly kept: Array<DeadLetter> = []

  add(actor: string, id: string, message: Message, cause: Cause.Cause<unknown>, now: number): void {
    Metrics.series(Metrics.deadLetters, "defect").unsafeUpdate(1, [])
    if (this.kept.length >= deadLettersMax) this.kept.shift()
    this.kept.push({
      actor,
      id,
      tag: message.tag,
      payloadShape: shapeOf(message.payload),
      cause: Cause.pretty(cause).slice(0, causeCharactersMax),
      at: new Date(now)
    })
  }

  list(): ReadonlyArray<DeadLetter> {
    return [...this.kept]
  }
}
