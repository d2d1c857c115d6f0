/**
 * One process of several on a Redis: `bun bench/cache/node.ts PORT`. Lines on its input say what to do; it answers each
 * with a line.
 */
import { createInterface } from "node:readline"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Redis } from "ioredis"
import { Store } from "../../src/store/Store.ts"
import * as Nodes from "./nodes.ts"

const port = Number(process.argv[2])
const callers = 500
const lookupMillis = 50

const counter = new Redis({ host: "127.0.0.1", port })
const runtime = Nodes.runtime(port)

const program = Effect.gen(function* () {
  const cache = yield* Nodes.numbers(() =>
    Effect.promise(async () => {
      await counter.incr("lookups")
      await Bun.sleep(lookupMillis)
      return Option.some(1)
    })
  )
  /** All callers ask for one key that nobody has. */
  const stampede = (key: string) =>
    Effect.map(
      Effect.all(
        Array.from({ length: callers }, () => cache.get(key)),
        { concurrency: "unbounded" }
      ),
      (all) => String(all.filter(Option.isSome).length)
    )
  const store = yield* Store
  let told = Deferred.unsafeMake<number>(FiberId.none)
  // After the cache itself, which has dropped the old value by then.
  yield* store.follow("cache:numbers:", (change) => {
    if (change._tag === "Changed") Deferred.unsafeDone(told, Effect.succeed(Nodes.wallMillis()))
  })
  /** Reads the key until it is near. */
  const hold = (key: string) =>
    Effect.gen(function* () {
      told = Deferred.unsafeMake<number>(FiberId.none)
      yield* cache.get(key)
      while ((yield* cache.stats).nearEntries === 0) yield* Effect.zipRight(Effect.sleep("1 millis"), cache.get(key))
      return "held"
    })
  /** When the news had dropped what was held; the new value must be read then. */
  const gone = (key: string, value: number) =>
    Effect.gen(function* () {
      const at = yield* Deferred.await(told)
      if (!Option.contains(yield* cache.get(key), value))
        return yield* Effect.dieMessage("the old value was still read")
      return String(at)
    })
  const act = (line: string) => {
    const [what, key, value] = line.split(" ")
    return what === "stampede" ? stampede(key!) : what === "hold" ? hold(key!) : gone(key!, Number(value))
  }
  console.log("ready")
  yield* Stream.fromAsyncIterable(createInterface({ input: process.stdin }), (error) => error).pipe(
    Stream.mapEffect(act),
    Stream.runForEach((answer) => Effect.sync(() => console.log(answer)))
  )
})

await runtime.runPromise(Effect.scoped(program))
process.exit(0)
