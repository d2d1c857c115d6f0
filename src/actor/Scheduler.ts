import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"

/** After so many turns on end, what waits in timers and sockets has its turn. */
export const turnsMax = 2_048

/**
 * One queue for all fibers, first come, first served. Effect keeps one for each fiber, with a microtask for each step, so that an
 * AsyncLocalStorage of the caller is found again in it; nothing here has one. It costs an entry in a WeakMap and a queue
 * for each fiber that ever waits, and sockets wait until every fiber has had its turns to the end.
 */
class Shared extends Scheduler.MixedScheduler {
  override scheduleTask(task: Scheduler.Task, priority: number): void {
    super.scheduleTask(task, priority)
  }
}

/** What fibers of a program run on. Provide it before everything else: what is built before it keeps Effect's. */
export const layer: Layer.Layer<never> = Layer.setScheduler(new Shared(turnsMax))
