import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { Settings } from "../config/Settings.ts"
import { RateLimited } from "../errors.ts"
import { Store } from "../store/Store.ts"
import { Turn } from "../store/Turn.ts"
import * as Gcra from "./Gcra.ts"
import { keyOf, Meter } from "./Meter.ts"
import type { Charge, Quota, Rule } from "./Rule.ts"
import { Tally } from "./Tally.ts"

export { type Charge, type Quota, type Rule, rules } from "./Rule.ts"

/** Limits before work. All charges are taken, or none and RateLimited with the exact time to wait. */
export class RateLimiter extends Context.Tag("@connect/RateLimiter")<
  RateLimiter,
  {
    readonly consume: (...charges: ReadonlyArray<Charge>) => Effect.Effect<ReadonlyArray<Quota>, RateLimited>
    /**
     * The outcome where this process knows it by itself, without a fiber: on a store in memory always, on Redis when it
     * remembers a refusal. undefined: `consume` must say.
     */
    readonly counted: (...charges: ReadonlyArray<Charge>) => Exit.Exit<ReadonlyArray<Quota>, RateLimited> | undefined
  }
>() {}

/** Keys that this process counts by itself while the store is away; beyond that those unused for longest go. */
export const localKeysMax = 20_000
/** Keys that this process counts where there is no store outside it. */
export const ownKeysMax = 100_000
/** What a rule that lets none through while the store is away tells its callers to wait. */
export const closedRetryMillis = 1_000
/** Calls in one script at most, so that no other caller of the store waits long for it. */
export const callsMax = 256
/** More calls of one turn go in two scripts, of which Redis runs one while this process judges the other. */
export const halvedOver = 32
/** Calls that wait for the store at most; beyond that it counts as away. */
export const waitingMax = 10_000

/** One charge, ready for the script. */
interface Prepared extends Gcra.Charged {
  readonly meter: Meter
  readonly key: string
}

type Outcome = Exit.Exit<ReadonlyArray<Quota>, RateLimited>

interface Call {
  readonly charges: ReadonlyArray<Prepared>
  readonly sentAt: number
  readonly resume: (outcome: Outcome) => void
}

const nothing: Outcome = Exit.succeed([])

const keysOf = (calls: ReadonlyArray<ReadonlyArray<Prepared>>): Array<string> => {
  const keys: Array<string> = []
  for (const charges of calls) for (const { key, meter } of charges) keys.push(meter.storeKey(key))
  return keys
}

/** Whether the same call charges the key before: then more stands in the reply than the key owes. */
const isRepeated = (charges: ReadonlyArray<Prepared>, index: number): boolean =>
  charges.some(({ key, meter }, n) => n < index && key === charges[index]!.key && meter === charges[index]!.meter)

/** The quotas, or the longest wait of the charges that were not taken. `ahead` is the script's reply from `offset` on. */
const judge = (
  charges: ReadonlyArray<Prepared>,
  ahead: ReadonlyArray<number>,
  offset: number,
  sentAt: number,
  isDegraded: boolean
): Outcome => {
  let longest = 0
  let refusing: Meter | undefined
  for (let index = 0; index < charges.length; index++) {
    const { cost, key, meter } = charges[index]!
    const wait = ahead[offset + index]! + cost - meter.tolerance
    if (wait <= 0) continue
    if (!isRepeated(charges, index)) meter.denials.note(key, sentAt * 1_000 + ahead[offset + index]! - meter.tolerance)
    if (wait > longest) [longest, refusing] = [wait, meter]
  }
  if (refusing !== undefined) {
    refusing.count("limited", isDegraded)
    return Exit.fail(new RateLimited({ retryAfterMillis: longest / 1_000, rule: refusing.rule.name }))
  }
  const quotas: Array<Quota> = []
  for (let index = 0; index < charges.length; index++) {
    const { cost, meter } = charges[index]!
    const reset = ahead[offset + index]! + cost
    meter.count("allowed", isDegraded)
    const remaining = Math.floor((meter.tolerance - reset) / meter.interval)
    quotas.push({ rule: meter.rule, remaining, resetMillis: reset / 1_000 })
  }
  return Exit.succeed(quotas)
}

