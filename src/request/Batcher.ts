import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as immediate from "./immediate.ts"
import type { Caller, Joined, Load, Opened, Opener } from "./Load.ts"

export type { Caller, Joined, Load, Opened } from "./Load.ts"

/** Keys of one batch at most; what comes beyond goes into a batch of its own. */
export const batchKeysMax = 1_000

/** A batch starts when it has not grown for this many turns of the scheduler: a fork and a join in between take two. */
export const quietTurns = 3

/** A batch that keeps growing starts after this many turns all the same. */
export const turnsMax = 16

/** Loads by key, many at once. */
export interface Batcher<K, A, E> {
  /**
   * The value of the key, None when the batch has none. All loads of one turn, from whatever fibers, become one run of
   * the batch; a key is asked for once. A failed batch fails its loads and is forgotten, so a later load tries again.
   */
  readonly load: (key: K) => Load<Option.Option<A>, E>
  /** The same, null where the batch has none. A page of them costs least. */
  readonly find: (key: K) => Load<A | null, E>
  /** The same, with what the caller makes of it. */
  readonly read: <B, E2 = never>(key: K, finish: (found: Option.Option<A>) => Exit.Exit<B, E2>) => Load<B, E | E2>
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

type Run<K, A, E> = (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyMap<K, A>, E>
/** What a load makes of what its batch has found. */
type Finish<A, B, E> = (found: A | null) => Exit.Exit<B, E>

/** What is known of a key: the batch that looks for it, and what was found. */
class Entry<K, A, E> {
  readonly key: K
  readonly batch: Batch<K, A, E>
  /** Null where there is none. */
  found: A | null | undefined = undefined

  constructor(key: K, batch: Batch<K, A, E>) {
    this.key = key
    this.batch = batch
  }
}

/** A load as its batch sees it. */
interface Waiting<E> {
  readonly settle: () => void
  readonly fail: (cause: Cause.Cause<E>) => void
}

/** What one run of the batch is to find, and who waits for it. */
class Batch<K, A, E> implements Opened {
  readonly entries: Array<Entry<K, A, E>> = []
  private readonly waiters: Array<Waiting<E>> = []
  waiting = 0
  private readonly core: Core<K, A, E>
  private readonly opener: Opener
  private fiber: Fiber.RuntimeFiber<ReadonlyMap<K, A>, E> | undefined
  private isScheduled = false
  isOpen = true

  constructor(core: Core<K, A, E>, opener: Opener) {
    this.core = core
    this.opener = opener
  }

  /** Siblings come in the same turn or the next ones; waiting while the batch grows takes them all. */
  schedule(): void {
    if (this.isScheduled || !this.isOpen) return
    this.isScheduled = true
    const runtime = this.opener.runtime()
    const scheduler = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentScheduler)
    let keys = 0
    let quiet = 0
    let turns = 0
    const turn = (): void => {
      const { length } = this.entries
      quiet = length === keys ? quiet + 1 : 0
      if (quiet === quietTurns || ++turns === turnsMax || length >= batchKeysMax) return this.begin(runtime)
      keys = length
      if (this.isOpen) scheduler.scheduleTask(turn, 0)
    }
    scheduler.scheduleTask(turn, 0)
  }

  begin(runtime?: Runtime.Runtime<never>): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.core.close(this)
    if (this.waiting === 0) return
    const found = this.core.find(this.entries.map(({ key }) => key))
    const known = immediate.exitOf(found)
    if (known !== undefined) return this.settle(known)
    const opener = runtime ?? this.opener.runtime()
    const { runtimeOf } = this.core.options
    this.fiber = Runtime.runFork(runtimeOf?.(opener) ?? opener, found, { immediate: true })
    const exit = this.fiber.unsafePoll()
    if (exit === null) this.fiber.addObserver((done) => this.settle(done))
    else this.settle(exit)
  }

  private settle(exit: Exit.Exit<ReadonlyMap<K, A>, E>): void {
    if (Exit.isFailure(exit)) {
      this.core.forget(this)
      for (const waiter of this.waiters) waiter.fail(exit.cause)
      return
    }
    for (const entry of this.entries) entry.found = exit.value.get(entry.key) ?? null
    for (const waiter of this.waiters) waiter.settle()
  }

  join(waiter: Waiting<E>): void {
    this.waiters.push(waiter)
    this.waiting++
  }

  /** One of them waits no more. */
  leave(): Effect.Effect<void> {
    if (--this.waiting > 0) return Effect.void
    this.core.close(this)
    this.core.forget(this)
    return this.fiber === undefined ? Effect.void : Effect.asVoid(this.fiber.interruptAsFork(this.fiber.id()))
  }
}

class Core<K, A, E> {
  readonly options: Options
  private readonly run: Run<K, A, E>
  private entries = new Map<K, Entry<K, A, E>>()
  private open: Batch<K, A, E> | undefined

  constructor(run: Run<K, A, E>, options: Options) {
    this.run = run
    this.options = options
  }

  /** An Exit where the lookup is done at once, which needs no fiber. */
  find(keys: ReadonlyArray<K>): Effect.Effect<ReadonlyMap<K, A>, E> {
    try {
      return this.run(keys)
    } catch (defect) {
      return Exit.die(defect)
    }
  }

