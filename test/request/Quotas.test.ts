import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Settings from "../../src/config/Settings.ts"
import { RateLimited } from "../../src/errors.ts"
import { RateLimiter, layer, rules } from "../../src/rate/RateLimiter.ts"
import * as answers from "../../src/request/answers.ts"
import * as Quotas from "../../src/request/Quotas.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const settings = Settings.layerTest((shape) => ({ ...shape, rateLimit: { enabled: true } }))
const limited = layer.pipe(Layer.provide([StoreMemory.layer, settings]))

/** `t` of RateLimit, in seconds. */
const resetOf = (ratelimit: string | undefined) => Number(/;t=(\d+)$/.exec(ratelimit ?? "")?.[1])

it("t is when the whole burst is back, of a request that is let in and of one that is not", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter
    const charge = { rule: rules.joinQueue, key: "ada" }
    const last = yield* limiter.consume({ ...charge, cost: rules.joinQueue.burst })
    expect(Quotas.ratelimit(last)).toBe(`"join_queue";r=0;t=60`)
    for (let n = 0; n < 2; n++) {
      // From the store, then from memory.
      const { headers, status } = answers.failure(yield* Effect.flip(limiter.consume(charge)))
      expect(status).toBe(429)
      expect(headers).toMatchObject({
        ratelimit: `"join_queue";r=0;t=60`,
        ...Quotas.policy(last),
        "retry-after": "6"
      })
    }
    yield* TestClock.adjust("5500 millis")
    const { headers } = answers.failure(yield* Effect.flip(limiter.consume(charge)))
    expect([headers["ratelimit"], headers["retry-after"]]).toEqual([`"join_queue";r=0;t=55`, "1"])
    yield* TestClock.adjust(`${resetOf(headers["ratelimit"])} seconds`)
    const [quota] = yield* limiter.consume(charge)
    expect(quota!.remaining).toBe(rules.joinQueue.burst - 1)
  }).pipe(Effect.provide(limited)))

it("of several rules RateLimit tells of the one that is nearest to its end, and RateLimit-Policy of all", () =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter
    const charges = [rules.ip, rules.joinQueue, rules.user].map((rule) => ({ rule, key: "ada" }))
    const quotas = yield* limiter.consume(...charges)
    expect(Quotas.ratelimit(quotas)).toBe(`"join_queue";r=9;t=6`)
    expect(Quotas.policy(quotas)["ratelimit-policy"]?.match(/"\w+"/g)).toEqual([`"ip"`, `"join_queue"`, `"user"`])
  }).pipe(Effect.provide(limited)))

it("a refusal by a rule that is none of ours says when to come back, and no more", () =>
  Effect.sync(() => {
    const { headers } = answers.failure(new RateLimited({ retryAfterMillis: 10, rule: "theirs" }))
    expect(headers["retry-after"]).toBe("1")
    expect(Object.keys(headers).filter((name) => name.startsWith("ratelimit"))).toEqual([])
  }))
