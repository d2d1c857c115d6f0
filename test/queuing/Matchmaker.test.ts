import { describe, expect, test } from "bun:test"
import * as fc from "fast-check"
import { Matchmaker } from "../../src/queuing/Matchmaker.ts"
import type { Proposal } from "../../src/queuing/Matchmaker.ts"
import type { Entrant } from "../../src/queuing/Pool.ts"
import { Model, pairLevel, shared, widenAfterMillis } from "./model.ts"

type Command =
  | {
      readonly do: "join"
      readonly user: number
      readonly shape: Shape
      readonly agoMillis: number
      readonly avoid: ReadonlyArray<number>
    }
  | { readonly do: "leave"; readonly user: number }
  | { readonly do: "block"; readonly users: readonly [number, number] }
  | { readonly do: "meet"; readonly users: readonly [number, number]; readonly forMillis: number }
  | { readonly do: "wait"; readonly millis: number }
  | { readonly do: "claim"; readonly outcome: "won" | "bothBack" | "firstGone" | "secondGone" }

interface Shape {
  readonly interests: ReadonlyArray<string>
  readonly languages: ReadonlyArray<string>
  readonly region: string | null
}

const users = 40
const capacity = 40
const user = fc.nat(users - 1)
const shape: fc.Arbitrary<Shape> = fc.record({
  interests: fc.uniqueArray(fc.constantFrom("chess", "music", "films", "go", "tea"), { maxLength: 4 }),
  languages: fc.uniqueArray(fc.constantFrom("en", "en-GB", "de", "pt-BR", "pt"), { minLength: 1, maxLength: 3 }),
  region: fc.constantFrom(null, "eu", "us", "br")
})
const join = fc.record({
  do: fc.constant("join" as const),
  user,
  shape,
  agoMillis: fc.constantFrom(0, 0, 0, 500, 9_000),
  avoid: fc.array(user, { maxLength: 3 })
})
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: join },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), user }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("block" as const), users: fc.tuple(user, user) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("meet" as const),
      users: fc.tuple(user, user),
      forMillis: fc.nat(10_000)
    })
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("wait" as const), millis: fc.nat(6_000) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("claim" as const),
      outcome: fc.constantFrom("won", "won", "won", "bothBack", "firstGone", "secondGone")
    })
  }
)
const plans = fc.array(command, { maxLength: 80 })

const ticketId = (n: number) => `ticket-${String(n).padStart(4, "0")}`

/** Runs a plan on the index and the model side by side, checking after every step. */
class Run {
  readonly index = new Matchmaker({ capacity, widenAfterMillis })
  readonly model = new Model(capacity)
  readonly matched: Array<readonly [Entrant, Entrant, Proposal]> = []
  private readonly entrants = new Map<string, Entrant>()
  private readonly open: Array<Proposal> = []
  private joined = 0

  private both(step: (target: Matchmaker | Model) => unknown): void {
    expect(step(this.index)).toEqual(step(this.model))
  }

  step(command: Command): void {
    switch (command.do) {
      case "join": {
        const userId = `user-${command.user}`
        if (this.index.ticketOf(userId) !== undefined) return
        const entrant = {
          id: ticketId(++this.joined),
          userId,
          ...command.shape,
          createdAt: this.model.now - command.agoMillis
        }
        this.entrants.set(entrant.id, entrant)
        const avoid = command.avoid.map((n) => ({ userId: `user-${n}`, until: Number.POSITIVE_INFINITY }))
        this.both((target) => target.add(entrant, avoid))
        break
      }
      case "leave": {
        const id = this.index.ticketOf(`user-${command.user}`)
        if (id !== undefined) this.both((target) => target.withdraw(id))
        break
      }
      case "block":
      case "meet": {
        const [a, b] = command.users
        const until = command.do === "block" ? Number.POSITIVE_INFINITY : this.model.now + command.forMillis
        this.both((target) => target.avoid(`user-${a}`, `user-${b}`, until))
        break
      }
      case "wait": {
        const to = this.model.now + command.millis
        this.model.advance(to)
        expect(this.index.advance(to)).toBe(true)
        break
      }
      case "claim":
        this.claim(command.outcome)
    }
    this.settle()
  }

