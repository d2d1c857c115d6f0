import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ActorSystem } from "../actor/ActorSystem.ts"
import type { Broadcast } from "../broadcast/Broadcast.ts"
import * as Ids from "../domain/Ids.ts"
import { NotFound } from "../errors.ts"
import * as Batcher from "../request/Batcher.ts"
import { feed, field, memo, type Part, plain, type RequestContext, viewer } from "../graphql/Part.ts"
import type { Session } from "../session/Sessions.ts"
import * as UserLoader from "../user/UserLoader.ts"
import type { Users } from "../user/Users.ts"
import { type MessageJson, messageFromJson } from "./Event.ts"
import type { Interaction, Participant } from "./Interaction.ts"
import { InteractionActor } from "./InteractionActor.ts"
import * as InteractionEvents from "./InteractionEvents.ts"
import * as InteractionLoader from "./InteractionLoader.ts"
import { Interactions } from "./Interactions.ts"

const GlobalId = Ids.Global("Interaction", Ids.InteractionId)
const One = Schema.Struct({ id: GlobalId })
const SetTyping = Schema.Struct({ interactionId: GlobalId, typing: Schema.Boolean })
const MarkRead = Schema.Struct({ interactionId: GlobalId, seq: Schema.Int })
const EndInteraction = Schema.Struct({ interactionId: GlobalId })
const Subscribe = Schema.Struct({
  interactionId: GlobalId,
  afterSeq: Schema.optionalWith(Schema.Int, { default: () => 0, nullable: true })
})

/** Participants and unread counts of all interactions that one request shows, read together. */
const detailLoader = Effect.map(Interactions, (interactions) => ({
  participants: (request: RequestContext, id: Ids.InteractionId) =>
    memo(request, interactions.participants, () => Batcher.make(interactions.participants)).read(id, (found) =>
      Exit.succeed(Option.getOrElse(found, (): ReadonlyArray<Participant> => []))
    ),
  unread: (request: RequestContext, id: Ids.InteractionId) =>
    Effect.flatMap(viewer(request), ({ userId }) =>
      memo(request, interactions.unread, () =>
        Batcher.make((ids: ReadonlyArray<Ids.InteractionId>) => interactions.unread(userId, ids))
      ).read(id, (found) => Exit.succeed(Option.getOrElse(found, () => 0)))
    )
}))

const types = Effect.gen(function* () {
  const interactions = yield* Interactions
  const details = yield* detailLoader
  const users = yield* UserLoader.make
  const loadInteraction = yield* InteractionLoader.make
  const user = plain(({ userId }: { readonly userId: Ids.UserId }, request) => users.load(request, userId))
  const message = plain((event: { readonly message: MessageJson }) => messageFromJson(event.message))

  return {
    Interaction: {
      participants: plain(({ id }: Interaction, request) => details.participants(request, id)),
      unreadCount: plain(({ id }: Interaction, request) => details.unread(request, id))
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
