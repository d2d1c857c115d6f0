import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Runtime from "effect/Runtime"
import type { ExecutionResult, GraphQLError } from "graphql"
import { locatedError } from "graphql"
import type { Caller, Opened } from "../request/Batcher.ts"
import * as Batcher from "../request/Batcher.ts"
import * as Failures from "./Failures.ts"
import { type FieldPlan, type ObjectPlan, shown } from "./Plan.ts"
import * as Run from "./Run.ts"

/** An object of the answer by key, or a list by index. */
export type Container = Record<string | number, unknown>

/** Where an object or a list of the answer stands. */
export interface Place {
  readonly owner: Place | undefined
  readonly into: Container
  readonly key: string | number
  readonly isNullable: boolean
  /** Something in it that may not be null failed, so that it is null itself or gone. */
  isGone: boolean
}

/**
 * One run of a plan. It builds the answer from plain objects, which JSON.stringify writes fastest; a value that is waited
 * for is put into its place later, and nothing around it waits or is made twice. Without anything to wait for, `result`
 * is there when `start` returns.
 */
export class Execution {
  readonly run: Run.Run
  readonly variables: Record<string, unknown>
  /** Decoded arguments of fields that have variables in them. */
  args: Map<FieldPlan, unknown> | undefined
  result: ExecutionResult | undefined
  private readonly holder: Container = { data: null }
  private readonly errors: Array<GraphQLError> = []
  private waiting = 0
  /** Batches that this execution opened. */
  opened: Array<Opened> = []
  private next: (() => void) | undefined
  private done: ((result: ExecutionResult) => void) | undefined

  constructor(run: Run.Run, variables: Record<string, unknown>) {
    this.run = run
    this.variables = variables
  }

  /** `isSerial`: each field of the root begins when the one before it is complete, as mutations do. */
  start(plan: ObjectPlan, root: unknown, isSerial: boolean): ExecutionResult | Run.Late<ExecutionResult> {
    const { fields } = plan
    const data = plan.object()
    this.holder["data"] = data
    const place: Place = { owner: undefined, into: this.holder, key: "data", isNullable: true, isGone: false }
    let index = 0
    const goOn = (): void => {
      while (index < fields.length && !place.isGone) {
        const field = fields[index++]!
        const value = field.value(this, root, data)
        if (value !== shown) field.settle(this, value, data, place)
        if (isSerial && this.isWaiting()) {
          this.next = goOn
          return
        }
      }
      if (this.isWaiting()) this.next = finish
      else finish()
    }
    const finish = (): void => {
      const made = this.holder as { readonly data: Record<string, unknown> | null }
      this.result = this.errors.length === 0 ? made : { errors: this.errors, data: made.data }
      this.done?.(this.result)
    }
    goOn()
    return this.result ?? this
  }

  onDone(done: (result: ExecutionResult) => void): void {
    this.done = done
  }

  /** Waits for the Effect that a resolver returned. It needs no fiber where it is done or a load. */
  wait(field: FieldPlan, effect: Effect.Effect<unknown, unknown>, into: Container, owner: Place): void {
    const begun = this.begin(new Waiting(this, field, into, owner), effect)
    if (begun === undefined) {
      this.waiting++
      // Its place among the keys of the object.
      into[field.key] = null
    } else if (Exit.isSuccess(begun)) field.deliver(this, begun.value, into, owner)
    else this.failed(field, begun.cause, into, owner)
  }

  private begin(waiting: Waiting, effect: Effect.Effect<unknown, unknown>): Exit.Exit<unknown, unknown> | undefined {
    if (!Batcher.isLoad(effect)) {
      return Run.begin(this.run, waiting.field.bound!.name, effect, (exit) => {
        if (Exit.isSuccess(exit)) waiting.succeeded(exit.value)
        else waiting.failed(exit.cause)
      })
    }
    const load = effect.join(waiting)
    if (!("leave" in load)) return load
    this.run.pending.push(load)
    return undefined
  }

  /** One that was waited for is there. */
  arrived(): void {
    this.waiting--
    if (this.isWaiting()) return
    const { next } = this
    this.next = undefined
    next?.()
  }

  /**
   * Whether something is still to come, when all has been done that can be done without it. Who waits for nothing but
   * batches of its own that have not begun is the only one who asks of them, and has asked for all it can: they begin.
   */
  private isWaiting(): boolean {
    while (this.opened.length > 0) {
      const opened = this.opened.filter((batch) => batch.isOpen)
      const alone = opened.reduce((sum, { waiting }) => sum + waiting, 0) === this.waiting
      this.opened = alone ? [] : opened
      for (const batch of opened) {
        if (alone) batch.begin()
        else batch.schedule()
      }
      if (!alone) break
    }
    return this.waiting > 0
  }

  failed(field: FieldPlan, cause: Cause.Cause<unknown>, into: Container, owner: Place): void {
    this.fail(Failures.fromCause(cause), field, into, field.key, owner, field.isNullable)
  }

  list(into: Container, key: string | number, owner: Place, isNullable: boolean) {
    const list = [] as unknown as Container
    into[key] = list
    return { list, place: { owner, into, key, isNullable, isGone: false } satisfies Place }
  }

  /** Null where that may be, or around it, where the nearest may; told once for all that goes with it. */
  fail(
    error: unknown,
    field: FieldPlan,
    into: Container,
    key: string | number,
    owner: Place,
    isNullable: boolean
  ): void {
    for (let place: Place | undefined = owner; place !== undefined; place = place.owner) if (place.isGone) return
    this.errors.push(locatedError(error, field.nodes, pathOf(key, owner)))
    if (isNullable) {
      into[key] = null
      return
    }
    let place: Place = owner
    place.isGone = true
    while (!place.isNullable && place.owner !== undefined) {
      place = place.owner
      place.isGone = true
    }
    place.into[place.key] = null
  }
}

/** A place that is empty until the load or the fiber of its resolver is done. */
class Waiting implements Caller<unknown, unknown> {
  readonly field: FieldPlan
  private readonly execution: Execution
  private readonly into: Container
  private readonly owner: Place

  constructor(execution: Execution, field: FieldPlan, into: Container, owner: Place) {
    this.execution = execution
    this.field = field
    this.into = into
    this.owner = owner
  }

  runtime(): Runtime.Runtime<never> {
    return Run.runtimeOf(this.execution.run, this.field.bound!.name)
  }

  opened(batch: Opened): void {
    this.execution.opened.push(batch)
  }

  succeeded(value: unknown): void {
    this.field.deliver(this.execution, value, this.into, this.owner)
    this.execution.arrived()
  }

  failed(cause: Cause.Cause<unknown>): void {
    this.execution.failed(this.field, cause, this.into, this.owner)
    this.execution.arrived()
  }
}

const pathOf = (key: string | number, owner: Place): Array<string | number> => {
  const path = [key]
  for (let place = owner; place.owner !== undefined; place = place.owner) path.push(place.key)
  return path.reverse()
}
