import { Listeners } from "./Listeners.ts"

/** A message of the topic; or `Gap`: some may have been missed, so refill from the database. */
export type Signal<A> = { readonly _tag: "Message"; readonly message: A } | { readonly _tag: "Gap" }

/** Called as it happens; must neither throw nor take long. */
export type Heard<A> = (signal: Signal<A>) => void

const gap: Signal<never> = { _tag: "Gap" }

/** Who listens to what in this process. */
export class Topics extends Listeners<Heard<unknown>> {
  deliver(topic: string, message: unknown): void {
    const signal = { _tag: "Message", message } as const
    for (const heard of this.of(topic)) heard(signal)
  }

  miss(topic: string): void {
    for (const heard of this.of(topic)) heard(gap)
  }
}
