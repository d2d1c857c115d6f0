import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Token from "../../src/session/Token.ts"
import { it } from "../kit/effect.ts"

it("a token has 256 bits, and no two are the same", () =>
  Effect.gen(function* () {
    const tokens = yield* Effect.replicateEffect(Token.make, 10_000)
    expect(new Set(tokens).size).toBe(tokens.length)
    const bits = Array.from({ length: 256 }, () => 0)
    for (const token of tokens) {
      const bytes = Buffer.from(token, "base64url")
      expect(bytes.length).toBe(32)
      for (const bit of bits.keys()) bits[bit]! += (bytes[bit >> 3]! >> (bit & 7)) & 1
    }
    // Each bit is set in half of the tokens, by six times the standard deviation of 50 at the most.
    for (const set of bits) expect(Math.abs(set - tokens.length / 2)).toBeLessThan(300)
  }))
