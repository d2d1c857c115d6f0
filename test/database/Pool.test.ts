import { expect } from "bun:test"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Driver, DriverConnection, Outcome } from "../../src/database/Driver.ts"
import type { Holder, Lane } from "../../src/database/Lane.ts"
import * as Pool from "../../src/database/Pool.ts"
import { isUnavailable } from "../../src/database/SqlErrors.ts"
import { it } from "../kit/effect.ts"

interface Fake extends DriverConnection {
  open: boolean
}

/** A driver whose connections open when the test says so, and a clock that it moves. */
const setting = (options: { readonly max?: number; readonly min?: number; readonly waitersMax?: number } = {}) => {
  const connecting: Array<(outcome: Outcome<DriverConnection>) => void> = []
  let now = 0
  const driver: Driver = {
    name: "pg",
    connectionsMax: Number.POSITIVE_INFINITY,
    depthMax: 16,
    connect: (done) => connecting.push(done),
    listen: () => () => {}
  }
  const pool = Pool.make({ driver, max: 2, min: 0, now: () => now, ...options })
  const connection = (): Fake => {
    const fake: Fake = {
      open: true,
      isOpen: () => fake.open,
      close: () => (fake.open = false),
      run: () => () => {}
    }
    return fake
  }
  const got: Array<string> = []
  const begun: Array<string> = []
  const held = new Map<string, { readonly lane: Lane; readonly holder: Holder }>()
  const asker = (name: string, shares: boolean, yields: boolean): Holder => {
    const holder: Holder = {
      shares,
      yields,
      begins: () => begun.push(name),
      granted: (lane) => {
        held.set(name, { lane, holder })
        got.push(name)
      },
      refused: (error) => got.push(`${name} refused${isUnavailable(error) ? "" : " oddly"}`)
    }
    return holder
  }
  const ask = (name: string, shares = false, yields = false): Holder => {
    const holder = asker(name, shares, yields)
    pool.acquire(holder)
    return holder
  }
  return {
    pool,
    connecting,
    got,
    begun,
    ask,
    share: (...names: ReadonlyArray<string>) => names.map((name) => ask(name, true)),
    connectionOf: (name: string) => held.get(name)!.lane.connection,
    release: (name: string) => pool.release(held.get(name)!.lane, held.get(name)!.holder),
    abandon: (name: string, cancel: () => void) => pool.abandon(held.get(name)!.lane, held.get(name)!.holder, cancel),
    discard: (name: string) => pool.discard(held.get(name)!.lane, held.get(name)!.holder),
    pass: (millis: number) => (now += millis),
    /** The next connection that the pool asked for is there. */
    opened: () => {
      const fake = connection()
      connecting.shift()?.(Either.right(fake))
      return fake
    },
    refused: () => connecting.shift()?.(Either.left(new SqlError({ message: "no", cause: { code: "ECONNREFUSED" } })))
  }
}

it("connections are given in the order of asking", () =>
  Effect.sync(() => {
    const { ask, got, opened, pool, release } = setting({ max: 1 })
    for (const name of ["a", "b", "c"]) ask(name)
    opened()
    for (const name of ["a", "b"]) release(name)
    expect(got).toEqual(["a", "b", "c"])
    expect(pool.figures()).toEqual({ max: 1, open: 1, inUse: 1, waiting: 0 })
  }))

it("who yields lets the others go first, each in the order of asking, and is refused as they are when it takes too long", () =>
  Effect.sync(() => {
    const { ask, got, opened, pass, pool, release } = setting({ max: 1 })
    for (const name of ["a", "b"]) ask(name, false, true)
    for (const name of ["c", "d"]) ask(name)
    opened()
    for (const name of ["c", "d", "a"]) release(name)
    expect(got).toEqual(["c", "d", "a", "b"])
    ask("e", false, true)
    pass(Pool.acquireMillisMax)
    ask("f")
    pool.sweep()
    release("b")
    expect(got.slice(4)).toEqual(["e refused", "f"])
  }))

it("no more connections are opened than allowed, and none without need", () =>
  Effect.sync(() => {
    const { ask, connecting, opened, pool, release } = setting({ max: 2 })
    for (const name of ["a", "b", "c", "d"]) ask(name)
    expect(connecting.length).toBe(2)
    opened()
    opened()
    release("a")
    expect(pool.figures()).toEqual({ max: 2, open: 2, inUse: 2, waiting: 1 })
    expect(connecting.length).toBe(0)
  }))

it("one more caller than may wait is refused at once", () =>
  Effect.sync(() => {
    const { ask, got } = setting({ max: 1, waitersMax: 2 })
    for (const name of ["a", "b", "c"]) ask(name)
    expect(got).toEqual(["c refused"])
  }))

it("a caller that waited too long is refused, the others wait on", () =>
  Effect.sync(() => {
    const { ask, got, pass, pool } = setting()
    ask("a")
    pass(Pool.acquireMillisMax - 1)
    ask("b")
    pool.sweep()
    expect(got).toEqual([])
    pass(1)
    pool.sweep()
    expect(got).toEqual(["a refused"])
  }))

it("a caller that withdraws gets nothing, and the connection goes to the next", () =>
  Effect.sync(() => {
    const { ask, got, opened, pool } = setting({ max: 1 })
    const first = ask("a")
    ask("b")
    expect(pool.withdraw(first)).toBe(true)
    opened()
    expect(got).toEqual(["b"])
    expect(pool.withdraw(first)).toBe(false)
  }))

