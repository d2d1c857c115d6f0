import type { ModerationActionId, MatchId, TicketId } from "../domain/Ids.ts"
import type { Blocked, Unblocked } from "../user/Blocks.ts"
import type { Entrant } from "./Pool.ts"

/** The Broadcast topic on which the processes that match tell each other what changed. */
export const queueTopic = "queue"

/** Whom the owner must not meet: user and until when in milliseconds, null for as long as the ticket waits. */
export type AvoidedJson = readonly [userId: string, until: number | null]

/** Tickets that the process `from` has inserted and looks after. */
export interface TicketsJoined {
  readonly _tag: "TicketsJoined"
  readonly from: string
  readonly tickets: ReadonlyArray<Entrant & { readonly avoid: ReadonlyArray<AvoidedJson> }>
}

/** Tickets that wait no more. */
export interface TicketsGone {
  readonly _tag: "TicketsGone"
  readonly from: string
  readonly ticketIds: ReadonlyArray<string>
}

/** What is published on `queue`. */
export type QueueSignal = TicketsJoined | TicketsGone | Blocked | Unblocked

/** The Broadcast topic of what concerns one person wherever they are. */
export const inboxTopic = (userId: string): string => `inbox:${userId}`

/**
 * What is published on `inbox:<user>`. The inbox loads and shows what it names, so a signal may come twice or late.
 * `sessionIds` of SessionRevoked names the sessions that ended; without it, all of the person's.
 */
export type InboxSignal =
  | { readonly _tag: "MatchFound"; readonly matchId: MatchId }
  | { readonly _tag: "TicketUpdated"; readonly ticketId: TicketId }
  | { readonly _tag: "RestrictionPosted"; readonly actionId: ModerationActionId }
  | { readonly _tag: "SessionRevoked"; readonly reason: string; readonly sessionIds?: ReadonlyArray<string> }
