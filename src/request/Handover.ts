import * as Effect from "effect/Effect"
import type { ExecutionResult } from "graphql"
import type { Reader, Subscription, SubscriptionFailed } from "../graphql/Subscription.ts"

type Step = IteratorResult<ExecutionResult, undefined>

const over: Step = { done: true, value: undefined }

/** Who asked for the next answer. */
interface Asking {
  readonly resolve: (step: Step | Promise<Step>) => void
}

/** An answer that nobody has asked for yet. */
interface Held {
  readonly answer: ExecutionResult
  readonly taken: () => void
}

/**
 * Between a subscription, which tells, and graphql-ws, which asks. The subscription goes on when its answer was taken, so
 * at most one waits here.
 */
export class Handover implements Reader, AsyncIterableIterator<ExecutionResult, undefined> {
  readonly fork: Reader["fork"]
  private readonly subscription: Subscription
  private asking: Asking | undefined
  private held: Held | undefined
  private last: (() => Step | Promise<Step>) | undefined

  constructor(fork: Reader["fork"], subscribe: (reader: Reader) => Subscription) {
    this.fork = fork
    this.subscription = subscribe(this)
  }

  receive(answer: ExecutionResult): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { asking } = this
      if (asking === undefined) {
        return Effect.async<void>((resume) => {
          this.held = { answer, taken: () => resume(Effect.void) }
        })
      }
      this.asking = undefined
      asking.resolve({ done: false, value: answer })
      return Effect.void
    })
  }

  end(failure: SubscriptionFailed | undefined): void {
    this.last = failure === undefined ? () => over : () => Promise.reject(failure)
    this.asking?.resolve(this.last())
    this.asking = undefined
  }

  next(): Promise<Step> {
    const { held, last } = this
    return new Promise((resolve) => {
      if (held !== undefined) {
        this.held = undefined
        resolve({ done: false, value: held.answer })
        held.taken()
      } else if (last !== undefined) resolve(last())
      else this.asking = { resolve }
    })
  }

  return(): Promise<Step> {
    this.subscription.close()
    this.end(undefined)
    return Promise.resolve(over)
  }

  /** graphql-ws looks for it to know that there is a `return`. */
  throw(): Promise<Step> {
    return this.return()
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
