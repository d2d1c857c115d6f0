import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type { Scheduler } from "effect/Scheduler"

/** Keys of one batch at most; what comes beyond goes into a batch of its own. */
export const batchKeysMax = 1_000

/** A batch starts when it has not grown for this many turns of the scheduler: a fork and a join in between take two. */
export const quietTurns = 3

/** A batch that keeps growing starts after this many turns all the same. */
export const turnsMax = 16

/** A load that has joined its batch. */
export interface Joined {
  /** Its caller waits no more; a batch that nobody waits for is interrupted. */
  readonly leave: Effect.Effect<void>
}

/**
 * A load by key: an Effect as any other. Who has no fiber need not make one: `known` is what it would give at once, and
 * `join` puts it into a batch that runs in `runtime` if this load opens it.
 */
export interface Load<A, E = never> extends Effect.Effect<A, E> {
  readonly known: () => Exit.Exit<A, E> | undefined
  readonly join: (runtime: () => Runtime.Runtime<never>, done: (exit: Exit.Exit<A, E>) => void) => Joined
}

/** Loads by key, many at once. */
export interface Batcher<K, A, E> {
  /**
   * The value of the key, None when the batch has none. All loads of one turn, from whatever fibers, become one run of
   * the batch; a key is asked for once. A failed batch fails its loads and is forgotten, so a later load tries again.
   */
  readonly load: (key: K) => Load<Option.Option<A>, E>
  /** The same, with what the caller makes of it. */
  readonly read: <B, E2 = never>(key: K, finish: (found: Option.Option<A>) => Exit.Exit<B, E2>) => Load<B, E | E2>
  /** What is known already, so that `load` of it costs nothing. */
  readonly prime: (key: K, value: A) => void
}

export interface Options {
  /**
   * Whether what was loaded is kept: for a batcher made per request, which must not outlive it. Otherwise a key is known
   * only until its batch begins, so that no load sees what was read before it was asked for.
   */
  readonly keep: boolean
  /** Where a batch runs, from where the load that opened it does; there itself without this. */
  readonly runtimeOf?: (opener: Runtime.Runtime<never>) => Runtime.Runtime<never>
  /** Whether a load of this fiber must run by itself, in the fiber. */
  readonly isAlone?: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => boolean
}

type Finish<A, B, E> = (found: Option.Option<A>) => Exit.Exit<B, E>

/** A caller as its batch sees it. */
interface Waiting<K, A, E> {
  readonly key: K
  readonly settle: (found: Option.Option<A>) => void
  readonly fail: (cause: Cause.Cause<E>) => void
}

/** A caller in a batch. */
class Waiter<K, A, E, B, E2> implements Joined, Waiting<K, A, E> {
  readonly batch: Batch<K, A, E>
  readonly key: K
  readonly finish: Finish<A, B, E2>
  readonly done: (exit: Exit.Exit<B, E | E2>) => void
  left = false

  constructor(
    batch: Batch<K, A, E>,
    { finish, key }: Pending<K, A, E, B, E2>,
    done: (exit: Exit.Exit<B, E | E2>) => void
  ) {
    this.batch = batch
    this.key = key
    this.finish = finish
    this.done = done
    batch.waiters.push(this)
    batch.waiting++
  }

  /** Called once with what the batch found. */
  settle(found: Option.Option<A>): void {
    if (this.left) return
    this.left = true
    this.done(this.finish(found))
  }

  fail(cause: Cause.Cause<E>): void {
    if (this.left) return
    this.left = true
    this.done(Exit.failCause(cause))
  }

  get leave(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.left) return Effect.void
      this.left = true
      return --this.batch.waiting > 0 ? Effect.void : this.batch.abandon()
    })
  }
}

const optionOf = <K, A>(found: ReadonlyMap<K, A>, key: K): Option.Option<A> => {
  const value = found.get(key)
  return value === undefined ? Option.none() : Option.some(value)
}

/** What one run of the batch is to find, and who waits for it. */
class Batch<K, A, E> {
  readonly core: Core<K, A, E>
  readonly runtime: Runtime.Runtime<never>
  readonly keys: Array<K> = []
  readonly waiters: Array<Waiting<K, A, E>> = []
  waiting = 0
  fiber: Fiber.RuntimeFiber<ReadonlyMap<K, A>, E> | undefined
  readonly scheduler: Scheduler
  private size = 0
  private quiet = 0
  private turns = 0

