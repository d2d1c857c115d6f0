import { createClient } from "graphql-ws"
import { RetryBudget } from "../../src/actor/cluster/RetryBudget.ts"

/** An answer with `errors`: what the first one says. */
export class GraphqlFailure extends Error {
  readonly code: string
  readonly retryable: boolean
  readonly retryAfterMillis: number
  constructor(error: { readonly message: string; readonly extensions?: Readonly<Record<string, unknown>> }) {
    super(error.message)
    this.code = String(error.extensions?.["code"] ?? "UNKNOWN")
    this.retryable = error.extensions?.["retryable"] === true
    this.retryAfterMillis = Number(error.extensions?.["retryAfterMillis"] ?? 0)
  }
}

/** The server did not answer: refused, reset or cut off. Whether the operation was done is unknown. */
export class Unreachable extends Error {}

/** Time that a call may spend on tries after the first. */
export const retryMillisMax = 60_000

/** The longest pause before a try, and how often one who has no try left looks whether there is one. */
const pauseMillisMax = 1_000
const budgetMillis = 50

/** Before the next try, `failures` after one another: longer each time, and not the same for all who failed together. */
export const backoffMillis = (failures: number): number =>
  Math.min(50 * 2 ** failures, pauseMillisMax) * (0.5 + Math.random() / 2)

/** Tries after the first of all clients of this process: more would turn a server's failure into load. */
const shared = new RetryBudget(() => performance.now())

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

interface Answer<A> {
  readonly data?: A
  readonly errors?: ReadonlyArray<{ readonly message: string; readonly extensions?: Readonly<Record<string, unknown>> }>
}

/**
 * A GraphQL client of the public API, as a stranger would write it: POST for operations, graphql-ws for streams. Given
 * several servers that are alike it stays with one, and goes on to the next when that one is gone.
 */
export class Client {
  token: string | undefined
  /** Tries after the first, over all calls. */
  retries = 0
  private readonly urls: ReadonlyArray<string>
  private readonly budget: RetryBudget
  private readonly patienceMillis: number
  private at = 0

  constructor(
    urls: string | ReadonlyArray<string>,
    token?: string,
    { budget = shared, patienceMillis = retryMillisMax } = {}
  ) {
    this.urls = typeof urls === "string" ? [urls] : urls
    this.token = token
    this.budget = budget
    this.patienceMillis = patienceMillis
  }

  get url(): string {
    return this.urls[this.at % this.urls.length]!
  }

  /** Leaves a server that did not answer, unless another call has done so meanwhile. */
  private leave(url: string): void {
    if (url === this.url) this.at++
  }

  /** One try. */
  async once<A>(query: string, variables: Readonly<Record<string, unknown>> = {}): Promise<A> {
    const { url } = this
    const unreachable = (what: string, cause?: unknown): Unreachable => {
      this.leave(url)
      return new Unreachable(`${url} ${what}`, { cause })
    }
    const response = await fetch(`${url}/graphql`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        ...(this.token === undefined ? {} : { authorization: `Bearer ${this.token}` })
      },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(30_000)
    }).catch((cause: unknown) => {
      throw unreachable("did not answer", cause)
    })
    const answer = (await response.json().catch((cause: unknown) => {
      throw unreachable(`answered ${response.status} without JSON`, cause)
    })) as Answer<A>
    if (answer.errors?.[0] !== undefined) throw new GraphqlFailure(answer.errors[0])
    if (answer.data === undefined || answer.data === null) throw unreachable("answered without data")
    return answer.data
  }

  /**
   * Again with back-off while the server is away or says that a retry may help, as far as the budget of all goes. For
   * operations that may be repeated.
   */
  async call<A>(query: string, variables: Readonly<Record<string, unknown>> = {}): Promise<A> {
    const until = performance.now() + this.patienceMillis
    this.budget.earn()
    for (let failures = 0; ; failures++) {
      try {
        return await this.once<A>(query, variables)
      } catch (error) {
        const again = error instanceof Unreachable || (error instanceof GraphqlFailure && error.retryable)
        if (!again) throw error
        const wait = error instanceof GraphqlFailure ? error.retryAfterMillis : 0
        await pause(Math.max(wait, backoffMillis(failures)))
        while (!this.budget.spend()) {
          if (performance.now() > until) throw error
          await pause(budgetMillis)
        }
        if (performance.now() > until) throw error
        this.retries++
      }
    }
  }

  /**
   * Listens until `close` or `drop`; `onValue` gets each value's root field. `onEnd` is called once: with nothing when
   * the stream completed or was closed by us, with the cause otherwise. `drop` cuts the socket without a word.
   */
  listen<A>(
    query: string,
    variables: Readonly<Record<string, unknown>>,
    onValue: (value: A) => void,
    onEnd: (cause?: unknown) => void
  ): { readonly close: () => void; readonly drop: () => void } {
    const { url } = this
    const client = createClient({
      url: `${url.replace(/^http/, "ws")}/graphql`,
      retryAttempts: 0,
      ...(this.token === undefined ? {} : { connectionParams: { token: this.token } })
    })
    let ended = false
    const end = (cause?: unknown) => {
      if (ended) return
      ended = true
      if (cause !== undefined && !(cause instanceof GraphqlFailure)) this.leave(url)
      onEnd(cause)
      // A socket that is still opening fails for being closed: nobody waits for it any more.
      void Promise.resolve(client.dispose()).catch(() => undefined)
    }
    client.subscribe<Record<string, A>>(
      { query, variables },
      {
        next: (result) => {
          if (ended) return
          if (result.errors?.[0] !== undefined) end(new GraphqlFailure(result.errors[0]))
          else for (const value of Object.values(result.data ?? {})) onValue(value)
        },
        error: end,
        complete: () => end()
      }
    )
    return {
      close: () => end(),
      drop: () => {
        if (ended) return
        ended = true
        client.terminate()
        onEnd()
      }
    }
  }
}
