import { expect, test } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Simulation from "../../src/actor/Simulation.ts"

const Account = Actor.make("Account", {
  protocol: [
    Rpc.make("Balance", { success: Schema.Int }),
    Rpc.make("Set", { payload: { amount: Schema.Int } }),
    Rpc.make("Deposit", { payload: { amount: Schema.Int }, success: Schema.Int })
  ]
})

const accounts = Account.toLayer(() =>
  Effect.sync(() => {
    let balance = 0
    return {
      Balance: () => Effect.sync(() => balance),
      Set: ({ amount }) => Effect.sync(() => void (balance = amount)),
      Deposit: ({ amount }) => Effect.sync(() => (balance += amount))
    }
  })
).pipe(Layer.provideMerge(ActorSystem.layerTest))

/** Two deposits at once. The wrong one reads and writes in two messages, so that one deposit can be lost. */
const twoDeposits =
  (wrong: boolean) =>
  ({ note }: Simulation.Handle) =>
    Effect.gen(function* () {
      const account = (yield* Account.client).ask("ada")
      const deposit = (amount: number) =>
        wrong
          ? Effect.gen(function* () {
              const balance = yield* account.Balance()
              yield* note(`${amount} read ${balance}`)
              yield* account.Set({ amount: balance + amount })
            })
          : Effect.flatMap(account.Deposit({ amount }), (balance) => note(`${amount} made ${balance}`))
      yield* Effect.all([deposit(10), deposit(20)], { concurrency: "unbounded" })
      return yield* account.Balance()
    }).pipe(Effect.provide(accounts))

const balanceIsRight = (result: Simulation.Result<number, unknown>) => expect(result.exit).toEqual(Exit.succeed(30))

test("the same seed gives the same trace, and other seeds give others", () => {
  const traces = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => Simulation.run(twoDeposits(true), seed).trace)
  expect([1, 2, 3, 4, 5, 6, 7, 8].map((seed) => Simulation.run(twoDeposits(true), seed).trace)).toEqual(traces)
  expect(new Set(traces.map((trace) => trace.join())).size).toBeGreaterThan(1)
})

test("an order bug is found by its seed and happens again with it", () => {
  const found = Simulation.search(twoDeposits(true), balanceIsRight, 200)
  expect(found).toBeDefined()
  const again = [Simulation.run(twoDeposits(true), found!.seed), Simulation.run(twoDeposits(true), found!.seed)]
  expect(() => balanceIsRight(again[0]!)).toThrow()
  expect(again[1]).toEqual(again[0]!)
  expect(Simulation.search(twoDeposits(false), balanceIsRight, 100)).toBeUndefined()
}, 30_000)

test("a day of sleep takes no time", () => {
  const result = Simulation.run(() => Effect.sleep("1 days"), 1)
  expect(result).toMatchObject({ exit: Exit.void, millis: 86_400_000 })
})

const causeOf = (exit: Exit.Exit<unknown, unknown>) => (Exit.isFailure(exit) ? exit.cause : Cause.empty)

test("a program that waits for nothing is said to stand still", () => {
  expect(Cause.pretty(causeOf(Simulation.run(() => Effect.never, 1).exit))).toContain("Nothing is left to run")
})