it("when no connection can be opened everyone who waits learns why", () =>
  Effect.sync(() => {
    const { ask, got, pool, refused } = setting({ max: 2 })
    for (const name of ["a", "b", "c"]) ask(name)
    refused()
    refused()
    expect(got).toEqual(["a refused", "b refused", "c refused"])
    expect(pool.figures().open).toBe(0)
  }))

it("a broken connection is not given to anyone", () =>
  Effect.sync(() => {
    const { ask, connecting, got, opened, release } = setting({ max: 1 })
    ask("a")
    const first = opened()
    release("a")
    first.open = false
    ask("b")
    expect(got).toEqual(["a"])
    expect(connecting.length).toBe(1)
    opened()
    expect(got).toEqual(["a", "b"])
  }))

it("an abandoned connection is cancelled again and again, and closed when that does not help", () =>
  Effect.sync(() => {
    const { abandon, ask, opened, pass, pool, release } = setting({ max: 1 })
    ask("a")
    const connection = opened()
    let cancels = 0
    abandon("a", () => cancels++)
    pool.sweep()
    pool.sweep()
    expect([cancels, connection.open]).toEqual([3, true])
    pass(Pool.cancelMillisMax)
    pool.sweep()
    expect([connection.open, pool.figures().open]).toEqual([false, 0])
    release("a")
    expect(pool.figures().open).toBe(0)
  }))

it("idle connections above the minimum are closed, the longest unused first", () =>
  Effect.sync(() => {
    const { ask, opened, pass, pool, release } = setting({ max: 2, min: 1 })
    ask("a")
    ask("b")
    const [first, second] = [opened(), opened()]
    release("b")
    pass(Pool.idleMillisMax)
    release("a")
    pool.sweep()
    expect([first.open, second.open]).toEqual([true, false])
    pass(Pool.idleMillisMax)
    pool.sweep()
    expect(first.open).toBe(true)
  }))

it("a closed pool refuses, and closes what it has", () =>
  Effect.sync(() => {
    const { ask, got, opened, pool } = setting({ max: 1 })
    ask("a")
    const connection = opened()
    ask("b")
    pool.close()
    ask("c")
    expect(got).toEqual(["a", "b refused", "c refused"])
    expect(connection.open).toBe(false)
  }))

it("quick statements share a connection in their order, up to a depth, before the next is taken", () =>
  Effect.sync(() => {
    const { ask, begun, connectionOf, got, opened, pool, release, share } = setting({ max: 2 })
    ask("x")
    ask("y")
    opened()
    opened()
    release("x")
    release("y")
    const names = Array.from({ length: 2 * Pool.depthWanted + 1 }, (_, index) => `${index}`)
    share(...names)
    expect(got.slice(2)).toEqual(names)
    const [first, second] = [connectionOf("0"), connectionOf(String(Pool.depthWanted))]
    expect(names.map((name) => connectionOf(name) === first).indexOf(false)).toBe(Pool.depthWanted)
    expect(second).not.toBe(first)
    expect(begun.slice(2)).toEqual(["0", String(Pool.depthWanted)])
    release("0")
    expect(begun.at(-1)).toBe("1")
    expect(pool.figures()).toEqual({ max: 2, open: 2, inUse: 2, waiting: 0 })
  }))

it("who wants a connection alone is not passed over by those who share", () =>
  Effect.sync(() => {
    const { ask, got, opened, release, share } = setting({ max: 1 })
    share("a")
    opened()
    share("b")
    ask("alone")
    share("c")
    expect(got).toEqual(["a", "b"])
    release("a")
    release("b")
    expect(got).toEqual(["a", "b", "alone"])
    release("alone")
    share("d")
    expect(got).toEqual(["a", "b", "alone", "c", "d"])
  }))

it("a shared statement that was abandoned is cancelled when it is its turn, and nobody joins it", () =>
  Effect.sync(() => {
    const { abandon, got, opened, pool, release, share } = setting({ max: 1 })
    share("a")
    opened()
    share("b", "c")
    let cancels = 0
    abandon("b", () => cancels++)
    share("d")
    pool.sweep()
    expect([cancels, got]).toEqual([0, ["a", "b", "c"]])
    release("a")
    pool.sweep()
    expect(cancels).toBe(1)
    release("b")
    pool.sweep()
    release("c")
    expect([cancels, got]).toEqual([1, ["a", "b", "c", "d"]])
  }))

it("those who share a connection that is not worth keeping may finish", () =>
  Effect.sync(() => {
    const { discard, opened, pool, release, share } = setting({ max: 1 })
    share("a")
    const connection = opened()
    share("b")
    discard("a")
    expect([connection.open, pool.figures().open]).toEqual([true, 0])
    release("b")
    expect(connection.open).toBe(false)
  }))

it("after a refused attempt others are not made at once while some connections serve", () =>
  Effect.sync(() => {
    const { ask, connecting, opened, pass, pool, refused } = setting({ max: 3 })
    ask("a")
    opened()
    ask("b")
    refused()
    ask("c")
    expect(connecting.length).toBe(0)
    pass(Pool.reconnectMillis)
    pool.sweep()
    expect(connecting.length).toBe(2)
  }))

it("when no connection could be made callers are refused at once for a moment, and then it is tried again", () =>
  Effect.sync(() => {
    const { ask, connecting, got, opened, pass, refused } = setting({ max: 3 })
    ask("a")
    refused()
    ask("b")
    expect([got, connecting.length]).toEqual([["a refused", "b refused"], 0])
    pass(Pool.reconnectMillis)
    ask("c")
    opened()
    expect(got.at(-1)).toBe("c")
  }))