/** Each rule does what it says for the time that the store is away. */
const makeLocal = () => {
  const tally = new Tally(localKeysMax)
  return (charges: ReadonlyArray<Prepared>, now: number): Outcome => {
    const closed = charges.find(({ meter }) => meter.rule.onStoreLoss === "closed")?.meter
    if (closed !== undefined) {
      closed.count("limited", true)
      return closed.denials.refusal(closedRetryMillis)
    }
    const counted = charges.filter(({ meter }) => meter.rule.onStoreLoss === "local")
    const outcome = counted.length === 0 ? nothing : judge(counted, tally.take(counted, now * 1_000), 0, now, true)
    if (Exit.isSuccess(outcome))
      for (const { meter } of charges) if (meter.rule.onStoreLoss === "open") meter.count("allowed", true)
    return outcome
  }
}

const make = Effect.gen(function* () {
  const store = yield* Store
  const clock = yield* Effect.clock
  const runtime = yield* Effect.runtime<never>()
  const meters = new WeakMap<Rule, Meter>()
  const local = makeLocal()
  // A store in memory is this process's own: counting needs no turn of it, and no fiber.
  const own = store.backend === "memory" ? new Tally(ownKeysMax) : undefined
  // At most waitingMax.
  let waiting = 0

  const meterOf = (rule: Rule): Meter => {
    const known = meters.get(rule)
    if (known !== undefined) return known
    const made = new Meter(rule)
    meters.set(rule, made)
    return made
  }

  const run = (calls: ReadonlyArray<Call>): void => {
    const all = calls.map(({ charges }) => charges)
    const taken = store.run(Gcra.take, keysOf(all), Gcra.argsOf(all))
    Runtime.runFork(runtime, taken, { immediate: true }).addObserver((exit) => {
      waiting -= calls.length
      let offset = 0
      for (const { charges, resume, sentAt } of calls) {
        if (Exit.isSuccess(exit)) resume(judge(charges, exit.value, offset, sentAt, false))
        else if (Cause.isFailure(exit.cause)) resume(local(charges, clock.unsafeCurrentTimeMillis()))
        else resume(Exit.die(Cause.squash(exit.cause)))
        offset += charges.length
      }
    })
  }
  const turn = new Turn<Call>(yield* FiberRef.get(FiberRef.currentScheduler), callsMax, run, halvedOver)

  /** What is known already to be refused. */
  const refusedAt = (charges: ReadonlyArray<Prepared>, now: number): Exit.Exit<never, RateLimited> | undefined => {
    let longest = 0
    let denied: Meter | undefined
    for (const { cost, key, meter } of charges) {
      const wait = meter.denials.wait(key, cost, now)
      if (wait > longest) [longest, denied] = [wait, meter]
    }
    denied?.count("limited", false)
    return denied?.denials.refusal(longest)
  }

  const prepare = (all: ReadonlyArray<Charge>): ReadonlyArray<Prepared> => {
    const charges: Array<Prepared> = []
    for (const charge of all) {
      const meter = meterOf(charge.rule)
      charges.push({ meter, key: keyOf(charge.key), tolerance: meter.tolerance, cost: meter.costOf(charge) })
    }
    return charges
  }

  const countedAt = (charges: ReadonlyArray<Prepared>, now: number): Outcome | undefined =>
    refusedAt(charges, now) ??
    (own === undefined ? undefined : judge(charges, own.take(charges, now * 1_000), 0, now, false))

  const ask = (charges: ReadonlyArray<Prepared>, sentAt: number): Effect.Effect<ReadonlyArray<Quota>, RateLimited> => {
    if (charges.length === 0) return nothing
    if (waiting >= waitingMax) return local(charges, sentAt)
    return Effect.async((resume) => {
      waiting++
      turn.add({ charges, sentAt, resume })
    })
  }

  return RateLimiter.of({
    counted: (...all) => countedAt(prepare(all), clock.unsafeCurrentTimeMillis()),
    consume: (...all) =>
      Effect.suspend(() => {
        const charges = prepare(all)
        const now = clock.unsafeCurrentTimeMillis()
        return countedAt(charges, now) ?? ask(charges, now)
      })
  })
})

/** Counts in the Store, by the Store's time; lets everything through when `Settings.rateLimit.enabled` is false. */
export const layer: Layer.Layer<RateLimiter, never, Store | Settings> = Layer.effect(
  RateLimiter,
  Effect.flatMap(Settings, ({ rateLimit }) =>
    rateLimit.enabled ? make : Effect.succeed({ counted: () => nothing, consume: () => nothing })
  )
)
