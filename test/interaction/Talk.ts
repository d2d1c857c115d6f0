import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Reminders from "../../src/actor/Reminders.ts"
import * as Tags from "../../src/cache/Tags.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Ids from "../../src/domain/Ids.ts"
import * as EventLog from "../../src/interaction/EventLog.ts"
import * as InteractionActor from "../../src/interaction/InteractionActor.ts"
import * as Interactions from "../../src/interaction/Interactions.ts"
import * as ReadMarks from "../../src/interaction/ReadMarks.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"

/** The interaction service of one process, on whatever database and broadcast it is given. */
export const layerProcess = InteractionActor.layer.pipe(
  Layer.provideMerge(Reminders.layer),
  Layer.provideMerge(
    Layer.mergeAll(ActorSystem.layerLocal, Settings.layerTest(), Layer.provide(Tags.layer, StoreMemory.layer))
  ),
  Layer.provideMerge(Layer.mergeAll(EventLog.layer, ReadMarks.layer, Interactions.layer))
)

export type Person = Ids.UserId

let people = 0

/** A user in the database. */
export const person = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const id = yield* Ids.make(Ids.UserId)
  const handle = `talker_${++people}`
  yield* sql`insert into users (id, handle, display_name, created_at, updated_at)
    values (${id}::uuid, ${handle}, ${handle}, now(), now())`
  return id
})

/** An active interaction between these, or between two new users. */
export const between = (given?: ReadonlyArray<Ids.UserId>, startedAt: Date = new Date()) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const users = given ?? [yield* person, yield* person]
    const id = yield* Ids.make(Ids.InteractionId)
    yield* sql`insert into interactions (id, started_at) values (${id}::uuid, ${startedAt})`
    for (const user of users) {
      yield* sql`insert into participants (interaction_id, user_id, joined_at)
        values (${id}::uuid, ${user}::uuid, ${startedAt})`
    }
    return { id, users, ada: users[0]!, bob: users[1]! }
  })
