import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type { Delivery, Store } from "../../src/store/Store.ts"

/** What a channel delivers from now on, in order. */
export const hearing = (store: typeof Store.Service, channel: string) =>
  Effect.gen(function* () {
    const heard = yield* Queue.unbounded<Delivery>()
    yield* store.subscribe(channel, (delivery) => void heard.unsafeOffer(delivery))
    return heard
  })
