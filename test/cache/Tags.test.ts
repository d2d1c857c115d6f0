import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cache from "../../src/cache/Cache.ts"
import * as Tags from "../../src/cache/Tags.ts"
import * as Settings from "../../src/config/Settings.ts"
import { StoreUnavailable } from "../../src/errors.ts"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { it } from "../kit/effect.ts"

const away = new StoreUnavailable({ operation: "test", cause: new Error("away") })

const Page = Schema.Struct({ text: Schema.String, people: Schema.Array(Schema.String) })

const withTags = (store: Effect.Effect<typeof Store.Service>) =>
  Layer.provideMerge(Tags.layer, Layer.merge(Layer.effect(Store, store), Settings.layerTest()))

/** Pages in a process of their own, each tagged by the people on it. */
const pages = (rows: Map<string, typeof Page.Type>, store: Effect.Effect<typeof Store.Service>, gate = Effect.void) =>
  Effect.gen(function* () {
    const services = yield* Layer.build(withTags(store))
    const asked: Array<string> = []
    return yield* Effect.gen(function* () {
      const tags = yield* Tags.Tags
      const cache = yield* Cache.make({
        name: "page",
        key: (id: string) => id,
        schema: Page,
        ttl: "1 hour",
        near: { entriesMax: 100, ttl: "1 hour" },
        tags: tags.by((page: typeof Page.Type) => page.people.map((person) => `user:${person}`)),
        lookup: (id: string) =>
          Effect.sync(() => (asked.push(id), Option.fromNullable(rows.get(id)))).pipe(Effect.zipLeft(gate))
      })
      return { asked, cache, tags }
    }).pipe(Effect.provide(services))
  })

const settle = Effect.repeatN(Effect.yieldNow(), 20)

const twoPages = () =>
  new Map([
    ["chess", { text: "1", people: ["ada", "bob, the second; of 2"] }],
    ["tea", { text: "1", people: ["eve"] }]
  ])

/** Two processes on one store that both have the pages near. */
const two = Effect.gen(function* () {
  const rows = twoPages()
  const server = StoreMemory.server()
  const client = Effect.sync(() => StoreMemory.connect(server))
  const here = yield* pages(rows, client)
  const there = yield* pages(rows, client)
  for (const { cache } of [here, there]) {
    yield* cache.get("chess")
    yield* settle
    yield* cache.get("tea")
    yield* settle
  }
  yield* TestClock.adjust("1 second")
  return { here, there, rows, client }
})

const text = (found: Option.Option<typeof Page.Type>) => Option.getOrThrow(found).text

it("what carries an invalidated tag is looked up again in every process, the rest stays", () =>
  Effect.gen(function* () {
    const { here, rows, there } = yield* two
    for (const [id, page] of rows) rows.set(id, { ...page, text: "2" })
    yield* here.tags.invalidate("user:bob, the second; of 2", "user:nobody")
    // What is looked up in the very millisecond of an invalidation is not trusted.
    yield* TestClock.adjust("1 millis")
    for (const { cache } of [here, there]) {
      expect(text(yield* cache.get("chess"))).toBe("2")
      expect(text(yield* cache.get("tea"))).toBe("1")
    }
    yield* settle
    // Looked up once for both, after the invalidation, and good from then on.
    expect([...here.asked, ...there.asked].filter((id) => id === "chess").length).toBe(2)
  }))

it("a process that starts later does not take the old value from the store", () =>
  Effect.gen(function* () {
    const { client, here, rows } = yield* two
    rows.set("chess", { text: "2", people: ["ada"] })
    yield* here.tags.invalidate("user:ada")
    yield* TestClock.adjust("59 minutes")
    const late = yield* pages(rows, client)
    expect(text(yield* late.cache.get("chess"))).toBe("2")
  }))

it("what was looked up in the millisecond of an invalidation, before it, is looked up again", () =>
  Effect.gen(function* () {
    const rows = twoPages()
    const server = StoreMemory.server()
    const client = Effect.sync(() => StoreMemory.connect(server))
    const here = yield* pages(rows, client)
    yield* here.cache.get("chess")
    yield* settle
    rows.set("chess", { text: "2", people: ["ada"] })
    yield* here.tags.invalidate("user:ada")
    const late = yield* pages(rows, client)
    expect(text(yield* late.cache.get("chess"))).toBe("2")
  }))

it("a lookup that began before the invalidation is not kept", () =>
  Effect.gen(function* () {
    const rows = twoPages()
    const gate = yield* Deferred.make<void>()
    const server = StoreMemory.server()
    const client = Effect.sync(() => StoreMemory.connect(server))
    const slow = yield* pages(rows, client, Deferred.await(gate))
    const other = yield* pages(rows, client)
    const reading = yield* Effect.fork(slow.cache.get("chess"))
    yield* settle
    rows.set("chess", { text: "2", people: ["ada"] })
    yield* other.tags.invalidate("user:ada")
    yield* Deferred.succeed(gate, undefined)
    expect(text(yield* Fiber.join(reading))).toBe("1")
    yield* TestClock.adjust("1 second")
    for (const { cache } of [slow, other]) expect(text(yield* cache.get("chess"))).toBe("2")
  }))

