import type * as Effect from "effect/Effect"

/** Argon2id on one runtime. `verify` is false for a hash that it cannot read. */
export interface Argon2 {
  readonly hash: (password: string) => Effect.Effect<string>
  readonly verify: (password: string, hash: string) => Effect.Effect<boolean>
}
