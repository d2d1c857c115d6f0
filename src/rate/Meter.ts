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

/** What this process knows of one rule. */
export class Meter {
  readonly rule: Rule
  readonly interval: number
  readonly tolerance: number
  readonly denials: Denials
  private readonly series
  private readonly prefix: string

  constructor(rule: Rule) {
    const { interval, tolerance } = pace(rule)
    this.rule = rule
    this.interval = interval
    this.tolerance = tolerance
    this.denials = new Denials(rule.name)
    this.prefix = `{rate}:${rule.name}:`
    this.series = {
      allowed: Metrics.series(Metrics.rateLimitChecks, rule.name, "allowed"),
      limited: Metrics.series(Metrics.rateLimitChecks, rule.name, "limited"),
      degraded: Metrics.series(Metrics.rateLimitChecks, rule.name, "degraded")
    }
  }

  count(outcome: "allowed" | "limited" | "degraded"): void {
    this.series[outcome].unsafeUpdate(1, noLabels)
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
