import { createHash } from "node:crypto"
import * as Metrics from "../telemetry/Metrics.ts"
import { Denials } from "./Denials.ts"
import { type Charge, pace, type Rule } from "./Rule.ts"

/** Longer keys are hashed: they come from outside. */
const keyLengthMax = 64

/** The key under which a charge is counted. */
export const keyOf = (key: string): string =>
  key.length <= keyLengthMax ? key : createHash("sha256").update(key).digest("base64url")

const noLabels: ReadonlyArray<never> = []

const seriesOf = ({ name }: Rule, degraded: "yes" | "no") => ({
  allowed: Metrics.series(Metrics.rateLimitChecks, name, "allowed", degraded),
  limited: Metrics.series(Metrics.rateLimitChecks, name, "limited", degraded)
})

/** What this process knows of one rule. */
export class Meter {
  readonly rule: Rule
  readonly interval: number
  readonly tolerance: number
  readonly denials: Denials
  private readonly asked
  private readonly degraded
  private readonly prefix: string

  constructor(rule: Rule) {
    const { interval, tolerance } = pace(rule)
    this.rule = rule
    this.interval = interval
    this.tolerance = tolerance
    this.denials = new Denials(rule.name)
    this.prefix = `{rate}:${rule.name}:`
    this.asked = seriesOf(rule, "no")
    this.degraded = seriesOf(rule, "yes")
  }

  /** Once for each rule of a call that is let in, and once for a call that is refused. */
  count(outcome: "allowed" | "limited", isDegraded: boolean): void {
    ;(isDegraded ? this.degraded : this.asked)[outcome].unsafeUpdate(1, noLabels)
  }

  /** In microseconds of the rule's pace. */
  costOf({ cost = 1 }: Charge): number {
    return cost === 1 ? this.interval : Math.ceil(Math.min(Math.max(0, cost), this.rule.burst) * this.interval)
  }

  /** The key in the store. All share one hash tag, so that a Redis Cluster runs the script over several of them. */
  storeKey(key: string): string {
    return this.prefix + key
  }
}
