import * as Clock from "effect/Clock"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { ActorStopped, AskTimeout } from "../../errors.ts"
import * as Metrics from "../../telemetry/Metrics.ts"
import { Alarm, type Due } from "../local/Alarm.ts"
import * as Links from "./Links.ts"
import { ClusterLocks } from "./Locks.ts"
import type { Envelope } from "./Protocol.ts"
import { Shards } from "./Shards.ts"
import type { Definition } from "../Definition.ts"
import { RetryBudget } from "./RetryBudget.ts"

/** Calls of one process to other nodes at the same time. */
export const callsMax = 20_000

/** Time between two looks for the node of an actor that has none now. */
export const lookEvery = Duration.millis(50)

/** Time between two readings of who has which shard while nothing waits for it. */
export const readEvery = Duration.seconds(1)

/** Pause before a call is made again: from the first, doubled, to the last. */
const pauseMillisMin = 25
const pauseMillisMax = 1_000

/** Time a sender is told to wait while shards move. */
export const movingMillis = 250

/** What is to be done on whichever node has the actor. */
export interface Order {
  readonly definition: Definition
  readonly shard: number
  readonly envelope: Envelope
  /** Whether it may arrive twice. */
  readonly repeatable: boolean
  /** Does it here, if the actor comes to live here while it waits. */
  readonly here: () => Effect.Effect<unknown, unknown>
  /** Reads the answer of the other node. */
  readonly answered: (answer: unknown) => Effect.Effect<unknown, unknown>
}

type Resume = (effect: Effect.Effect<unknown, unknown>) => void

/** An order under way. */
class Call implements Due, Links.Sending {
  readonly order: Order
  readonly router: Router
  resume: Resume | undefined
  attempts = 0
  notBefore = 0
  /** Whether a node has had it. */
  sent = false
  dueMillis = 0
  earlier: Due | undefined = undefined
  later: Due | undefined = undefined
  listed = false

  constructor(order: Order, router: Router, resume: Resume) {
    this.order = order
    this.router = router
    this.resume = resume
  }

  get envelope(): Envelope {
    return this.order.envelope
  }

  answered(answer: unknown): void {
    if (answer === null) this.router.again(this)
    else if (this.order.repeatable && isStopped(answer)) this.router.repeat(this, this.order.answered(answer))
    else this.router.end(this, this.order.answered(answer))
  }

  unsent(): void {
    this.router.again(this)
  }

  lost(cause: Cause.Cause<unknown>): void {
    this.router.lost(this, cause)
  }
}

/** Whether an encoded Exit is a failure with ActorStopped: its actor goes elsewhere, or rests for a moment. */
const isStopped = (answer: unknown): boolean => {
  const exit = answer as { _tag?: string; cause?: { _tag?: string; error?: { _tag?: string } } } | undefined
  return exit?._tag === "Failure" && exit.cause?._tag === "Fail" && exit.cause.error?._tag === "ActorStopped"
}

const stopped = ({ name }: Definition) => Effect.fail(new ActorStopped({ actor: name, retryAfterMillis: movingMillis }))

interface Parts {
  readonly shards: Shards["Type"]
  readonly links: Links.Links
  readonly budget: RetryBudget
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<unknown>) => void
  readonly alarm: (definition: Definition) => Alarm<Call>
  readonly serves: (definition: Definition) => boolean
}

/** Brings each call to the node that has its actor, as often as is needed and safe. */
export class Router {
  readonly parts: Parts
  /** Calls that wait for a node, or for their next attempt. */
  readonly waiting = new Set<Call>()
  /** Opens when something waits. */
  readonly wanted = Effect.unsafeMakeLatch(false)
  private calls = 0

  constructor(parts: Parts) {
    this.parts = parts
  }

  order(order: Order): Effect.Effect<unknown, unknown> {
    return Effect.async((resume) => {
      if (this.calls >= callsMax) return resume(stopped(order.definition))
      this.calls++
      this.parts.budget.earn()
      const call = new Call(order, this, resume)
      this.parts.alarm(order.definition).add(call, this.parts.now())
      this.dispatch(call)
      return Effect.sync(() => this.end(call, Effect.void))
    })
  }

  /** An order whose result nobody waits for. */
  post(order: Order): void {
    this.parts.fork(Effect.ignore(this.order(order)))
  }

  end(call: Call, effect: Effect.Effect<unknown, unknown>): void {
    const { resume } = call
    if (resume === undefined) return
    call.resume = undefined
    this.calls--
    this.waiting.delete(call)
    this.parts.alarm(call.order.definition).remove(call)
    resume(effect)
  }

