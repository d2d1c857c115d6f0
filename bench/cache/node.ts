/**
 * One process of several on a Redis: `bun bench/cache/node.ts PORT`. Lines on its input say what to do; it answers each
 * with a line.
 */
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Redis } from "ioredis"
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
  /** Reads the key again and again, near for the most part, until it is `value`; says when that was. */
  const watch = (key: string, value: number) =>
    Effect.gen(function* () {
      while (!Option.contains(yield* cache.get(key), value)) yield* Effect.sleep("1 millis")
      return String(Nodes.wallMillis())
    })
  const act = (line: string) => {
    const [what, key, value] = line.split(" ")
    return what === "stampede" ? stampede(key!) : watch(key!, Number(value))
  }
  console.log("ready")
  yield* Stream.fromAsyncIterable(createInterface({ input: process.stdin }), (error) => error).pipe(
    Stream.mapEffect(act),
    Stream.runForEach((answer) => Effect.sync(() => console.log(answer)))
  )
})

await runtime.runPromise(Effect.scoped(program))
process.exit(0)
