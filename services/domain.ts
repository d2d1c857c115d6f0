import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Passwords from "../layers/Passwords.ts"
import type { Broadcast } from "../src/broadcast/Broadcast.ts"
import * as CommunicationPart from "../src/communication/CommunicationPart.ts"
import * as Messages from "../src/communication/Messages.ts"
import type { Part } from "../src/graphql/Part.ts"
import * as History from "../src/history/History.ts"
import * as HistoryPart from "../src/history/HistoryPart.ts"
import * as EventLog from "../src/interaction/EventLog.ts"
import * as InteractionActor from "../src/interaction/InteractionActor.ts"
import * as InteractionPart from "../src/interaction/InteractionPart.ts"
import * as Interactions from "../src/interaction/Interactions.ts"
import * as ReadMarks from "../src/interaction/ReadMarks.ts"
import * as Actions from "../src/moderation/Actions.ts"
import * as Audit from "../src/moderation/Audit.ts"
import * as EnforcementActor from "../src/moderation/EnforcementActor.ts"
import * as ModerationPart from "../src/moderation/ModerationPart.ts"
import * as Reports from "../src/moderation/Reports.ts"
import * as Restrictions from "../src/moderation/Restrictions.ts"
import * as Inbox from "../src/queuing/Inbox.ts"
import * as Queue from "../src/queuing/Queue.ts"
import * as QueueActor from "../src/queuing/QueueActor.ts"
import * as QueuingPart from "../src/queuing/QueuingPart.ts"
import * as Attendance from "../src/user/Attendance.ts"
import * as Blocks from "../src/user/Blocks.ts"
import * as Presence from "../src/user/Presence.ts"
import * as UserActor from "../src/user/UserActor.ts"
import * as UserPart from "../src/user/UserPart.ts"
import * as Users from "../src/user/Users.ts"

/** The six services that make up the schema; the gateway and `all` serve it whole. */
const services = {
  user: Effect.all([UserPart.part]),
  queuing: Effect.all([QueuingPart.part]),
  interaction: Effect.all([InteractionPart.part]),
  communication: Effect.all([CommunicationPart.part]),
  history: Effect.all([HistoryPart.part]),
  moderation: Effect.all([ModerationPart.part])
}

/** The types' fields without the operations: what another service's operations may reach. */
const typesOf = ({ nodes, types }: Part): Part => ({
  ...(types === undefined ? {} : { types }),
  ...(nodes === undefined ? {} : { nodes })
})

/** The whole schema. */
export const whole = Effect.map(
  Effect.all([Attendance.counted, Effect.all(Object.values(services))]),
  ([counted, parts]): ReadonlyArray<Part> => parts.flat().map(counted)
)

/** One service's operations, on the types of all. */
export const partsOf = (name: keyof typeof services): typeof whole =>
  Effect.map(Effect.all([Attendance.counted, Effect.all(services)]), ([counted, parts]) =>
    Object.entries(parts).flatMap(([service, own]) => own.map(service === name ? counted : typesOf))
  )

/** What serves the actors of each shard group. */
const actors = {
  user: UserActor.layer,
  queuing: QueueActor.layer,
  interaction: InteractionActor.layer,
  moderation: EnforcementActor.layer
}

/** A shard group: the actors that one program serves when each program has a role. */
export type Group = keyof typeof actors

export const groups = Object.keys(actors) as ReadonlyArray<Group>

type Actors = Layer.Layer<never, never, Layer.Layer.Context<(typeof actors)[Group]>>

/** The actors that live in this process; the others are reached where they live. */
const serving = (served: ReadonlyArray<Group>): Actors =>
  served.reduce<Actors>((all, group) => Layer.merge(all, actors[group] as Actors), Layer.empty)

type AnyQueue = Layer.Layer<Queue.Queue, never, Layer.Layer.Context<typeof Queue.layer> | Broadcast>

/** What the resolvers work with, on top of the environment; the tests exchange the layers that they seed a fault in. */
export const layerWith = (eventLog: typeof EventLog.layer, queue: AnyQueue) => (served: ReadonlyArray<Group>) =>
  Layer.mergeAll(Actions.layer, Inbox.layer, Messages.layer, serving(served)).pipe(
    Layer.provideMerge(Layer.mergeAll(queue, Presence.layer)),
    Layer.provideMerge(Layer.mergeAll(Users.layer, Blocks.layer, Interactions.layer, History.layer, Reports.layer)),
    Layer.provideMerge(Layer.mergeAll(Passwords.layer, Restrictions.layer, Audit.layer, eventLog, ReadMarks.layer))
  )

export const layer = layerWith(EventLog.layer, Queue.layer)
