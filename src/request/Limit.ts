import { bulk, names, vital } from "../graphql/Priority.ts"
import type { Places } from "./Bulkhead.ts"

/** Places that only the vital class may take, above the limit. */
export const reserve = 16

/** How often the limit is looked at, and how many operations must have ended until it says something. */
export const turnMillis = 100
export const samplesMin = 10

/** An operation's best time is that of the last one to two windows; it is allowed to rise by half with each. */
export const windowMillis = 300_000
const riseMax = 1.5

/** One operation that waits for something else, such as a password's hash, says no more than this many targets. */
const outlierTargets = 4

/** The limit grows and shrinks by a tenth; it grows by one at least. */
const step = 0.1

/** Turns in a row in which the delay must be too much: a pause of the machine or of the collector passes by itself. */
const turnsLate = 3

/** The best time of one operation, by which its other times are judged. */
export class Best {
  private before = Infinity
  private now = Infinity
  private until = 0

  /** Takes in a time; what of it was waiting. */
  delayOf(millis: number, now: number): number {
    if (now >= this.until) {
      this.before = Math.min(this.now, this.before * riseMax)
      this.now = Infinity
      this.until = now + windowMillis
    }
    if (millis < this.now) this.now = millis
    return millis - Math.min(this.now, this.before)
  }
}

export interface Options {
  readonly placesMin: number
  readonly placesMax: number
  /** The mean time that operations may lose to each other. */
  readonly delayMillis: number
}

/**
 * How many operations may run at one time. They take longer the more of them run; what each loses against its own best
 * time is measured; the limit grows while that is little and somebody finds no place, and shrinks while it is more than
 * `delayMillis` in the mean, turn after turn.
 */
export class Limit implements Places {
  readonly options: Options
  readonly running = names.map(() => 0)
  private limit: number
  private taken = 0
  /** Classes of which somebody found no place in this turn. */
  private readonly full = names.map(() => false)
  private delays = 0
  private samples = 0
  /** Turns in a row with too much delay. */
  private late = 0
  private turnedAt: number
  private readonly entered = names.map(() => 0)
  /** Operations of each class that got a place while others found none, by millisecond; Infinity where all found one. */
  private readonly rates = names.map(() => Infinity)

  constructor(options: Options, now: number) {
    this.options = options
    this.limit = Math.min(options.placesMax, 2 * options.placesMin)
    this.turnedAt = now
  }

  get places(): number {
    return Math.floor(this.limit)
  }

  get inUse(): number {
    return this.taken
  }

  /** Bulk may have half of the places, so that what takes long cannot hold them all. */
  readonly isFree = (lane: number): boolean => {
    const free =
      lane === vital
        ? this.taken < this.places + reserve
        : this.taken < this.places && (lane < bulk || this.running[bulk]! < Math.max(1, this.places >> 1))
    if (!free) this.full[lane] = true
    return free
  }

  readonly take = (lane: number): void => {
    this.taken++
    this.running[lane]!++
    this.entered[lane]!++
  }

  readonly give = (lane: number): void => {
    this.taken--
    this.running[lane]!--
  }

  /** An operation ended that lost so many milliseconds. */
  ended(delay: number): void {
    this.delays += Math.min(delay, outlierTargets * this.options.delayMillis)
    this.samples++
  }

  /**
   * How long somebody waits behind so many of the same class; nothing behind nobody, so that it can be tried, and nothing
   * while it is not known how many can be served: how few come says nothing of that.
   */
  waitMillis(lane: number, ahead: number): number {
    return ahead === 0 ? 0 : ahead / this.rates[lane]!
  }

  /** Once a `turnMillis`, when enough was seen. */
  turn(now: number): void {
    const elapsed = now - this.turnedAt
    if (elapsed < turnMillis || this.samples < samplesMin) return
    for (let lane = 0; lane < names.length; lane++) {
      const rate = this.entered[lane]! / elapsed
      const before = this.rates[lane]!
      this.rates[lane] = this.full[lane] ? (before < Infinity ? (before + rate) / 2 : rate) : Infinity
      this.entered[lane] = 0
    }
    const { delayMillis, placesMax, placesMin } = this.options
    const delay = this.delays / this.samples
    this.late = delay > delayMillis ? this.late + 1 : 0
    if (this.late >= turnsLate) this.limit = Math.max(placesMin, this.limit * (1 - step))
    else if (this.late === 0 && this.full.includes(true)) {
      this.limit = Math.min(placesMax, this.limit + Math.max(1, this.limit * step))
    }
    this.delays = this.samples = 0
    this.full.fill(false)
    this.turnedAt = now
  }
}