  private claim(outcome: (Command & { do: "claim" })["outcome"]): void {
    const proposal = this.open.shift()
    if (proposal === undefined) return
    const { first, second } = proposal
    const a = this.entrants.get(first)!
    const b = this.entrants.get(second)!
    if (outcome === "won") this.matched.push([a, b, proposal])
    if (outcome === "bothBack") this.both((target) => target.avoid(a.userId, b.userId, Number.POSITIVE_INFINITY))
    for (const [id, back] of [
      [first, outcome === "bothBack" || outcome === "secondGone"],
      [second, outcome === "bothBack" || outcome === "firstGone"]
    ] as const)
      this.both((target) => (back ? target.giveBack(id) : target.remove(id)))
  }

  /** The same proposals, and everything that must be true of them and of those who still wait. */
  private settle(): void {
    const proposals = this.index.take(Number.POSITIVE_INFINITY)
    const expected = this.model.take()
    expect(proposals.map(({ first, second }) => [first, second] as const)).toEqual([...expected])
    for (const proposal of proposals) {
      const a = this.model.find(proposal.first)!
      const b = this.model.find(proposal.second)!
      expect(pairLevel(a, b)).toBe(proposal.level)
      expect(proposal.level).toBeLessThanOrEqual(Math.min(a.level, b.level))
      expect(proposal.sharedInterests).toEqual(shared(a, b))
      this.open.push(proposal)
    }
    const held = this.open.flatMap(({ first, second }) => [first, second])
    expect(new Set(held).size).toBe(held.length)
    const here = [...this.index.tickets()]
    expect(here.map(({ id }) => id).sort()).toEqual(this.model.tickets.map(({ id }) => id).sort())
    expect(here.filter((ticket) => ticket.held).length).toBe(this.model.tickets.filter((ticket) => ticket.held).length)
  }

  /** Pairs of waiting tickets that suit each other: there must be none once avoidances that have ended were swept. */
  acceptablePairs(): ReadonlyArray<string> {
    this.index.sweep()
    const proposed = new Set(this.index.take(Number.POSITIVE_INFINITY).flatMap(({ first, second }) => [first, second]))
    const waiting = this.model.waiting().filter(({ id }) => !proposed.has(id))
    return waiting.flatMap((a, i) =>
      waiting.slice(i + 1).flatMap((b) => (this.model.acceptable(a, b) ? [`${a.id} ${b.id}`] : []))
    )
  }
}

const play = (plan: ReadonlyArray<Command>): Run => {
  const run = new Run()
  for (const step of plan) run.step(step)
  return run
}

/** The most pairs that could be made of these, by trying every partner of the first in turn. */
const largestMatching = (tickets: ReadonlyArray<Entrant>, suits: (a: Entrant, b: Entrant) => boolean): number => {
  const [first, ...rest] = tickets
  if (first === undefined) return 0
  let most = largestMatching(rest, suits)
  rest.forEach((other, i) => {
    if (suits(first, other)) most = Math.max(most, 1 + largestMatching(rest.toSpliced(i, 1), suits))
  })
  return most
}

const entrant = (n: number, part: Partial<Entrant> = {}): Entrant => ({
  id: ticketId(n),
  userId: `user-${n}`,
  interests: ["chess"],
  languages: ["en"],
  region: "eu",
  createdAt: 0,
  ...part
})

const index = (capacityMax = 1_000) => {
  const made = new Matchmaker({ capacity: capacityMax, widenAfterMillis })
  made.advance(0)
  return made
}

const pairs = (matchmaker: Matchmaker) =>
  matchmaker.take(Number.POSITIVE_INFINITY).map(({ first, second }) => [first, second] as const)

