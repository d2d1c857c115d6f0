import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as DatabaseLayer from "../../layers/Database.ts"
import * as ClusterNode from "../../layers/actors/ClusterNode.ts"
import type * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import * as Reminders from "../../src/actor/Reminders.ts"
import * as States from "../../src/actor/States.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import * as Settings from "../../src/config/Settings.ts"
import { freePort } from "../kit/ports.ts"

export type Services = ActorSystem.ActorSystem | Inbox.Inbox | Reminders.Reminders | States.States | SqlClient.SqlClient

export interface Options {
  readonly database: Layer.Layer<SqlClient.SqlClient>
  readonly groups?: ReadonlyArray<string>
  readonly system?: Partial<ActorSystem.Options>
}

/** One node of a cluster in this process, with a scope of its own, so that it can leave. */
export const join = <E>(actors: Layer.Layer<never, E, Services>, { database, groups, system }: Options) =>
  Effect.gen(function* () {
    const port = yield* Effect.promise(() => freePort())
    const at = { host: "127.0.0.1", port }
    const scope = yield* Scope.make()
    const leave = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => leave)
    const layer = actors.pipe(
      Layer.provideMerge(Layer.mergeAll(Inbox.layer, Reminders.layer)),
      Layer.provideMerge(ClusterNode.layer(groups === undefined ? at : { ...at, groups }, system)),
      Layer.provideMerge(States.layerSql),
      Layer.provide(Supervised.Registry.layer),
      Layer.provideMerge(database),
      Layer.provide(Logger.remove(Logger.defaultLogger))
    )
    const context = yield* Scope.extend(Layer.build(Layer.fresh(layer)), scope)
    return { context, leave, address: `127.0.0.1:${port}` }
  })

/** A pool of connections to that server. */
export const databaseAt = (url: string) =>
  Layer.scopedContext(
    Effect.flatMap(Settings.Settings, ({ database }) => DatabaseLayer.connect({ url: Redacted.make(url) }, database))
  ).pipe(Layer.provide(Settings.layerTest()), Layer.orDie)

/** Tries again while nodes come and go. */
export const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.retry(effect, Schedule.spaced("50 millis").pipe(Schedule.upTo("10 seconds")))

/** Looks again until it is so. */
export const until = <A, E, R>(effect: Effect.Effect<A, E, R>, is: (value: A) => boolean) =>
  effect.pipe(
    Effect.repeat({ until: is, schedule: Schedule.spaced("50 millis") }),
    Effect.zipRight(effect),
    Effect.timeout("15 seconds")
  )
