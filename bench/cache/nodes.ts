import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as RedisStore from "../../layers/store/RedisStore.ts"
import * as Scheduler from "../../src/actor/Scheduler.ts"
import * as Cache from "../../src/cache/Cache.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Store } from "../../src/store/Store.ts"

/** About 250 bytes of JSON, as a profile is. */
export const Profile = Schema.Struct({
  id: Schema.String,
  handle: Schema.String,
  displayName: Schema.String,
  bio: Schema.String,
  interests: Schema.Array(Schema.String),
  languages: Schema.Array(Schema.String)
})

export const profile = (n: number): typeof Profile.Type => ({
  id: `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`,
  handle: `person_${n}`,
  displayName: `Person ${n}`,
  bio: "Plays chess badly, gardens well, and asks more questions than there are answers to.",
  interests: ["chess", "gardening", "open source"],
  languages: ["en", "de"]
})

export const keysMax = 1_000
export const keys: ReadonlyArray<string> = Array.from({ length: keysMax }, (_, n) => profile(n).id)

const near = { entriesMax: 10_000, ttl: "1 hour" } as const

export type Profiles = Cache.Cache<string, typeof Profile.Type>

/**
 * Caches whose lookup must not be reached, on the same values in the store: with a near part; without; and without, one that
 * decodes each text though it is the same as before.
 */
export const all = (scope: Scope.Scope) =>
  Effect.all([profiles({ near }), profiles({}), profiles({ decodedLengthMax: 0 })]).pipe(Scope.extend(scope))

const profiles = (more: { readonly near?: typeof near; readonly decodedLengthMax?: number }) =>
  Cache.make({
    name: "profiles",
    key: (id: string) => id,
    schema: Profile,
    ttl: "1 hour",
    ...more,
    lookup: (id: string) => Effect.dieMessage(`${id} was not cached`)
  })

/** Numbers, for processes that tell each other what changed. */
export const numbers = (lookup: (key: string) => Effect.Effect<Option.Option<number>>) =>
  Cache.make({ name: "numbers", key: (id: string) => id, schema: Schema.Number, ttl: "1 hour", near, lookup })

const patientMillis = 5_000

/** What a process needs for its caches, on the Redis of that port. */
export const runtime = (port: number) => {
  const address = {
    host: "127.0.0.1",
    port,
    password: Option.none(),
    connectTimeout: Duration.seconds(2),
    cluster: false
  }
  // Peers wait for Redis without end; on a busy machine ours would ask the lookup instead.
  const store = Layer.scoped(Store, RedisStore.make(address, patientMillis))
  return ManagedRuntime.make(Layer.provideMerge(Layer.merge(Layer.orDie(store), Settings.layerTest()), Scheduler.layer))
}

/** Milliseconds that processes of one machine agree on. */
export const wallMillis = (): number => performance.timeOrigin + performance.now()
