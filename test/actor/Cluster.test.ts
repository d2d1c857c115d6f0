import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ClusterNode from "../../layers/actors/ClusterNode.ts"
import * as Actor from "../../src/actor/Actor.ts"
import { Conflict } from "../../src/errors.ts"
import { it } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { freePort } from "../kit/ports.ts"

const Where = Actor.make("Where", {
  protocol: [
    Rpc.make("Node", { success: Schema.String }),
    Rpc.make("Add", { payload: { amount: Schema.Int }, success: Schema.Int, error: Conflict }),
    Rpc.make("Boom"),
    Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true })
  ],
  askTimeout: "8 seconds"
})

const serves = (name: string) =>
  Where.toLayer(() =>
    Effect.sync(() => {
      let n = 0
      return {
        Node: () => Effect.succeed(name),
        Add: ({ amount }) =>
          amount < 0 ? Effect.fail(new Conflict({ message: "negative" })) : Effect.sync(() => (n += amount)),
        Boom: () => Effect.dieMessage("boom"),
        Count: ({ to }) => Stream.range(1, to)
      }
    })
  )

const ids = Array.from({ length: 40 }, (_, i) => `id-${i}`)

/** A node with a scope of its own, so that it can leave. */
const join = (name: string, database: Layer.Layer<Layer.Layer.Success<typeof Postgres.layerDatabase>>) =>
  Effect.gen(function* () {
    const port = yield* Effect.promise(() => freePort())
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const layer = serves(name).pipe(
      Layer.provideMerge(ClusterNode.layer({ host: "127.0.0.1", port })),
      Layer.provide(database),
      Layer.provide(Logger.remove(Logger.defaultLogger))
    )
    const context = yield* Scope.extend(Layer.build(Layer.fresh(layer)), scope)
    const client = yield* Effect.provide(Where.client, context)
    return { client, leave: Scope.close(scope, Exit.void) }
  })

const patiently = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.retry(effect, Schedule.spaced("100 millis").pipe(Schedule.upTo("10 seconds")))

it.live("two nodes share the actors, every node reaches all of them, and one that leaves hands over", () =>
  Effect.gen(function* () {
    const database = Layer.succeedContext(yield* Layer.build(Postgres.layerDatabase))
    const a = yield* join("a", database)
    const b = yield* join("b", database)
    const spread = Effect.forEach(ids, (id) => patiently(a.client.ask(id).Node()), { concurrency: 8 })
    const nodes = yield* spread.pipe(
      Effect.repeat({ until: (names) => new Set(names).size === 2, schedule: Schedule.spaced("200 millis") })
    )
    expect(nodes).toBeDefined()
    const settled = yield* spread
    expect(yield* Effect.forEach(ids, (id) => b.client.ask(id).Node(), { concurrency: 8 })).toEqual(settled)

    const far = ids[settled.indexOf("b")]!
    expect(yield* a.client.ask(far).Add({ amount: 2 })).toBe(2)
    expect(yield* b.client.ask(far).Add({ amount: 3 })).toBe(5)
    yield* a.client.tell(far).Add({ amount: 1 })
    expect(yield* b.client.ask(far).Add({ amount: 0 })).toBe(6)
    expect(yield* Effect.flip(a.client.ask(far).Add({ amount: -1 }))).toMatchObject({ _tag: "Conflict" })
    expect((yield* Effect.flip(a.client.ask(far).Boom()))._tag).toBe("ActorCrashed")
    expect(Chunk.toReadonlyArray(yield* Stream.runCollect(a.client.ask(far).Count({ to: 3 })))).toEqual([1, 2, 3])
    expect(yield* a.client.isActive(far)).toBe(true)
    expect(yield* a.client.isActive(`${far}-never`)).toBe(false)

    yield* b.leave
    expect(yield* patiently(a.client.ask(far).Node())).toBe("a")
  })
)
