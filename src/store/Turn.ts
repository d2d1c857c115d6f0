import type { Scheduler } from "effect/Scheduler"

/**
 * Gathers what is asked for in one turn of the event loop and hands it on together, at most `callsMax` at a time, so
 * that many callers cost one round trip.
 */
export class Turn<Call> {
  private readonly scheduler: Scheduler
  private readonly callsMax: number
  private readonly run: (calls: ReadonlyArray<Call>) => void
  private calls: Array<Call> = []

  constructor(scheduler: Scheduler, callsMax: number, run: (calls: ReadonlyArray<Call>) => void) {
    this.scheduler = scheduler
    this.callsMax = callsMax
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
    this.run(calls)
  }
}