it("an invalidation that the store does not take holds here at once and elsewhere when the store is back", () =>
  Effect.gen(function* () {
    const { client, here, rows, there } = yield* two
    const store = yield* client
    let down = true
    const flaky: typeof Store.Service = {
      ...store,
      run: (script, keys, args) => Effect.suspend(() => (down ? away : store.run(script, keys, args)))
    }
    const cut = yield* pages(rows, Effect.succeed(flaky))
    yield* cut.cache.get("chess")
    for (const [id, page] of rows) rows.set(id, { ...page, text: "2" })
    yield* cut.tags.invalidate("user:ada")
    expect(text(yield* cut.cache.get("chess"))).toBe("2")
    expect(text(yield* there.cache.get("chess"))).toBe("1")
    down = false
    yield* TestClock.adjust("1 second")
    for (const { cache } of [here, there]) expect(text(yield* cache.get("chess"))).toBe("2")
  }))

it("a value set through carries its tags", () =>
  Effect.gen(function* () {
    const { here, there } = yield* two
    yield* here.cache.set("new", { text: "1", people: ["ada"] })
    expect(text(yield* there.cache.get("new"))).toBe("1")
    yield* TestClock.adjust("1 second")
    yield* there.tags.invalidate("user:ada")
    for (const { cache } of [here, there]) expect(yield* cache.get("new")).toEqual(Option.none())
  }))

/** Tags alone, in a process of their own whose store is `changed`. */
const tagsOver = (
  server: StoreMemory.Server,
  changed: (store: typeof Store.Service) => Partial<typeof Store.Service> = () => ({})
) =>
  Effect.gen(function* () {
    const store = StoreMemory.connect(server)
    const services = yield* Layer.build(withTags(Effect.succeed({ ...store, ...changed(store) })))
    return yield* Effect.provide(Tags.Tags, services)
  })

it("while the store has not taken an invalidation, nothing that carries the tag counts here", () =>
  Effect.gen(function* () {
    const rows = twoPages().set("more", { text: "1", people: ["ada"] })
    const server = StoreMemory.server()
    const store = StoreMemory.connect(server)
    const there = yield* pages(rows, Effect.succeed(StoreMemory.connect(server)))
    for (const id of rows.keys()) yield* Effect.zipRight(there.cache.get(id), settle)
    yield* TestClock.adjust("1 second")
    const cut = yield* pages(rows, Effect.succeed({ ...store, run: () => away }))
    for (const [id, page] of rows) rows.set(id, { ...page, text: "2" })
    yield* cut.tags.invalidate("user:ada")
    for (const id of ["chess", "more"]) expect(text(yield* cut.cache.get(id))).toBe("2")
  }))

it("an invalidation reaches the store though its caller is interrupted meanwhile", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const gate = yield* Deferred.make<void>()
    let isAway = true
    const here = yield* tagsOver(server, (store) => ({
      run: (script, keys, args) =>
        Effect.suspend(() => (isAway ? Effect.zipRight(Deferred.await(gate), away) : store.run(script, keys, args)))
    }))
    const invalidating = yield* Effect.fork(here.invalidate("user:ada"))
    yield* settle
    yield* Effect.fork(Fiber.interrupt(invalidating))
    yield* settle
    isAway = false
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust("1 second")
    const there = yield* tagsOver(server)
    expect((yield* there.times(["user:ada"])).get("user:ada")).toBeGreaterThanOrEqual(0)
  }))

it("an invalidation that was not taken stays owed though an earlier one of the tag was", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const gate = yield* Deferred.make<void>()
    let calls = 0
    const here = yield* tagsOver(server, (store) => ({
      run: (script, keys, args) =>
        Effect.suspend(() => {
          if (++calls === 2) return away
          return Effect.zipLeft(store.run(script, keys, args), Deferred.await(gate))
        })
    }))
    yield* Effect.fork(here.invalidate("user:ada"))
    yield* TestClock.adjust("1 second")
    yield* here.invalidate("user:ada")
    yield* Deferred.succeed(gate, undefined)
    yield* TestClock.adjust("1 second")
    const there = yield* tagsOver(server)
    expect((yield* there.times(["user:ada"])).get("user:ada")).toBeGreaterThan(1_000)
  }))

it("the time of a tag that is invalidated while it is read is not remembered", () =>
  Effect.gen(function* () {
    const server = StoreMemory.server()
    const gate = yield* Deferred.make<void>()
    const here = yield* tagsOver(server, (store) => ({
      getMany: (keys) => Effect.zipLeft(store.getMany(keys), Deferred.await(gate))
    }))
    const there = yield* tagsOver(server)
    const reading = yield* Effect.fork(here.times(["user:ada", "user:bob"]))
    yield* settle
    yield* TestClock.adjust("1 second")
    yield* there.invalidate("user:ada")
    yield* Deferred.succeed(gate, undefined)
    expect([...(yield* Fiber.join(reading)).values()]).toEqual([-1, -1])
    expect([...(yield* here.times(["user:ada", "user:bob"])).values()]).toEqual([1_000, -1])
  }))
