import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ActorSystem } from "../actor/ActorSystem.ts"
import type { Broadcast } from "../broadcast/Broadcast.ts"
import * as Ids from "../domain/Ids.ts"
import type { UserId } from "../domain/Ids.ts"
import { NotFound } from "../errors.ts"
import * as Batcher from "../request/Batcher.ts"
import { feed, field, forViewer, memo, type Part, plain, type RequestContext, viewer } from "../graphql/Part.ts"
import type { Session } from "../session/Sessions.ts"
import * as UserLoader from "../user/UserLoader.ts"
import type { Users } from "../user/Users.ts"
import { type MessageJson, messageFromJson } from "./Event.ts"
import type { Interaction } from "./Interaction.ts"
import { InteractionActor } from "./InteractionActor.ts"
import * as InteractionEvents from "./InteractionEvents.ts"
import * as InteractionLoader from "./InteractionLoader.ts"
import { type Details, Interactions } from "./Interactions.ts"

const GlobalId = Ids.Global("Interaction", Ids.InteractionId)
const One = Schema.Struct({ id: GlobalId })
const SetTyping = Schema.Struct({ interactionId: GlobalId, typing: Schema.Boolean })
const MarkRead = Schema.Struct({ interactionId: GlobalId, seq: Schema.Int })
const EndInteraction = Schema.Struct({ interactionId: GlobalId })
const Subscribe = Schema.Struct({
  interactionId: GlobalId,
  afterSeq: Schema.optionalWith(Schema.Int, { default: () => 0, nullable: true })
})

type Detail = keyof Details

/** Participants and unread counts of all interactions that one request shows, read together. */
const detailLoader = Effect.map(Interactions, (interactions) => {
  const read = (viewerId: UserId | null) => (keys: ReadonlyArray<`${Detail} ${Ids.InteractionId}`>) => {
    const asked = keys.map((key) => [key, ...(key.split(" ") as [Detail, Ids.InteractionId])] as const)
    const isCounted = asked.some(([, detail]) => detail === "unread")
    const ids = [...new Set(asked.map(([, , id]) => id))]
    return Effect.map(
      interactions.details(ids, isCounted ? viewerId : null),
      (found) => new Map(asked.map(([key, detail, id]) => [key, found.get(id)![detail]]))
    )
  }
  return <D extends Detail>(request: RequestContext, detail: D, id: Ids.InteractionId) => {
    const viewerId = Option.getOrNull(Option.map(request.session, ({ userId }) => userId))
    return memo(request, interactions.details, () => Batcher.make(read(viewerId))).read(`${detail} ${id}`, (found) =>
      Exit.succeed(Option.getOrThrow(found) as Details[D])
    )
  }
})

const types = Effect.gen(function* () {
  const interactions = yield* Interactions
  const loadDetail = yield* detailLoader
  const users = yield* UserLoader.make
  const loadInteraction = yield* InteractionLoader.make
  const user = plain(({ userId }: { readonly userId: Ids.UserId }, request) => users.load(request, userId))
  const message = plain((event: { readonly message: MessageJson }) => messageFromJson(event.message))

  return {
    Interaction: {
      participants: plain(({ id }: Interaction, request) => loadDetail(request, "participants", id)),
      unreadCount: plain(({ id }: Interaction, request) => forViewer(request, () => loadDetail(request, "unread", id)))
    },
    Participant: { user },
    Viewer: { unreadCount: plain(({ userId }: Session) => interactions.unreadTotal(userId)) },
    MessageAdded: { message },
    MessageChanged: { message },
    ParticipantLeft: { user },
    InteractionEnded: {
      interaction: plain((event: { readonly interactionId: Ids.InteractionId }, request) =>
        loadInteraction(request, event.interactionId)
      )
    },
    Typing: { user },
    ReadReceipt: { user }
  } satisfies Part["types"]
})

const mutations = Effect.gen(function* () {
  const interactions = yield* Interactions
  const actor = yield* InteractionActor.client
  return {
    setTyping: field(SetTyping, ({ interactionId, typing }, request) =>
      Effect.flatMap(viewer(request), ({ userId }) =>
        Effect.as(actor.ask(interactionId).Typing({ userId, typing }), true)
      )
    ),
    markRead: field(MarkRead, ({ interactionId, seq }, request) =>
      Effect.flatMap(viewer(request), ({ userId }) =>
        Effect.as(actor.ask(interactionId).MarkRead({ userId, seq }), true)
      )
    ),
    endInteraction: field(EndInteraction, ({ interactionId }, request) =>
      Effect.flatMap(viewer(request), ({ userId }) =>
        Effect.zipRight(actor.ask(interactionId).Leave({ userId }), interactions.find(interactionId, userId))
      )
    )
  } satisfies Part["Mutation"]
})

/** The interaction service's part of the schema. */
export const part: Effect.Effect<Part, never, Interactions | Users | Broadcast | ActorSystem> = Effect.gen(
  function* () {
    const interactions = yield* Interactions
    const subscribe = yield* InteractionEvents.make
    const find = (id: Ids.InteractionId, request: RequestContext) =>
      Effect.flatMap(viewer(request), ({ userId }) => interactions.find(id, userId)).pipe(
        Effect.catchIf(
          (error) => error instanceof NotFound,
          () => Effect.succeed(null)
        )
      )

    return {
      Query: { interaction: field(One, ({ id }, request) => find(id, request)) },
      Mutation: yield* mutations,
      Subscription: {
        interactionEvents: feed(Subscribe, ({ afterSeq, interactionId }, request, wake) =>
          Effect.flatMap(viewer(request), ({ userId }) =>
            subscribe({ interactionId, viewerId: userId, afterSeq }, wake)
          )
        )
      },
      types: yield* types,
      nodes: { Interaction: (uuid, request) => find(uuid as Ids.InteractionId, request) }
    }
  }
)
