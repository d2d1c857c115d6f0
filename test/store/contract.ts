import { expect } from "bun:test"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Envelope from "../../src/cache/Envelope.ts"
import { Store } from "../../src/store/Store.ts"
import * as Stored from "../../src/store/Stored.ts"
import { withLayer } from "../kit/effect.ts"
import { hearing } from "./hearing.ts"

/** What every Store does. `another` is one more client of the same data. */
export const contract = (
  name: string,
  layer: Layer.Layer<Store>,
  another: Effect.Effect<typeof Store.Service, never, Scope.Scope>
): void =>
  withLayer(`Store: ${name}`, layer, (it) => {
    it("gives back the text that was set, to the byte", () =>
      Effect.gen(function* () {
        const store = yield* Store
        for (const text of ["", "plain", "ünïcødé 👋\u0000\n", "x".repeat(100_000)]) {
          expect(yield* store.set("text", text)).toBe(true)
          expect(yield* store.get("text")).toEqual(Option.some(text))
        }
        expect(yield* store.get("absent")).toEqual(Option.none())
      }))

    it("answers many keys in their order", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* store.setMany(
          [
            ["many:a", "1"],
            ["many:b", "2"]
          ],
          "1 minute"
        )
        expect(yield* store.getMany(["many:b", "many:none", "many:a"])).toEqual(["2", null, "1"])
        expect(yield* store.getMany([])).toEqual([])
        expect(yield* store.remove("many:a", "many:b", "many:none")).toBe(2)
        expect(yield* store.remove()).toBe(0)
      }))

    it("answers many keys of unequal lengths and in any script", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const keys = ["many:1", "many:22", "many:ä", "many:日本", "many:🙂", "many:"]
        for (const key of keys) yield* store.set(key, `of ${key}`, { ttl: "1 minute" })
        expect(yield* store.getMany(keys)).toEqual(keys.map((key) => `of ${key}`))
        expect(yield* store.getMany(["many:ä", "many:é"])).toEqual(["of many:ä", null])
        for (const key of keys) expect(yield* store.getMany([key])).toEqual([`of ${key}`])
      }))

    it("what it has stored can be compared, and read as text", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const keys = ["stored:a", "stored:b", "stored:none"]
        yield* store.set("stored:a", "grün 🙂", { ttl: "1 minute" })
        yield* store.set("stored:b", "other", { ttl: "1 minute" })
        const [a, b, none] = yield* store.getStored(keys)
        const kept = Stored.kept(a!)
        expect([Stored.text(kept), Stored.text(b!), none]).toEqual(["grün 🙂", "other", null])
        const [again] = yield* store.getStored(keys)
        expect([Stored.same(kept, again!), Stored.same(kept, b!)]).toEqual([true, false])
        yield* store.set("stored:a", "grün 🙃", { ttl: "1 minute" })
        const [changed] = yield* store.getStored(keys)
        expect(Stored.same(kept, changed!)).toBe(false)
        expect(yield* store.getStored([])).toEqual([])
      }))

    it("sets a key that must be absent only once", () =>
      Effect.gen(function* () {
        const store = yield* Store
        expect(yield* store.set("once", "1", { onlyIfAbsent: true, ttl: "1 minute" })).toBe(true)
        expect(yield* store.set("once", "2", { onlyIfAbsent: true })).toBe(false)
        expect(yield* store.get("once")).toEqual(Option.some("1"))
      }))

    it("keeps hashes by field and removes a hash with its last field", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* store.hashSet("hash", { a: "1", b: "2" }, "1 minute")
        yield* store.hashSet("hash", { b: "3" })
        expect(yield* store.hashGet("hash", "b")).toEqual(Option.some("3"))
        expect(yield* store.hashGet("hash", "c")).toEqual(Option.none())
        expect(yield* store.hashGetAll("hash")).toEqual({ a: "1", b: "3" })
        expect(yield* store.hashRemove("hash", "a", "b", "c")).toBe(2)
        expect(yield* store.hashGetAll("hash")).toEqual({})
        expect(yield* store.expire("hash", "1 minute")).toBe(false)
      }))

    it("keeps the newest of a list", () =>
      Effect.gen(function* () {
        const store = yield* Store
        expect(yield* store.listPush("list", ["1", "2", "3"], 5)).toBe(3)
        expect(yield* store.listPush("list", ["4", "5", "6"], 4)).toBe(4)
        expect(yield* store.listRange("list", 0, -1)).toEqual(["3", "4", "5", "6"])
        expect(yield* store.listRange("list", -2, -1)).toEqual(["5", "6"])
        expect(yield* store.listRange("list", 2, 1)).toEqual([])
      }))

    it("keeps members of a set once", () =>
      Effect.gen(function* () {
        const store = yield* Store
        expect(yield* store.setAdd("set", "a", "b", "a")).toBe(2)
        expect(yield* store.setAdd("set", "b", "c")).toBe(1)
        expect([...(yield* store.setMembers("set"))].sort()).toEqual(["a", "b", "c"])
        expect(yield* store.setRemove("set", "a", "z")).toBe(1)
      }))

    it("orders a sorted set by score, then by bytes", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const members = [
          ["b", 1],
          ["a", 1],
          ["\u{1f600}", 1],
          ["\uffee", 1],
          ["low", -2.5]
        ] as const
        expect(yield* store.sortedAdd("sorted", members)).toBe(5)
        expect(yield* store.sortedAdd("sorted", [["b", 0.5]])).toBe(0)
        const all = yield* store.sortedRange("sorted", -Infinity, Infinity)
        expect(all.map(([member]) => member)).toEqual(["low", "b", "a", "\uffee", "\u{1f600}"])
        expect(yield* store.sortedRange("sorted", 0, 0.5)).toEqual([["b", 0.5]])
        expect(yield* store.sortedRemove("sorted", "low", "none")).toBe(1)
      }))

    it("treats a command on another kind of value as a mistake of the program", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* store.setAdd("kind", "a")
        const exit = yield* Effect.exit(store.get("kind"))
        expect(exit._tag === "Failure" && Cause.pretty(exit.cause)).toContain("WRONGTYPE")
        expect(exit._tag === "Failure" && exit.cause._tag).toBe("Die")
      }))

    it("runs a script in one step", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const lease = (seen: string, text: string) =>
          Effect.map(store.run(Envelope.lease, ["filled"], [seen, text, "60000"]), (at) => at >= 0)
        const settle = (lease: string, text: string) => store.run(Envelope.settle, ["filled"], [lease, text, "60000"])
        expect(yield* lease("", "l1;")).toBe(true)
        expect(yield* lease("", "l2;")).toBe(false)
        expect(yield* settle("l2;", "j1.b;two")).toBe(0)
        expect(yield* settle("l1;", "j1.b;two")).toBe(1)
        expect(yield* lease("j1.b;", "l3;")).toBe(true)
        expect(yield* store.get("filled")).toEqual(Option.some("l3;j1.b;two"))
        expect(yield* settle("l3;", "")).toBe(1)
        expect(yield* store.get("filled")).toEqual(Option.some("j1.b;two"))
      }))

    it("delivers to every subscriber of the channel what is published after it subscribed", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* store.publish("news", "too early")
        // Between the servers of a cluster messages travel on their own.
        yield* Effect.sleep("50 millis")
        const [first, second] = yield* Effect.all([hearing(store, "news"), hearing(store, "news")])
        yield* store.publish("other", "not ours")
        yield* store.publish("news", "one")
        yield* store.publish("news", "two")
        for (const heard of [first, second]) {
          expect([yield* Queue.take(heard), yield* Queue.take(heard)]).toEqual([
            { _tag: "Message", payload: "one" },
            { _tag: "Message", payload: "two" }
          ])
        }
      }))

    it("tells a follower of keys that others change, and not of its own", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const other = yield* another
        const seen = new Set<string>()
        const states: Array<string> = []
        const arrived = (key: string) =>
          Effect.repeat(Effect.sleep("1 millis"), { until: () => seen.has(key) }).pipe(Effect.timeout("5 seconds"))
        yield* store.follow("watched:", (change) => {
          if (change._tag !== "Changed") states.push(change._tag)
          else for (const key of change.keys) seen.add(key)
        })
        yield* Effect.repeat(Effect.sleep("1 millis"), { until: () => states.at(-1) === "Following" }).pipe(
          Effect.timeout("5 seconds")
        )
        yield* store.set("watched:own", "1")
        yield* other.set("elsewhere:a", "1")
        yield* other.set("watched:a,b", "1")
        yield* other.setAdd("watched:set", "member")
        yield* other.run(Envelope.lease, ["watched:script"], ["", "l1;", "60000"])
        yield* store.set("watched:removed", "1")
        yield* other.remove("watched:removed")
        for (const key of ["watched:a,b", "watched:set", "watched:script", "watched:removed"]) yield* arrived(key)
        expect(seen.size).toBe(4)
      }))

    it("a key is gone when its time to live ends", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* store.set("short", "1", { ttl: "30 millis" })
        yield* Effect.repeat(store.get("short"), { until: Option.isNone, schedule: Schedule.spaced("5 millis") }).pipe(
          Effect.timeout("5 seconds")
        )
      }))

    it("answers a ping", () =>
      Effect.gen(function* () {
        const store = yield* Store
        expect(["memory", "redis"]).toContain(store.backend)
        yield* store.ping
      }))
  })
