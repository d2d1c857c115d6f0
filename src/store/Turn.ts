import type { Scheduler } from "effect/Scheduler"

/**
 * Gathers what is asked for in one turn of the event loop and hands it on together, at most `callsMax` at a time, so
 * that many callers cost one round trip. More than `halvedOver` go in two parts: the store works on one while the callers of the
 * other go on. That pays where the store's work weighs more than one more write to it.
 */
export class Turn<Call> {
  private readonly scheduler: Scheduler
  private readonly callsMax: number
  private readonly halvedOver: number
  private readonly run: (calls: ReadonlyArray<Call>) => void
  private calls: Array<Call> = []

  constructor(
    scheduler: Scheduler,
    callsMax: number,
    run: (calls: ReadonlyArray<Call>) => void,
    halvedOver: number = callsMax
  ) {
    this.scheduler = scheduler
    this.callsMax = callsMax
    this.halvedOver = halvedOver
    this.run = run
  }

  add(call: Call): void {
    this.calls.push(call)
    if (this.calls.length === this.callsMax) return this.end()
    if (this.calls.length === 1) this.scheduler.scheduleTask(this.end, 0)
  }

  private readonly end = (): void => {
    const { calls } = this
    if (calls.length === 0) return
    this.calls = []
    if (calls.length <= this.halvedOver) return this.run(calls)
    const half = calls.length >> 1
    this.run(calls.slice(0, half))
    this.run(calls.slice(half))
  }
}