describe("any plan of joins, leaves, blocks, waits and claims", () => {
  test("gives the proposals that a look at every pair gives, each within both tickets' levels (M1, M2, M3, M5, M6)", () => {
    fc.assert(
      fc.property(plans, (plan) => void play(plan)),
      { numRuns: 400 }
    )
  })

  test("leaves no two waiting who suit each other (M4)", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        expect(play(plan).acceptablePairs()).toEqual([])
      }),
      { numRuns: 300 }
    )
  })

  test("gives the same proposals when played again (M8)", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        expect(play(plan).matched).toEqual(play(plan).matched)
      }),
      { numRuns: 100 }
    )
  })

  test("gives the same proposals whether time passes at once or in steps (M9)", () => {
    const joins = fc.array(join, { maxLength: 20 })
    fc.assert(
      fc.property(joins, fc.array(fc.nat(4_000), { minLength: 1, maxLength: 12 }), (plan, steps) => {
        const [once, stepped] = [new Run(), new Run()]
        for (const step of plan) for (const run of [once, stepped]) run.step(step)
        once.step({ do: "wait", millis: steps.reduce((a, b) => a + b, 0) })
        for (const millis of steps) stepped.step({ do: "wait", millis })
        expect([...once.index.tickets()]).toEqual([...stepped.index.tickets()])
      }),
      { numRuns: 100 }
    )
  })
})

test("of those who came at once, at least half of the pairs that could be made are made (M7)", () => {
  fc.assert(
    fc.property(fc.array(shape, { maxLength: 9 }), (shapes) => {
      const matchmaker = index()
      const entrants = shapes.map((part, n) => entrant(n, part))
      for (const one of entrants) matchmaker.add(one)
      const made = pairs(matchmaker).length
      expect(made * 2).toBeGreaterThanOrEqual(largestMatching(entrants, (a, b) => pairLevel(a, b) === 0))
    }),
    { numRuns: 200 }
  )
})

test("two who share only their language are matched when the later of them has widened fully (M9)", () => {
  const matchmaker = index()
  matchmaker.add(entrant(1, { interests: ["go"] }))
  matchmaker.advance(5_000)
  matchmaker.add(entrant(2, { region: "us", createdAt: 5_000 }))
  matchmaker.advance(19_999)
  expect(pairs(matchmaker)).toEqual([])
  expect(matchmaker.nextDueAt).toBe(20_000)
  matchmaker.advance(20_000)
  expect(pairs(matchmaker)).toEqual([[ticketId(2), ticketId(1)]])
})

test("one who has waited is taken although every newcomer would prefer another (M12)", () => {
  const matchmaker = index()
  const waited = entrant(0, { interests: ["chess", "tea"], region: null })
  matchmaker.add(waited)
  matchmaker.advance(16_000)
  // Rivals who share more and come from the same region; they avoid each other so that all of them wait.
  const rivals = Array.from({ length: 20 }, (_, n) =>
    entrant(n + 1, { interests: ["chess", "go", "films"], createdAt: 16_000 })
  )
  for (const rival of rivals)
    matchmaker.add(
      rival,
      [waited, ...rivals].map(({ userId }) => ({ userId, until: Number.POSITIVE_INFINITY }))
    )
  expect(pairs(matchmaker)).toEqual([])
  matchmaker.add(entrant(99, { interests: ["chess", "go", "films"], createdAt: 16_000 }))
  expect(pairs(matchmaker)).toEqual([[ticketId(99), waited.id]])
})

test("a blocked head of a list is skipped, not the end of the search", () => {
  const matchmaker = index()
  const crowd = Array.from({ length: 200 }, (_, n) => entrant(n))
  const all = crowd.map(({ userId }) => ({ userId, until: Number.POSITIVE_INFINITY }))
  for (const one of crowd) matchmaker.add(one, all)
  matchmaker.add(entrant(500), all.slice(0, 199))
  expect(pairs(matchmaker)).toEqual([[ticketId(500), ticketId(199)]])
})

