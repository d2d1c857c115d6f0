import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0")

/**
 * A version 7 UUID (RFC 9562): 48 bits of the Clock's milliseconds, then random bits from the Random service.
 * Sorts by time of creation. Not a secret: whoever holds an id still needs the right to what it names.
 */
export const v7: Effect.Effect<string> = Effect.randomWith((random) =>
  Effect.gen(function* () {
    const time = hex(yield* Clock.currentTimeMillis, 12)
    const a = yield* random.nextIntBetween(0, 0x1000)
    const b = yield* random.nextIntBetween(0, 0x4000)
    const c = yield* random.nextIntBetween(0, 0x1000000)
    const d = yield* random.nextIntBetween(0, 0x1000000)
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(a, 3)}-${hex(0x8000 | b, 4)}-${hex(c, 6)}${hex(d, 6)}`
  })
)
