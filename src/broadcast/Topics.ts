/** A message of the topic; or `Gap`: some may have been missed, so refill from the database. */
export type Signal<A> = { readonly _tag: "Message"; readonly message: A } | { readonly _tag: "Gap" }

/** Called as it happens; must neither throw nor take long. */
export type Heard<A> = (signal: Signal<A>) => void

const gap: Signal<never> = { _tag: "Gap" }

/** Who listens to what in this process. */
export class Topics {
  private readonly byTopic = new Map<string, Set<Heard<unknown>>>()

  deliver(topic: string, message: unknown): void {
    const listeners = this.byTopic.get(topic)
    if (listeners === undefined) return
    const signal = { _tag: "Message", message } as const
    for (const heard of listeners) heard(signal)
  }

  miss(topic: string): void {
    for (const heard of this.byTopic.get(topic) ?? []) heard(gap)
  }

  add(topic: string, heard: Heard<unknown>): void {
    const listeners = this.byTopic.get(topic)
    if (listeners === undefined) this.byTopic.set(topic, new Set([heard]))
    else listeners.add(heard)
  }

  remove(topic: string, heard: Heard<unknown>): void {
    const listeners = this.byTopic.get(topic)
    listeners?.delete(heard)
    if (listeners?.size === 0) this.byTopic.delete(topic)
  }
}
