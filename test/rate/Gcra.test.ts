import { expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { Denials } from "../../src/rate/Denials.ts"
import * as Gcra from "../../src/rate/Gcra.ts"
import { Meter } from "../../src/rate/Meter.ts"
import { Tally } from "../../src/rate/Tally.ts"
import type { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"
import * as Redis from "../kit/Redis.ts"

/** Ten a second, five at once. */
const meter = new Meter({ name: "test", limit: 10, window: "1 second", burst: 5, onStoreLoss: "local" })
const { interval, tolerance } = meter

const hourMicros = 3_600_000_000
const now = 1_700_000_000_000_000

/** Calls on one key, each of charges of so many units; how far ahead it was before each. */
type Take = (calls: ReadonlyArray<ReadonlyArray<number>>, at: number) => Effect.Effect<ReadonlyArray<number>>

const inProcess = (): Take => {
  const tally = new Tally(100)
  return (calls, at) =>
    Effect.sync(() =>
      calls.flatMap((units) =>
        tally.take(
          units.map((unit) => ({ meter, key: "ada", tolerance, cost: unit * interval })),
          at
        )
      )
    )
}

const inStore =
  (store: typeof Store.Service, key: string): Take =>
  (calls, at) =>
    Effect.orDie(
      store.run(
        Gcra.take,
        calls.flat().map(() => key),
        Gcra.argsOf(
          calls.map((units) => units.map((unit) => ({ tolerance, cost: unit * interval }))),
          at
        )
      )
    )

/** The claim holds in this process, in a store in memory, and on Redis. */
const everywhere = (claim: string, check: (take: Take) => Effect.Effect<void>): void =>
  it.live(claim, () =>
    Effect.gen(function* () {
      yield* check(inProcess())
      yield* check(inStore(yield* StoreMemory.make(), "ada"))
      const redis = yield* Redis.patientStore(yield* Redis.shared)
      yield* check(inStore(redis, `{rate}:${claim}`))
    })
  )

everywhere("a charge of nothing changes nothing for those after it", (take) =>
  Effect.gen(function* () {
    expect(yield* take([[0], [2], [0], [0, 1]], now)).toEqual([0, 0, 2 * interval, 2 * interval, 2 * interval])
    expect(yield* take([[0]], now)).toEqual([3 * interval])
    // Paid off, and not yet forgotten.
    expect(yield* take([[0], [1], [0]], now + 10 * interval)).toEqual([0, 0, interval])
    expect(yield* take([[0]], now + 10 * interval)).toEqual([interval])
  })
)

everywhere("charges of one key in one call add up, also in what a refusal says to wait", (take) =>
  Effect.gen(function* () {
    yield* take([[3]], now)
    expect(yield* take([[3, 2]], now)).toEqual([3 * interval, 6 * interval])
    expect(yield* take([[1, 1]], now)).toEqual([3 * interval, 4 * interval])
    expect(yield* take([[0]], now)).toEqual([5 * interval])
  })
)

everywhere("a clock that is set back makes nobody wait for longer than a whole burst", (take) =>
  Effect.gen(function* () {
    yield* take([[5]], now)
    const back = now - hourMicros
    expect(yield* take([[1]], back)).toEqual([tolerance])
    expect(yield* take([[1]], back + interval)).toEqual([tolerance - interval])
    expect(yield* take([[1, 1]], back + interval)).toEqual([tolerance, tolerance + interval])
    expect(yield* take([[0]], back + tolerance + interval)).toEqual([0])
  })
)

it("this process counts as the script does, whatever is asked and however the clock goes", () =>
  Effect.promise(() => {
    const units = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 3 })
    const turn = fc.record({
      micros: fc.integer({ min: -300_000, max: 600_000 }),
      calls: fc.array(units, { minLength: 1, maxLength: 4 })
    })
    return fc.assert(
      fc.asyncProperty(fc.array(turn, { maxLength: 30 }), (turns) =>
        Effect.runPromise(
          Effect.gen(function* () {
            const [here, there] = [inProcess(), inStore(yield* StoreMemory.make(), "ada")]
            let at = now
            for (const { calls, micros } of turns) {
              at += micros
              expect(yield* here(calls, at)).toEqual(yield* there(calls, at))
            }
          })
        )
      ),
      { numRuns: 200 }
    )
  }))

it.live("on Redis a key is kept for as long as it owes, and goes soon after", () =>
  Effect.gen(function* () {
    const server = yield* Redis.shared
    const store = yield* Redis.patientStore(server)
    for (const seconds of [1, 7, 50]) {
      const key = `{rate}:kept:${seconds}`
      const cost = seconds * 1_000_000
      for (let owed = cost; owed <= 40 * cost; owed += cost) {
        const [ahead] = yield* store.run(Gcra.take, [key], Gcra.argsOf([[{ tolerance: 40 * cost, cost }]], now))
        expect(ahead).toBe(owed - cost)
        const millisLeft = Number((yield* server.command("PTTL", key)).slice(1))
        // By Redis's own clock, which goes on meanwhile.
        expect(millisLeft).toBeWithin(owed / 1_000 - 5_000, owed / 1_000 + 60_001)
      }
    }
  })
)

test("a denied key waits for as long as each charge costs, until the store must say", () => {
  const denials = new Denials("test")
  const millis = now / 1_000
  denials.note("ada", now - 2 * interval)
  expect([1, 2, 3, 5].map((units) => denials.wait("ada", units * interval, millis))).toEqual([0, 0, 0, 0])
  denials.note("ada", now - 2 * interval)
  expect([5, 3].map((units) => denials.wait("ada", units * interval, millis))).toEqual([300, 100])
  expect(denials.wait("ada", 3 * interval, millis + 99)).toBe(1)
  expect(denials.wait("ada", 3 * interval, millis + 100)).toBe(0)
  expect(denials.wait("ada", 5 * interval, millis + 100)).toBe(0)
})

test("a denial is forgotten when the clock is set back", () => {
  const denials = new Denials("test")
  denials.note("ada", now)
  expect(denials.wait("ada", interval, now / 1_000 - 1)).toBe(0)
})