  known(key: K): A | null | undefined {
    return this.entries.get(key)?.found
  }

  /** The entry of the key, which the batch that is open takes now if there is none. */
  entryOf(key: K, opener: Opener): Entry<K, A, E> {
    const known = this.entries.get(key)
    if (known !== undefined) return known
    if (this.open === undefined || this.open.entries.length >= batchKeysMax) this.open = this.opened(opener)
    const entry = new Entry(key, this.open)
    this.open.entries.push(entry)
    this.entries.set(key, entry)
    return entry
  }

  private opened(opener: Opener): Batch<K, A, E> {
    const batch = new Batch(this, opener)
    if (opener.opened === undefined || !this.options.keep) batch.schedule()
    else opener.opened(batch)
    return batch
  }

  close(batch: Batch<K, A, E>): void {
    const isOpen = this.open === batch
    if (isOpen) this.open = undefined
    if (this.options.keep) return
    // A batch that was full before this one opened may still wait for its turn; else this one is all there is.
    if (isOpen && this.entries.size === batch.entries.length) this.entries = new Map()
    else this.forget(batch)
  }

  forget({ entries }: Batch<K, A, E>): void {
    for (const entry of entries) if (this.entries.get(entry.key) === entry) this.entries.delete(entry.key)
  }
}

/** A load, and once it has joined its batch, who waits for it. */
class Pending<K, A, E, B, E2> extends Effectable.Class<B, E | E2> implements Load<B, E | E2>, Joined, Waiting<E> {
  private readonly core: Core<K, A, E>
  private readonly key: K
  /** Undefined: it gives what was found as it is. */
  private readonly finish: Finish<A, B, E2> | undefined
  private entry: Entry<K, A, E> | undefined = undefined
  private caller: Caller<B, E | E2> | undefined = undefined

  constructor(core: Core<K, A, E>, key: K, finish: Finish<A, B, E2> | undefined) {
    super()
    this.core = core
    this.key = key
    this.finish = finish
  }

  join(caller: Caller<B, E | E2>): Exit.Exit<B, E2> | Joined {
    // One that waits already is as good as a new one for whoever runs it again.
    if (this.entry !== undefined) return new Pending(this.core, this.key, this.finish).join(caller)
    const entry = this.core.entryOf(this.key, caller)
    if (entry.found !== undefined) return this.exitOf(entry.found)
    this.entry = entry
    this.caller = caller
    entry.batch.join(this)
    return this
  }

  /** Called when the batch has found what it looked for. */
  settle(): void {
    const { caller, entry, finish } = this
    if (caller === undefined) return
    this.caller = undefined
    if (finish === undefined) return caller.succeeded(entry!.found as B)
    const exit = finish(entry!.found!)
    if (Exit.isSuccess(exit)) caller.succeeded(exit.value)
    else caller.failed(exit.cause)
  }

  fail(cause: Cause.Cause<E>): void {
    const { caller } = this
    this.caller = undefined
    caller?.failed(cause)
  }

  get leave(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.caller === undefined) return Effect.void
      this.caller = undefined
      return this.entry!.batch.leave()
    })
  }

  override commit(): Effect.Effect<B, E | E2> {
    const known = this.core.known(this.key)
    if (known !== undefined) return this.exitOf(known)
    return Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
      if (this.core.options.isAlone?.(fiber) === true) return this.alone()
      const runtime = () =>
        Runtime.make({ context: fiber.currentContext as never, runtimeFlags, fiberRefs: fiber.getFiberRefs() })
      return Effect.async((resume) => {
        const joined = this.join({
          runtime,
          succeeded: (value) => resume(Exit.succeed(value)),
          failed: (cause) => resume(Exit.failCause(cause))
        })
        if ("leave" in joined) return joined.leave
        resume(joined)
      })
    })
  }

  private alone(): Effect.Effect<B, E | E2> {
    return Effect.flatMap(this.core.find([this.key]), (found) => this.exitOf(found.get(this.key) ?? null))
  }

  private exitOf(found: A | null): Exit.Exit<B, E2> {
    return this.finish === undefined ? Exit.succeed(found as B) : this.finish(found)
  }
}

/** Whether the Effect is a load, which needs no fiber to wait for it. */
export const isLoad = (effect: Effect.Effect<unknown, unknown>): effect is Load<unknown, unknown> =>
  effect instanceof Pending

/**
 * A batcher over one Effect per batch: keys are unique and at most `batchKeysMax`; keys absent from the map are None.
 * The batch runs with the context of the load that opened it and is interrupted when nobody waits for it any more.
 */
export const make = <K, A, E = never>(run: Run<K, A, E>, options: Options = { keep: true }): Batcher<K, A, E> => {
  const core = new Core(run, options)
  return {
    load: (key) => new Pending(core, key, (found) => Exit.succeed(Option.fromNullable(found))),
    find: (key) => new Pending(core, key, undefined),
    read: (key, finish) => new Pending(core, key, (found) => finish(Option.fromNullable(found)))
  }
}