  /** It was not touched where it came to: that node does not have the actor any more, or is away. */
  again(call: Call): void {
    if (call.resume === undefined) return
    call.notBefore = this.parts.now() + Math.min(pauseMillisMax / 4, pauseMillisMin * 2 ** Math.min(call.attempts++, 8))
    this.wait(call)
  }

  lost(call: Call, cause: Cause.Cause<unknown>): void {
    const { definition, repeatable } = call.order
    if (call.resume === undefined) return
    Metrics.series(Metrics.actorRemoteFailures, definition.name).unsafeUpdate(1, [])
    this.parts.fork(Effect.logDebug(`A call of ${definition.name} on another node was lost`, cause))
    if (repeatable) this.repeat(call, stopped(definition))
    else this.end(call, stopped(definition))
  }

  /** Once more after a pause, or the failure when too many calls are made again already. */
  repeat(call: Call, failure: Effect.Effect<unknown, unknown>): void {
    if (call.resume === undefined) return
    if (!this.parts.budget.spend()) return this.end(call, failure)
    Metrics.series(Metrics.actorRemoteRetries, call.order.definition.name).unsafeUpdate(1, [])
    call.notBefore = this.parts.now() + Math.min(pauseMillisMax, pauseMillisMin * 2 ** Math.min(call.attempts++, 8))
    this.wait(call)
  }

  /** Its time is over: unknown whether it was done when a node has had it. */
  expire(call: Call): void {
    const { definition, envelope } = call.order
    const unknown = call.sent && envelope.wish !== "tell"
    this.end(
      call,
      unknown
        ? Effect.fail(new AskTimeout({ actor: definition.name, timeoutMillis: definition.askTimeoutMillis }))
        : stopped(definition)
    )
  }

  /** Sends what waits and is due. */
  retry(): void {
    const now = this.parts.now()
    for (const call of Array.from(this.waiting)) {
      if (call.notBefore > now) continue
      this.waiting.delete(call)
      this.dispatch(call)
    }
  }

  private wait(call: Call): void {
    this.waiting.add(call)
    this.wanted.unsafeOpen()
  }

  private dispatch(call: Call): void {
    const { links, serves, shards } = this.parts
    const { definition, here, shard } = call.order
    if (serves(definition) && shards.holds(definition.group, shard)) return this.end(call, Effect.suspend(here))
    const node = shards.holderOf(definition.group, shard)
    if (node === undefined || node === shards.address) return this.wait(call)
    call.sent = true
    links.send(node, call)
  }
}

/** `serves` says whether this process serves the type. */
export const make = (serves: (definition: Definition) => boolean) =>
  Effect.gen(function* () {
    const shards = yield* Shards
    const locks = yield* ClusterLocks
    const links = yield* Links.make
    const runtime = yield* Effect.runtime<never>()
    const scope = yield* Effect.scope
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const alarms = new Map<string, Alarm<Call>>()
    const fork = (effect: Effect.Effect<unknown>) => Runtime.runFork(runtime)(effect, { scope })
    const alarm = ({ askTimeoutMillis, name }: Definition): Alarm<Call> => {
      const known = alarms.get(name)
      if (known !== undefined) return known
      const made = new Alarm<Call>(
        askTimeoutMillis,
        now,
        (effect) => fork(effect),
        (call) => router.expire(call)
      )
      alarms.set(name, made)
      return made
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const each of alarms.values()) each.stop()
      })
    )
    const router = new Router({ shards, links, budget: new RetryBudget(now), now, fork, alarm, serves })

    /** Connections to nodes that had no shard at two looks. */
    let silent = new Set<string>()
    const tidy = Effect.suspend(() => {
      const gone = links.busy().filter((node) => !shards.isHolder(node))
      const twice = gone.filter((node) => silent.has(node))
      silent = new Set(gone)
      return Effect.forEach(twice, (node) => links.close(node), { discard: true })
    })

    let readAt = 0
    const look = Effect.gen(function* () {
      yield* locks.read
      router.retry()
      const time = yield* Clock.currentTimeMillis
      if (time - readAt >= Duration.toMillis(readEvery)) {
        readAt = time
        yield* tidy
      }
      if (router.waiting.size > 0) return yield* Effect.sleep(lookEvery)
      router.wanted.unsafeClose()
      return yield* Effect.raceFirst(router.wanted.await, Effect.sleep(readEvery))
    })
    yield* Effect.forkScoped(Effect.interruptible(Effect.forever(look)))
    return { router, links }
  })