  constructor(core: Core<K, A, E>, runtime: Runtime.Runtime<never>) {
    this.core = core
    this.runtime = runtime
    this.scheduler = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentScheduler)
    this.scheduler.scheduleTask(this.turn, 0)
  }

  /** Siblings come in the same turn or the next ones; waiting while the batch grows takes them all. */
  readonly turn = (): void => {
    this.quiet = this.keys.length === this.size ? this.quiet + 1 : 0
    if (this.quiet === quietTurns || ++this.turns === turnsMax || this.keys.length >= batchKeysMax) return this.begin()
    this.size = this.keys.length
    this.scheduler.scheduleTask(this.turn, 0)
  }

  begin(): void {
    this.core.close(this)
    if (this.waiting === 0) return
    const { runtimeOf } = this.core.options
    this.fiber = Runtime.runFork(runtimeOf?.(this.runtime) ?? this.runtime, this.core.run(this.keys), {
      immediate: true
    })
    const exit = this.fiber.unsafePoll()
    if (exit === null) this.fiber.addObserver((done) => this.settle(done))
    else this.settle(exit)
  }

  settle(exit: Exit.Exit<ReadonlyMap<K, A>, E>): void {
    if (Exit.isFailure(exit)) {
      this.core.forget(this)
      for (const waiter of this.waiters) waiter.fail(exit.cause)
      return
    }
    this.core.keep(this, exit.value)
    for (const waiter of this.waiters) waiter.settle(optionOf(exit.value, waiter.key))
  }

  abandon(): Effect.Effect<void> {
    this.core.close(this)
    this.core.forget(this)
    return this.fiber === undefined ? Effect.void : Effect.asVoid(this.fiber.interruptAsFork(this.fiber.id()))
  }
}

class Core<K, A, E> {
  readonly options: Options
  readonly run: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, A>, E>
  private entries = new Map<K, Option.Option<A> | Batch<K, A, E>>()
  private open: Batch<K, A, E> | undefined

  constructor(run: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, A>, E>, options: Options) {
    this.options = options
    this.run = (keys) => Effect.suspend(() => run(keys))
  }

  known(key: K): Option.Option<A> | undefined {
    const entry = this.entries.get(key)
    return entry instanceof Batch ? undefined : entry
  }

  prime(key: K, value: A): void {
    if (!this.entries.has(key)) this.entries.set(key, Option.some(value))
  }

  /** The batch that has the key, or takes it now. */
  batchOf(key: K, runtime: () => Runtime.Runtime<never>): Batch<K, A, E> {
    const entry = this.entries.get(key)
    if (entry instanceof Batch) return entry
    if (this.open === undefined || this.open.keys.length >= batchKeysMax) this.open = new Batch(this, runtime())
    this.open.keys.push(key)
    this.entries.set(key, this.open)
    return this.open
  }

  close(batch: Batch<K, A, E>): void {
    const isOpen = this.open === batch
    if (isOpen) this.open = undefined
    if (this.options.keep) return
    // A batch that was full before this one opened may still wait for its turn; else this one is all there is.
    if (isOpen && this.entries.size === batch.keys.length) this.entries = new Map()
    else this.forget(batch)
  }

  keep(batch: Batch<K, A, E>, found: ReadonlyMap<K, A>): void {
    if (!this.options.keep) return
    for (const key of batch.keys) if (this.entries.get(key) === batch) this.entries.set(key, optionOf(found, key))
  }

  forget(batch: Batch<K, A, E>): void {
    for (const key of batch.keys) if (this.entries.get(key) === batch) this.entries.delete(key)
  }
}

class Pending<K, A, E, B, E2> extends Effectable.Class<B, E | E2> implements Load<B, E | E2> {
  readonly core: Core<K, A, E>
  readonly key: K
  readonly finish: Finish<A, B, E2>

  constructor(core: Core<K, A, E>, key: K, finish: Finish<A, B, E2>) {
    super()
    this.core = core
    this.key = key
    this.finish = finish
  }

  known(): Exit.Exit<B, E2> | undefined {
    const found = this.core.known(this.key)
    return found === undefined ? undefined : this.finish(found)
  }

  join(runtime: () => Runtime.Runtime<never>, done: (exit: Exit.Exit<B, E | E2>) => void): Joined {
    return this.wait(runtime, done)
  }

  override commit(): Effect.Effect<B, E | E2> {
    const known = this.known()
    if (known !== undefined) return known
    return Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
      if (this.core.options.isAlone?.(fiber) === true) return this.alone()
      const runtime = () =>
        Runtime.make({ context: fiber.currentContext as never, runtimeFlags, fiberRefs: fiber.getFiberRefs() })
      return Effect.async((resume) => this.wait(runtime, resume).leave)
    })
  }

  private alone(): Effect.Effect<B, E | E2> {
    return Effect.flatMap(this.core.run([this.key]), (found) => this.finish(optionOf(found, this.key)))
  }

  private wait(runtime: () => Runtime.Runtime<never>, done: (exit: Exit.Exit<B, E | E2>) => void): Joined {
    return new Waiter(this.core.batchOf(this.key, runtime), this, done)
  }
}

/** Whether the Effect is a load, which needs no fiber to wait for it. */
export const isLoad = (effect: Effect.Effect<unknown, unknown>): effect is Load<unknown, unknown> =>
  effect instanceof Pending

/**
 * A batcher over one Effect per batch: keys are unique and at most `batchKeysMax`; keys absent from the map are None.
 * The batch runs with the context of the load that opened it and is interrupted when nobody waits for it any more.
 */
export const make = <K, A, E = never>(
  run: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, A>, E>,
  options: Options = { keep: true }
): Batcher<K, A, E> => {
  const core = new Core(run, options)
  return {
    load: (key) => new Pending(core, key, Exit.succeed),
    read: (key, finish) => new Pending(core, key, finish),
    prime: (key, value) => {
      core.prime(key, value)
    }
  }
}
