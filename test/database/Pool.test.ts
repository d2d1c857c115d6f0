import { expect } from "bun:test"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Driver, DriverConnection, Outcome } from "../../src/database/Driver.ts"
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
    connect: (done) => connecting.push(done)
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
  const held = new Map<string, DriverConnection>()
  return {
    pool,
    connecting,
    got,
    held,
    pass: (millis: number) => (now += millis),
    /** The next connection that the pool asked for is there. */
    opened: () => {
      const fake = connection()
      connecting.shift()?.(Either.right(fake))
      return fake
    },
    refused: () => connecting.shift()?.(Either.left(new SqlError({ message: "no", cause: { code: "ECONNREFUSED" } }))),
    ask: (name: string) =>
      pool.acquire((outcome) => {
        if (Either.isRight(outcome)) held.set(name, outcome.right)
        got.push(Either.isRight(outcome) ? name : `${name} refused${isUnavailable(outcome.left) ? "" : " oddly"}`)
      })
  }
}

it("connections are given in the order of asking", () =>
  Effect.sync(() => {
    const { ask, got, held, opened, pool } = setting({ max: 1 })
    for (const name of ["a", "b", "c"]) ask(name)
    opened()
    for (const name of ["a", "b"]) pool.release(held.get(name)!)
    expect(got).toEqual(["a", "b", "c"])
    expect(pool.figures()).toEqual({ max: 1, open: 1, inUse: 1, waiting: 0 })
  }))

it("no more connections are opened than allowed, and none without need", () =>
  Effect.sync(() => {
    const { ask, connecting, opened, pool, held } = setting({ max: 2 })
    for (const name of ["a", "b", "c", "d"]) ask(name)
    expect(connecting.length).toBe(2)
    opened()
    opened()
    pool.release(held.get("a")!)
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
    const { ask, got, opened } = setting({ max: 1 })
    const withdraw = ask("a")
    ask("b")
    expect(withdraw()).toBe(true)
    opened()
    expect(got).toEqual(["b"])
    expect(withdraw()).toBe(false)
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
    const { ask, connecting, got, held, opened, pool } = setting({ max: 1 })
    ask("a")
    const first = opened()
    pool.release(held.get("a")!)
    first.open = false
    ask("b")
    expect(got).toEqual(["a"])
    expect(connecting.length).toBe(1)
    opened()
    expect(got).toEqual(["a", "b"])
  }))

it("an abandoned connection is cancelled again and again, and closed when that does not help", () =>
  Effect.sync(() => {
    const { ask, held, opened, pass, pool } = setting({ max: 1 })
    ask("a")
    const connection = opened()
    let cancels = 0
    pool.abandon(held.get("a")!, () => cancels++)
    pool.sweep()
    pool.sweep()
    expect([cancels, connection.open]).toEqual([3, true])
    pass(Pool.cancelMillisMax)
    pool.sweep()
    expect([connection.open, pool.figures().open]).toEqual([false, 0])
    pool.release(connection)
    expect(pool.figures().open).toBe(0)
  }))

it("idle connections above the minimum are closed, the longest unused first", () =>
  Effect.sync(() => {
    const { ask, held, opened, pass, pool } = setting({ max: 2, min: 1 })
    ask("a")
    ask("b")
    const [first, second] = [opened(), opened()]
    pool.release(held.get("b")!)
    pass(Pool.idleMillisMax)
    pool.release(held.get("a")!)
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
