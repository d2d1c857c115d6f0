import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Runtime from "effect/Runtime"
import type { ExecutionResult, GraphQLError } from "graphql"
import { locatedError } from "graphql"
import type { Caller, Opened } from "../request/Batcher.ts"
import * as Batcher from "../request/Batcher.ts"
import * as Failures from "./Failures.ts"
import { type Container, Places } from "./Places.ts"
import { type FieldPlan, ObjectPlan } from "./Plan.ts"
import * as Run from "./Run.ts"

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
  /** Where everything stands, once something has failed. */
  places: Places | undefined
  private readonly errors: Array<GraphQLError> = []
  private waiting = 0
  /** Batches that this execution opened. */
  opened: Array<Opened> = []
  private latestWaiting: Waiting | undefined
  private next: (() => void) | undefined
  private done: ((result: ExecutionResult) => void) | undefined

  constructor(run: Run.Run, variables: Record<string, unknown>) {
    this.run = run
    this.variables = variables
  }

  /** `isSerial`: each field of the root begins when the one before it is complete, as mutations do. */
  start(plan: ObjectPlan, root: unknown, isSerial: boolean): ExecutionResult | Run.Late<ExecutionResult> {
    const data = plan.object()
    this.holder["data"] = data
    const steps = isSerial ? plan.fields.map((field) => new ObjectPlan([field])) : [plan]
    let step = 0
    const goOn = (): void => {
      while (step < steps.length && this.holder["data"] !== null) {
        steps[step++]!.fill(this, root, data)
        if (this.isWaiting()) {
          this.next = goOn
          return
        }
      }
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
  wait(field: FieldPlan, effect: Effect.Effect<unknown, unknown>, into: Container): void {
    const begun = this.begin(this.waitingFor(field), effect, into)
    if (begun === undefined) {
      this.waiting++
      // Its place among the keys of the object.
      into[field.key] = null
    } else if (Exit.isSuccess(begun)) field.deliver(this, begun.value, into)
    else this.failed(field, begun.cause, into)
  }

  private begin(
    waiting: Waiting,
    effect: Effect.Effect<unknown, unknown>,
    into: Container
  ): Exit.Exit<unknown, unknown> | undefined {
    if (!Batcher.isLoad(effect)) {
      return Run.begin(this.run, waiting.field.bound!.name, effect, (exit) => {
        if (Exit.isSuccess(exit)) waiting.succeeded(exit.value, into)
        else waiting.failed(exit.cause, into)
      })
    }
    const load = effect.join(waiting, into)
    if (!("leave" in load)) return load
    this.run.pending.push(load)
    return undefined
  }

  /** One object for all rows of a field, which come one after the other. */
  private waitingFor(field: FieldPlan): Waiting {
    if (this.latestWaiting?.field !== field) this.latestWaiting = new Waiting(this, field)
    return this.latestWaiting
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

  failed(field: FieldPlan, cause: Cause.Cause<unknown>, into: Container): void {
    this.fail(Failures.fromCause(cause), field, into, field.key, field.isNullable)
  }

  /** Null where that may be, or around it, where the nearest may; told once for all that goes with it. */
  fail(error: unknown, field: FieldPlan, into: Container, key: string | number, isNullable: boolean): void {
    this.places ??= new Places(this.holder)
    const path = this.places.pathOf(into)
    if (path === undefined) return
    this.errors.push(locatedError(error, field.nodes, [...path, key]))
    if (isNullable) into[key] = null
    else this.places.remove(into, field)
  }
}

/** Who waits for the loads and the fibers of one field, each of which is for an object. */
class Waiting implements Caller<unknown, unknown, Container> {
  readonly field: FieldPlan
  private readonly execution: Execution

  constructor(execution: Execution, field: FieldPlan) {
    this.execution = execution
    this.field = field
  }

  runtime(): Runtime.Runtime<never> {
    return Run.runtimeOf(this.execution.run, this.field.bound!.name)
  }

  opened(batch: Opened): void {
    this.execution.opened.push(batch)
  }

  succeeded(value: unknown, into: Container): void {
    const { execution, field } = this
    if (execution.places?.isGone(into) !== true) field.deliver(execution, value, into)
    execution.arrived()
  }

  failed(cause: Cause.Cause<unknown>, into: Container): void {
    this.execution.failed(this.field, cause, into)
    this.execution.arrived()
  }
}
