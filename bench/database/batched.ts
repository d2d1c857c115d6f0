import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlResolver from "@effect/sql/SqlResolver"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as ReadBatcher from "../../src/database/ReadBatcher.ts"
import { median } from "../kit.ts"

const fibers = 256
const items = 10_000
const millisEach = 500
/** Rounds that do not count: SqlResolver gets faster for a hundred thousand reads. */
const roundsBefore = 16

type Runtime = ManagedRuntime.ManagedRuntime<SqlClient.SqlClient, unknown>

const Item = Schema.Struct({ id: Schema.Number, body: Schema.String })
type Item = typeof Item.Type

type Load = (id: number) => Effect.Effect<Option.Option<Item>, unknown>

const ours = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* ReadBatcher.make({
    name: "item",
    statement: (ids: ReadonlyArray<number>) => sql<Item>`select id, body from items where id = any(${ids}::int[])`,
    key: (item) => item.id
  })
})

const resolver = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const found = yield* SqlResolver.findById("Item", {
    Id: Schema.Number,
    Result: Item,
    ResultId: (item) => item.id,
    execute: (ids) => sql`select id, body from items where ${sql.in("id", ids)}`
  })
  return (id: number) => Effect.withRequestCaching(found.execute(id), false)
})

const counting = (run: (key: () => number, isOver: () => boolean) => Effect.Effect<number, unknown>) =>
  Effect.gen(function* () {
    let key = 0
    const began = performance.now()
    const done = yield* run(
      () => (key++ % items) + 1,
      () => performance.now() > began + millisEach
    )
    return (done * 1_000) / (performance.now() - began)
  }).pipe(Effect.withTracerEnabled(false))

/** Fibers that live on and read one thing after the other, each for itself. */
const byFibers = (load: Load): Effect.Effect<number, unknown> =>
  counting((key, isOver) => {
    let done = 0
    const fiber = Effect.gen(function* () {
      while (!isOver()) {
        if (Option.isNone(yield* load(key()))) throw new Error("A row is missing")
        done++
      }
    })
    return Effect.map(
      Effect.replicateEffect(fiber, fibers, { concurrency: "unbounded", batching: true, discard: true }),
      () => done
    )
  })

/** As many reads in one Effect, again and again. */
const byLists = (loadMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, Item>, unknown>) =>
  counting((key, isOver) =>
    Effect.gen(function* () {
      let done = 0
      while (!isOver()) {
        const keys = Array.from({ length: fibers }, key)
        const found = yield* loadMany(keys)
        if (found.size !== keys.length) throw new Error("A row is missing")
        done += found.size
      }
      return done
    })
  )

const listed = (load: Load) => (ids: ReadonlyArray<number>) =>
  Effect.map(
    Effect.forEach(ids, load, { batching: true }),
    (all) => new Map(all.flatMap((item) => (Option.isSome(item) ? [[item.value.id, item.value] as const] : [])))
  )

interface Reads {
  /** By 256 fibers, each for itself. */
  readonly byFibers: { readonly ours: number; readonly resolver: number; readonly resolverOnSqlPg: number }
  /** In lists of 256, where SqlResolver batches best. */
  readonly byLists: { readonly ours: number; readonly resolver: number }
}

/** Reads by key per second: our batcher and @effect/sql's SqlResolver on the same client, and SqlResolver on its own. */
export const batchedReads = async (
  clients: { readonly ours: Runtime; readonly theirs: Runtime },
  rounds: number
): Promise<Reads> => {
  const batcher = await clients.ours.runPromise(ours)
  const found = await clients.ours.runPromise(resolver)
  const foundOnSqlPg = await clients.theirs.runPromise(resolver)
  const ways = {
    ours: () => clients.ours.runPromise(byFibers(batcher.load)),
    resolver: () => clients.ours.runPromise(byFibers(found)),
    resolverOnSqlPg: () => clients.theirs.runPromise(byFibers(foundOnSqlPg)),
    oursInLists: () => clients.ours.runPromise(byLists(batcher.loadMany)),
    resolverInLists: () => clients.ours.runPromise(byLists(listed(found)))
  }
  const seen = Object.fromEntries(Object.keys(ways).map((name) => [name, [] as Array<number>]))
  for (let round = -roundsBefore; round < rounds; round++) {
    for (const [name, way] of Object.entries(ways)) {
      const perSecond = await way()
      if (round >= 0) seen[name]!.push(perSecond)
    }
  }
  const perSecond = (name: keyof typeof ways) => median(seen[name]!)
  return {
    byFibers: {
      ours: perSecond("ours"),
      resolver: perSecond("resolver"),
      resolverOnSqlPg: perSecond("resolverOnSqlPg")
    },
    byLists: { ours: perSecond("oursInLists"), resolver: perSecond("resolverInLists") }
  }
}
