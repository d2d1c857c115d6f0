import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ActorStopped } from "../../src/errors.ts"
import { RetryBudget, share, tokensMax } from "../../src/actor/cluster/RetryBudget.ts"
import { type Order, Router } from "../../src/actor/cluster/Router.ts"
import { it } from "../kit/effect.ts"

const calls = 500

/** How Exits of calls look between nodes. */
const stopped = { _tag: "Failure", cause: { _tag: "Fail", error: { _tag: "ActorStopped" } } }

/** Calls to a node that says of each actor that it goes elsewhere, which it never does. */
const ask = (repeatable: boolean) =>
  Effect.gen(function* () {
    let now = 0
    let sent = 0
    const router = new Router({
      shards: { address: "here", holds: () => false, holderOf: () => "there" } as never,
      links: {
        send: (_: string, sending: { readonly answered: (answer: unknown) => void }) => {
          sent++
          sending.answered(stopped)
        }
      } as never,
      // Time puts nothing in.
      budget: new RetryBudget(() => 0),
      now: () => now,
      fork: (effect) => void Effect.runFork(effect),
      alarm: () => ({ add: () => undefined, remove: () => undefined }) as never,
      serves: () => false
    })
    const failure = new ActorStopped({ actor: "Room", retryAfterMillis: 1 })
    const order = {
      definition: { name: "Room", group: "default", askTimeoutMillis: 60_000 },
      shard: 0,
      envelope: {},
      repeatable,
      here: () => Effect.void,
      answered: () => Effect.fail(failure)
    } as unknown as Order
    const all = yield* Effect.fork(
      Effect.replicateEffect(Effect.flip(router.order(order)), calls, { concurrency: "unbounded" })
    )
    while (all.unsafePoll() === null) {
      now += 1_000
      router.retry()
      yield* Effect.yieldNow()
    }
    expect(yield* Fiber.join(all)).toEqual(Array.from({ length: calls }, () => failure))
    return sent
  })

it("calls that may be repeated are, as far as the budget of all goes, and then fail as the node said", () =>
  Effect.gen(function* () {
    const most = calls + tokensMax / 2 + calls * share
    const sent = yield* ask(true)
    expect(sent).toBeGreaterThan(most - 2)
    expect(sent).toBeLessThanOrEqual(most)
  }))

it("calls that may not arrive twice are sent once", () =>
  Effect.gen(function* () {
    expect(yield* ask(false)).toBe(calls)
  }))
