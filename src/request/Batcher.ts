import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as RuntimeFlags from "effect/RuntimeFlags"
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

/** What one run of the batch is to find, and who waits for it. */
class Batch<K, A, E> implements Opened {
  private readonly loads: Array<Waiting<K, A, E>> = []
  waiting = 0
  private readonly core: Core<K, A, E>
  private readonly opener: Opener
  /** Made when somebody asks what is among them. */
  private keys: Set<K> | undefined
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
    let loads = 0
    let quiet = 0
    let turns = 0
    const turn = (): void => {
      const { length } = this.loads
      quiet = length === loads ? quiet + 1 : 0
      if (quiet === quietTurns || ++turns === turnsMax || this.isFull()) return this.begin(runtime)
      loads = length
      if (this.isOpen) scheduler.scheduleTask(turn, 0)
    }
    scheduler.scheduleTask(turn, 0)
  }

  begin(runtime?: Runtime.Runtime<never>): void {
    if (!this.isOpen) return
    this.isOpen = false
    if (this.waiting === 0) return
    this.core.began(this)
    const found = this.core.find(this.keys === undefined ? unique(this.loads) : [...this.keys])
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
    const { core, loads } = this
    core.ended(this)
    if (Exit.isFailure(exit)) {
      for (const load of loads) load.fail(exit.cause)
      return
    }
    for (const load of loads) load.found = exit.value.get(load.key) ?? null
    core.learn(exit.value, loads)
    for (const load of loads) load.settle()
  }

  /** Whether it asks for the key. */
  has(key: K): boolean {
    return this.asked().has(key)
  }

  /** Whether it takes no more keys than it asks for now. */
  isFull(): boolean {
    return this.loads.length >= batchKeysMax && this.asked().size >= batchKeysMax
  }

  private asked(): Set<K> {
    return (this.keys ??= new Set(this.loads.map(({ key }) => key)))
  }

  join(load: Waiting<K, A, E>): void {
    this.loads.push(load)
    this.keys?.add(load.key)
    this.waiting++
  }

  /** One of them waits no more. */
  leave(): void {
    if (--this.waiting > 0) return
    this.core.ended(this)
    this.fiber?.unsafeInterruptAsFork(this.fiber.id())
  }
}

/** So few are compared with each other: a Set of them takes as long and leaves five times as much garbage. */
const fewLoads = 32

/** The key of each, once. */
const unique = <K>(loads: ReadonlyArray<{ readonly key: K }>): Array<K> => {
  if (loads.length > fewLoads) return [...new Set(loads.map(({ key }) => key))]
  const keys: Array<K> = []
  for (const { key } of loads) if (!keys.includes(key)) keys.push(key)
  return keys
}

class Core<K, A, E> {
  readonly options: Options
  private readonly run: Run<K, A, E>
  private open: Batch<K, A, E> | undefined
  /** Those that take no more keys, and do not yet have what they ask for. */
  private closed: Array<Batch<K, A, E>> = []
  /** What the first batch found, which is mostly the only one, as it came. */
  private first: ReadonlyMap<K, A> | undefined
  /** What else is known; null of a key that has nothing. */
  private others: Map<K, A | null> | undefined

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
    return this.first?.get(key) ?? this.others?.get(key)
  }

  /** The batch that asks for the key already, or the one that is open. */
  batchOf(key: K, opener: Opener): Batch<K, A, E> {
    for (const batch of this.closed) if (batch.has(key)) return batch
    if (this.open?.isFull() === true) {
      if (this.open.has(key)) return this.open
      this.closed.push(this.open)
      this.open = undefined
    }
    return (this.open ??= this.opened(opener))
  }

  private opened(opener: Opener): Batch<K, A, E> {
    const batch = new Batch(this, opener)
    if (opener.opened === undefined || !this.options.keep) batch.schedule()
    else opener.opened(batch)
    return batch
  }

  /** It takes no more keys. */
  began(batch: Batch<K, A, E>): void {
    this.ended(batch)
    if (this.options.keep) this.closed.push(batch)
  }

  /** It has what it asks for, or never will. */
  ended(batch: Batch<K, A, E>): void {
    if (this.open === batch) this.open = undefined
    const at = this.closed.indexOf(batch)
    if (at !== -1) this.closed.splice(at, 1)
  }

  learn(found: ReadonlyMap<K, A>, loads: ReadonlyArray<Waiting<K, A, E>>): void {
    if (!this.options.keep) return
    this.first ??= found
    for (const load of loads) {
      if (load.found === null || this.first !== found) (this.others ??= new Map()).set(load.key, load.found!)
    }
  }
}

/** A load as its batch sees it. */
interface Waiting<K, A, E> {
  readonly key: K
  /** Null where there is none. */
  found: A | null | undefined
  readonly settle: () => void
  readonly fail: (cause: Cause.Cause<E>) => void
}

