import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Overloaded } from "../errors.ts"

/** Argon2id's cost: kibibytes of memory, passes and lanes (OWASP's first choice of 19 MiB, 2, 1). */
export const cost = { memoryKibibytes: 19_456, passes: 2, lanes: 1 } as const

/**
 * Hashes computed at once on a machine with so many cores. Each takes a core for some 20 ms and 19 MiB: one core stays
 * free for everybody else, or a wave of sign-ins makes every message wait.
 */
export const hashingMax = (cores: number): number => Math.max(1, cores - 1)

/** Hashes that wait for their turn; beyond that `Overloaded`. 100 of them are about two seconds on one core. */
export const hashesWaitingMax = 100

/** A password's length in bytes of UTF-8. The upper bound keeps a megabyte from being hashed. */
export const passwordBytesMin = 8
export const passwordBytesMax = 256

const encoder = new TextEncoder()
// oxlint-disable-next-line no-control-regex
const unfit = /[\u0000-\u001f\u007f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

/** A password that someone may choose. Decodes to Redacted, so that no log shows it. */
export const NewPassword = Schema.Redacted(
  Schema.String.pipe(
    Schema.filter((password) => {
      if (password.length > passwordBytesMax) return `is longer than ${passwordBytesMax} bytes`
      const bytes = encoder.encode(password).length
      if (bytes > passwordBytesMax) return `is longer than ${passwordBytesMax} bytes`
      if (bytes < passwordBytesMin) return `is shorter than ${passwordBytesMin} bytes`
      return !unfit.test(password) || "has control characters or broken Unicode"
    })
  )
)

/** A password that someone claims to be theirs: any text up to the bound, so that an unfit one is simply wrong. */
export const ClaimedPassword = Schema.Redacted(
  Schema.String.pipe(
    Schema.filter(
      (password) =>
        (password.length <= passwordBytesMax && encoder.encode(password).length <= passwordBytesMax) ||
        `is longer than ${passwordBytesMax} bytes`
    )
  )
)

/** Passwords as argon2id PHC strings (`$argon2id$v=19$m=…`), the same on every runtime. */
export class Passwords extends Context.Tag("@connect/Passwords")<
  Passwords,
  {
    readonly hash: (password: Redacted.Redacted) => Effect.Effect<string, Overloaded>
    /** False for a wrong password, and for a hash that is not one. */
    readonly verify: (password: Redacted.Redacted, hash: string) => Effect.Effect<boolean, Overloaded>
    /** Takes as long as `verify` does; for handles that nobody has. */
    readonly dummyVerify: (password: Redacted.Redacted) => Effect.Effect<void, Overloaded>
  }
>() {}

const phc = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$/

/** Whether a hash was made with another cost than today's: replace it when its password is next known. */
export const needsRehash = (hash: string): boolean => {
  const found = phc.exec(hash)
  return (
    found === null ||
    Number(found[1]) !== cost.memoryKibibytes ||
    Number(found[2]) !== cost.passes ||
    Number(found[3]) !== cost.lanes
  )
}