test("a younger one in the same list is taken when it suits better", () => {
  const matchmaker = index()
  matchmaker.add(entrant(1, { region: null }))
  matchmaker.add(entrant(2, { interests: ["chess", "go"] }), [{ userId: "user-1", until: Number.POSITIVE_INFINITY }])
  matchmaker.add(entrant(3, { interests: ["chess", "go"] }))
  expect(pairs(matchmaker)).toEqual([[ticketId(3), ticketId(2)]])
})

test("en meets en-GB, and a ticket without a region meets every region", () => {
  const matchmaker = index()
  matchmaker.add(entrant(1, { languages: ["en-GB"] }))
  matchmaker.add(entrant(2, { languages: ["de", "en"], region: null }))
  expect(pairs(matchmaker)).toEqual([[ticketId(2), ticketId(1)]])
})

test("the index is full at its capacity and takes another when one has gone", () => {
  const matchmaker = index(2)
  expect(matchmaker.add(entrant(1))).toBe(true)
  expect(matchmaker.add(entrant(2, { languages: ["de"] }))).toBe(true)
  expect(matchmaker.add(entrant(3, { languages: ["pt"] }))).toBe(false)
  matchmaker.withdraw(ticketId(1))
  expect(matchmaker.add(entrant(3, { languages: ["pt"] }))).toBe(true)
})

test("a clock that goes backwards widens nothing and loses nothing", () => {
  const matchmaker = index()
  matchmaker.advance(10_000)
  matchmaker.add(entrant(1, { createdAt: 12_000, interests: ["go"] }))
  matchmaker.advance(4_000)
  matchmaker.add(entrant(2, { createdAt: 12_000 }))
  expect(pairs(matchmaker)).toEqual([])
  matchmaker.advance(20_000)
  expect(pairs(matchmaker)).toEqual([[ticketId(2), ticketId(1)]])
})

test("two who just met may be matched when that time is over", () => {
  const matchmaker = index()
  matchmaker.add(entrant(1))
  matchmaker.add(entrant(2), [{ userId: "user-1", until: 1_000 }])
  matchmaker.advance(1_000)
  matchmaker.sweep()
  expect(pairs(matchmaker)).toEqual([[ticketId(1), ticketId(2)]])
})

test("another process's ticket is found by others, and by the sweep", () => {
  const matchmaker = index()
  matchmaker.add(entrant(1), [], true)
  matchmaker.add(entrant(2), [], true)
  matchmaker.add(entrant(3))
  expect(pairs(matchmaker)).toEqual([[ticketId(3), ticketId(1)]])
  matchmaker.add(entrant(4), [], true)
  expect(pairs(matchmaker)).toEqual([])
  matchmaker.sweep()
  expect(pairs(matchmaker)).toEqual([[ticketId(2), ticketId(4)]])
})

test("explain counts the candidates of each level and the first rule that the others fail", () => {
  const matchmaker = index()
  matchmaker.add(entrant(1))
  matchmaker.add(entrant(2), [{ userId: "user-1", until: Number.POSITIVE_INFINITY }])
  matchmaker.add(entrant(3, { languages: ["de"] }))
  matchmaker.add(entrant(4, { interests: ["go"] }))
  matchmaker.add(entrant(5, { region: "us" }))
  matchmaker.advance(1_000)
  const why = matchmaker.explain(ticketId(1))!
  expect(why).toMatchObject({ ticketId: ticketId(1), level: 0, waitedMillis: 1_000, widensInMillis: 2_000, others: 4 })
  expect(why.levels.map(({ failing }) => failing)).toEqual([
    { apart: 1, language: 1, interests: 1, region: 1 },
    { apart: 1, language: 1, interests: 1, ownLevel: 1 },
    { apart: 1, language: 1, ownLevel: 1, region: 1 },
    { apart: 1, language: 1, ownLevel: 2 }
  ])
  expect(matchmaker.explain("nobody")).toBeUndefined()
})
