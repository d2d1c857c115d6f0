import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Broadcast, type Outlet, outlet, type Signal } from "../broadcast/Broadcast.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { DatabaseUnavailable, NotFound } from "../errors.ts"
import type { Feed, Taken, Wake } from "../graphql/Feed.ts"
import { Interactions } from "../interaction/Interactions.ts"
import type { Action } from "../moderation/Action.ts"
import { type ActionRow, columns as actionColumns, fromRow as actionFromRow } from "../moderation/ActionRow.ts"
import { type Session, Sessions } from "../session/Sessions.ts"
import { Queue } from "./Queue.ts"
import { type InboxSignal, inboxTopic } from "./Signal.ts"
import type { Match, Ticket } from "./Ticket.ts"

/** What an inbox shows, under the names that GraphQL gives it. */
export type InboxEvent =
  | { readonly _tag: "TicketUpdated"; readonly ticket: Ticket }
  | { readonly _tag: "MatchFound"; readonly match: Match }
  | { readonly _tag: "RestrictionPosted"; readonly action: Action }
  | { readonly _tag: "SessionRevoked"; readonly reason: string }

/** Matches that one stream remembers having shown, so that an announcement repeated is not an event repeated. */
export const shownMax = 64

type Show = (
  session: Session,
  signal: Signal<InboxSignal>
) => Effect.Effect<Option.Option<InboxEvent>, DatabaseUnavailable>

/** Of one stream. Whatever happened before it began was missed. */
class InboxFeed implements Feed<InboxEvent, DatabaseUnavailable> {
  private readonly session: Session
  private readonly signals: Outlet<InboxSignal>
  private readonly show: Show
  private readonly wake: Wake
  private matches: Set<string> | undefined
  private revoked: InboxEvent | undefined

  constructor(session: Session, signals: Outlet<InboxSignal>, show: Show, wake: Wake) {
    this.session = session
    this.signals = signals
    this.show = show
    this.wake = wake
    signals.offer({ _tag: "Gap" })
  }

  revoke(reason: string): void {
    this.revoked = { _tag: "SessionRevoked", reason }
    this.wake()
  }

  take(): Effect.Effect<Taken<InboxEvent>, DatabaseUnavailable> {
    return Effect.map(
      Effect.suspend(() => Effect.forEach(this.signals.drain(), (signal) => this.show(this.session, signal))),
      (shown) => this.taken(shown.flatMap(Option.toArray).filter((event) => this.isNew(event)))
    )
  }

  private taken(events: ReadonlyArray<InboxEvent>): Taken<InboxEvent> {
    const last = events.findIndex(({ _tag }) => _tag === "SessionRevoked")
    if (last >= 0) return { values: events.slice(0, last + 1), next: "end" }
    if (this.revoked !== undefined) return { values: [...events, this.revoked], next: "end" }
    return { values: events, next: "wait" }
  }

  private isNew(event: InboxEvent): boolean {
    if (event._tag !== "MatchFound") return true
    const matches = (this.matches ??= new Set())
    if (matches.has(event.match.id)) return false
    matches.add(event.match.id)
    if (matches.size > shownMax) for (const oldest of matches) return matches.delete(oldest)
    return true
  }
}

/** What concerns one person, on every device. */
export class Inbox extends Context.Tag("@connect/Inbox")<
  Inbox,
  {
    /**
     * Starts with what the person would have seen had they been here: their waiting ticket, or their match while its
     * interaction goes on; so again whenever something may have been missed. Then what happens, each match once. Ends
     * after SessionRevoked.
     */
    readonly events: (
      session: Session,
      wake: Wake
    ) => Effect.Effect<Feed<InboxEvent, DatabaseUnavailable>, never, Scope.Scope>
  }
>() {}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const broadcast = yield* Broadcast
  const queue = yield* Queue
  const interactions = yield* Interactions
  const sessions = yield* Sessions

  /** What has gone since it was signalled is not shown. */
  const shown = (
    load: Effect.Effect<InboxEvent, NotFound | DatabaseUnavailable>
  ): Effect.Effect<Option.Option<InboxEvent>, DatabaseUnavailable> =>
    Effect.asSome(load).pipe(Effect.catchTag("NotFound", () => Effect.succeedNone))

  const current = ({ userId }: Session) =>
    Effect.gen(function* () {
      const ticket = Option.getOrUndefined(yield* queue.ticketOf(userId))
      if (ticket === undefined) return Option.none<InboxEvent>()
      if (ticket.state === "WAITING") return Option.some<InboxEvent>({ _tag: "TicketUpdated", ticket })
      const match = (yield* queue.matchesOf([ticket.id])).get(ticket.id)
      if (match === undefined) return Option.none<InboxEvent>()
      const found = yield* interactions.byIds([match.interactionId])
      return found.get(match.interactionId)?.state === "ACTIVE"
        ? Option.some<InboxEvent>({ _tag: "MatchFound", match })
        : Option.none<InboxEvent>()
    })

  const load = (
    session: Session,
    signal: InboxSignal
  ): Effect.Effect<Option.Option<InboxEvent>, DatabaseUnavailable> => {
    const { id, userId } = session
    switch (signal._tag) {
      case "TicketUpdated":
        return shown(
          Effect.map(queue.ticket(signal.ticketId, userId), (ticket): InboxEvent => ({ _tag: "TicketUpdated", ticket }))
        )
      case "MatchFound":
        return shown(
          Effect.map(queue.match(signal.matchId, userId), (match): InboxEvent => ({ _tag: "MatchFound", match }))
        )
      case "RestrictionPosted":
        return sql<ActionRow>`
select ${actionColumns(sql)} from moderation_actions a
where a.id = ${signal.actionId}::uuid and a.subject_id = ${userId}::uuid`.pipe(
          Effect.map((rows) =>
            Option.map(Option.fromNullable(rows[0]), (row): InboxEvent => ({
              _tag: "RestrictionPosted",
              action: actionFromRow(row)
            }))
          ),
          orUnavailable
        )
      case "SessionRevoked": {
        const concerned = signal.sessionIds === undefined || signal.sessionIds.includes(id)
        return Effect.succeed(
          concerned ? Option.some({ _tag: "SessionRevoked", reason: signal.reason }) : Option.none()
        )
      }
    }
  }

  const show: Show = (session, signal) => (signal._tag === "Gap" ? current(session) : load(session, signal.message))

  const events = (session: Session, wake: Wake) =>
    Effect.flatMap(outlet<InboxSignal>(broadcast, inboxTopic(session.userId), wake), (signals) => {
      const feed = new InboxFeed(session, signals, show, wake)
      return Effect.as(
        sessions.whenEnded(session, (reason) => feed.revoke(reason)),
        feed
      )
    })

  return Inbox.of({ events })
})

export const layer = Layer.effect(Inbox, make)
