import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Failure } from "../actor/Actor.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { MatchId, TicketId, UserId } from "../domain/Ids.ts"
import { Interests, Languages, Region } from "../domain/Profile.ts"
import { ClientKey } from "../domain/Text.ts"
import type { Conflict, DatabaseUnavailable, QueueFull, Restricted } from "../errors.ts"
import { NotFound } from "../errors.ts"
import { Restrictions } from "../moderation/Restrictions.ts"
import { Users } from "../user/Users.ts"
import type { Explanation } from "./Explanation.ts"
import * as Matches from "./Matches.ts"
import { defaultPool, QueueActor } from "./QueueActor.ts"
import * as Stats from "./Stats.ts"
import { columns, fromRow, type Match, type Ticket, type TicketRow } from "./Ticket.ts"

/** What a person is looking for; the profile's where absent or null. */
export const JoinInput = Schema.Struct({
  interests: Schema.optional(Schema.NullOr(Interests)),
  languages: Schema.optional(Schema.NullOr(Languages)),
  region: Schema.optional(Schema.NullOr(Region)),
  clientKey: ClientKey
})
export type JoinInput = typeof JoinInput.Type

export type JoinError = Conflict | QueueFull | Restricted | NotFound | DatabaseUnavailable | Failure

/** Brings people together. Whatever process is asked, the database decides who waits and who is matched. */
export class Queue extends Context.Tag("@connect/Queue")<
  Queue,
  {
    /**
     * A waiting ticket; the same key gives the same ticket again, as it is now. Conflict when another one waits (its
     * message names it) or the person is in too many interactions; QueueFull at the queue's bound; Restricted while
     * banned.
     */
    readonly join: (userId: UserId, input: JoinInput) => Effect.Effect<Ticket, JoinError>
    /** Cancels the waiting ticket. False when there is none: it was matched, or had ended. */
    readonly leave: (userId: UserId) => Effect.Effect<boolean, DatabaseUnavailable | Failure>
    /** The waiting ticket, else the newest matched one. */
    readonly ticketOf: (userId: UserId) => Effect.Effect<Option.Option<Ticket>, DatabaseUnavailable>
    /** A ticket of that person; NotFound for those of others. */
    readonly ticket: (id: TicketId, viewerId: UserId) => Effect.Effect<Ticket, NotFound | DatabaseUnavailable>
    /** A match of that person; NotFound for those of others. */
    readonly match: (id: MatchId, viewerId: UserId) => Effect.Effect<Match, NotFound | DatabaseUnavailable>
    /** The matches of those of the tickets that have one, by ticket. */
    readonly matchesOf: (
      ids: ReadonlyArray<TicketId>
    ) => Effect.Effect<ReadonlyMap<TicketId, Match>, DatabaseUnavailable>
    readonly stats: Effect.Effect<Stats.Stats, DatabaseUnavailable>
    /** Why a ticket still waits: its candidates, and the first rule that each of the others fails, level by level. */
    readonly explain: (id: TicketId) => Effect.Effect<Option.Option<Explanation>, Failure>
  }
>() {}

export const layer = Layer.scoped(
  Queue,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const users = yield* Users
    const restrictions = yield* Restrictions
    const queue = (yield* QueueActor.client).ask(defaultPool)
    const matches = yield* Matches.make

    return {
      join: Effect.fn("Queue.join")(function* (userId, input) {
        yield* restrictions.refuse(userId, ["BAN"])
        const found = yield* users.byId(userId)
        if (Option.isNone(found)) return yield* new NotFound({ what: "User" })
        const profile = found.value
        return yield* queue.Join({
          userId,
          clientKey: input.clientKey,
          interests: input.interests ?? profile.interests,
          languages: input.languages ?? profile.languages,
          region: input.region ?? profile.region
        })
      }),

      leave: (userId) => queue.Leave({ userId }),

      ticketOf: (userId) =>
        sql<TicketRow>`
select ${columns(sql)} from tickets t where t.user_id = ${userId}::uuid and t.state in (0, 1)
order by t.state, t.created_at desc limit 1`.pipe(
          Effect.map((rows) => Option.map(Option.fromNullable(rows[0]), fromRow)),
          orUnavailable
        ),

      ticket: (id, viewerId) =>
        sql<TicketRow>`
select ${columns(sql)} from tickets t where t.id = ${id}::uuid and t.user_id = ${viewerId}::uuid`.pipe(
          orUnavailable,
          Effect.flatMap(([row]) =>
            row === undefined ? Effect.fail(new NotFound({ what: "Ticket" })) : Effect.succeed(fromRow(row))
          )
        ),

      match: Effect.fn("Queue.match")(function* (id, viewerId) {
        const match = (yield* matches.byIds([id])).get(id)
        if (match === undefined || !match.userIds.includes(viewerId)) return yield* new NotFound({ what: "Match" })
        return match
      }),

      matchesOf: matches.byTickets,
      stats: yield* Stats.make(sql),
      explain: (ticketId) => queue.Explain({ ticketId })
    }
  })
)
