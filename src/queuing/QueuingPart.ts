import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { MatchId, TicketId } from "../domain/Ids.ts"
import * as Batcher from "../request/Batcher.ts"
import { field, memo, type Part, plain, type RequestContext, subscription, viewer } from "../graphql/Part.ts"
import * as InteractionLoader from "../interaction/InteractionLoader.ts"
import type { Interactions } from "../interaction/Interactions.ts"
import type { Session } from "../session/Sessions.ts"
import { Inbox } from "./Inbox.ts"
import { JoinInput, Queue } from "./Queue.ts"
import type { Match, Ticket } from "./Ticket.ts"

/** How often `queueStats` may report, and how often it does when nothing is said, in milliseconds. */
export const everyMillisMin = 250
export const everyMillisMax = 60_000
export const everyMillisDefault = 1_000

const Every = Schema.Struct({
  everyMillis: Schema.optional(
    Schema.NullOr(
      Schema.Int.pipe(
        Schema.filter(
          (millis) =>
            (millis >= everyMillisMin && millis <= everyMillisMax) ||
            `is not between ${everyMillisMin} and ${everyMillisMax}`
        )
      )
    )
  )
})
const Join = Schema.Struct({ input: JoinInput })

const types = Effect.gen(function* () {
  const queue = yield* Queue
  const loadInteraction = yield* InteractionLoader.make
  const matchOf = (request: RequestContext, id: TicketId) =>
    memo(request, queue.matchesOf, () => Batcher.make(queue.matchesOf)).find(id)
  return {
    Ticket: {
      waitedMillis: plain((ticket: Ticket) =>
        Effect.map(Clock.currentTimeMillis, (now) =>
          Math.max(0, (ticket.endedAt?.getTime() ?? now) - ticket.createdAt.getTime())
        )
      ),
      match: plain((ticket: Ticket, request) => (ticket.state === "MATCHED" ? matchOf(request, ticket.id) : null))
    },
    Match: {
      interaction: plain((match: Match, request) => loadInteraction(request, match.interactionId))
    },
    Viewer: {
      ticket: plain((session: Session) => Effect.map(queue.ticketOf(session.userId), Option.getOrNull))
    }
  } satisfies Part["types"]
})

/** What the queuing service resolves: joining, leaving, the inbox and the figures of the queue. */
export const part: Effect.Effect<Part, never, Queue | Inbox | Interactions> = Effect.gen(function* () {
  const queue = yield* Queue
  const inbox = yield* Inbox
  return {
    Query: { queueStats: plain(() => queue.stats) },
    Mutation: {
      joinQueue: field(Join, ({ input }, request) =>
        Effect.flatMap(viewer(request), ({ userId }) => queue.join(userId, input))
      ),
      leaveQueue: plain((_, request) => Effect.flatMap(viewer(request), ({ userId }) => queue.leave(userId)))
    },
    Subscription: {
      inbox: {
        subscribe: (_, request, wake) => Effect.flatMap(viewer(request), (session) => inbox.events(session, wake))
      },
      queueStats: subscription(Every, ({ everyMillis }) =>
        Effect.succeed(
          Stream.repeatEffectWithSchedule(
            queue.stats,
            Schedule.spaced(Duration.millis(everyMillis ?? everyMillisDefault))
          )
        )
      )
    },
    types: yield* types,
    nodes: {
      Ticket: (uuid, request) =>
        Effect.flatMap(viewer(request), ({ userId }) => queue.ticket(uuid as TicketId, userId)),
      Match: (uuid, request) => Effect.flatMap(viewer(request), ({ userId }) => queue.match(uuid as MatchId, userId))
    }
  }
})