/** A load, and once it has joined its batch, who waits for it. */
class Pending<K, A, E, B, E2> extends Effectable.Class<B, E | E2> implements Load<B, E | E2>, Joined, Waiting<K, A, E> {
  private readonly core: Core<K, A, E>
  readonly key: K
  /** Undefined: it gives what was found as it is. */
  private readonly finish: Finish<A, B, E2> | undefined
  private batch: Batch<K, A, E> | undefined = undefined
  private caller: Caller<B, E | E2, unknown> | undefined = undefined
  private at: unknown = undefined
  found: A | null | undefined = undefined

  constructor(core: Core<K, A, E>, key: K, finish: Finish<A, B, E2> | undefined) {
    super()
    this.core = core
    this.key = key
    this.finish = finish
  }

  join<At>(caller: Caller<B, E | E2, At>, at: At): Exit.Exit<B, E2> | Joined {
    // One that waits already is as good as a new one for whoever runs it again.
    if (this.batch !== undefined) return new Pending(this.core, this.key, this.finish).join(caller, at)
    const known = this.core.known(this.key)
    if (known !== undefined) return this.exitOf(known)
    this.batch = this.core.batchOf(this.key, caller)
    this.caller = caller as Caller<B, E | E2, unknown>
    this.at = at
    this.batch.join(this)
    return this
  }

  /** Called when the batch has found what it looked for. */
  settle(): void {
    const { at, caller, finish, found } = this
    if (caller === undefined) return
    this.caller = undefined
    if (finish === undefined) return caller.succeeded(found as B, at)
    const exit = finish(found!)
    if (Exit.isSuccess(exit)) caller.succeeded(exit.value, at)
    else caller.failed(exit.cause, at)
  }

  fail(cause: Cause.Cause<E>): void {
    const { at, caller } = this
    this.caller = undefined
    caller?.failed(cause, at)
  }

  left(): void {
    if (this.caller === undefined) return
    this.caller = undefined
    this.batch!.leave()
  }

  get leave(): Effect.Effect<void> {
    return Effect.sync(() => this.left())
  }

  override commit(): Effect.Effect<B, E | E2> {
    const known = this.core.known(this.key)
    if (known !== undefined) return this.exitOf(known)
    return Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
      if (this.core.options.isAlone?.(fiber) === true) return this.alone()
      return Effect.async((resume) => {
        const waiter = new Waiter(fiber, runtimeFlags, resume)
        const joined = this.join(waiter, undefined)
        if (joined instanceof Pending) waiter.waitsFor(joined)
        else resume(joined as Exit.Exit<B, E2>)
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

/**
 * A fiber that waits for a load, and leaves it when it has ended: interrupted, it goes on at once and has nothing else to
 * do. To hear of the interruption itself, as `Effect.async` can, costs as much as all else of a read.
 */
class Waiter<A, E> implements Caller<A, E, undefined> {
  private readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  private readonly flags: RuntimeFlags.RuntimeFlags
  private readonly resume: (exit: Exit.Exit<A, E>) => void
  private gone: (() => void) | undefined = undefined

  constructor(
    fiber: Fiber.RuntimeFiber<unknown, unknown>,
    flags: RuntimeFlags.RuntimeFlags,
    resume: (exit: Exit.Exit<A, E>) => void
  ) {
    this.fiber = fiber
    this.flags = flags
    this.resume = resume
  }

  runtime(): Runtime.Runtime<never> {
    const { fiber, flags } = this
    return Runtime.make({
      context: fiber.currentContext as never,
      runtimeFlags: flags,
      fiberRefs: fiber.getFiberRefs()
    })
  }

  waitsFor(load: { readonly left: () => void }): void {
    this.gone = () => load.left()
    this.fiber.addObserver(this.gone)
  }

  succeeded(value: A): void {
    this.end(Exit.succeed(value))
  }

  failed(cause: Cause.Cause<E>): void {
    this.end(Exit.failCause(cause))
  }

  private end(exit: Exit.Exit<A, E>): void {
    if (this.gone !== undefined) this.fiber.removeObserver(this.gone)
    this.resume(exit)
  }
}

/** Whether the Effect is a load, which needs no fiber to wait for it. */
export const isLoad = (effect: Effect.Effect<unknown, unknown>): effect is Load<unknown, unknown> =>
  effect instanceof Pending

const asOption = <A>(found: A | null): Exit.Exit<Option.Option<A>> =>
  Exit.succeed(Option.fromNullable(found) as Option.Option<A>)

/**
 * A batcher over one Effect per batch: keys are unique and at most `batchKeysMax`; keys absent from the map are None. The
 * map may have more: where what was loaded is kept, that may be known then without being asked for.
 * The batch runs with the context of the load that opened it and is interrupted when nobody waits for it any more.
 */
export const make = <K, A, E = never>(run: Run<K, A, E>, options: Options = { keep: true }): Batcher<K, A, E> => {
  const core = new Core(run, options)
  return {
    load: (key) => new Pending(core, key, asOption),
    find: (key) => new Pending(core, key, undefined),
    read: (key, finish) => new Pending(core, key, (found) => finish(Option.fromNullable(found)))
  }
}
