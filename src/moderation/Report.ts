import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { InteractionId, MessageId, ReportId, UserId } from "../domain/Ids.ts"

export const Reason = Schema.Literal(
  "SPAM",
  "HARASSMENT",
  "HATE",
  "SEXUAL",
  "MINOR_SAFETY",
  "SELF_HARM",
  "VIOLENCE",
  "SCAM",
  "OTHER"
)
export type Reason = typeof Reason.Type

/** In the order of their numbers in `reports.state`. */
export const State = Schema.Literal("OPEN", "CLAIMED", "ACTIONED", "DISMISSED")
export type State = typeof State.Type
export const states: ReadonlyArray<State> = State.literals

/** A claim that nobody acted on ends by itself: the report is open again. */
export const claimLease = Duration.minutes(10)

/** Someone's word that someone else did wrong. What GraphQL shows as `Report`. */
export class Report extends Schema.Class<Report>("Report")({
  id: ReportId,
  reporterId: Schema.NullOr(UserId),
  subjectId: UserId,
  messageId: Schema.NullOr(MessageId),
  interactionId: Schema.NullOr(InteractionId),
  reason: Reason,
  details: Schema.NullOr(Schema.String),
  state: State,
  priority: Schema.Int,
  claimedBy: Schema.NullOr(UserId),
  createdAt: Schema.Date
}) {}

/** How urgent a reason is by itself. */
const weights: Readonly<Record<Reason, number>> = {
  MINOR_SAFETY: 100,
  SELF_HARM: 90,
  VIOLENCE: 80,
  HATE: 60,
  HARASSMENT: 50,
  SEXUAL: 50,
  SCAM: 40,
  SPAM: 20,
  OTHER: 10
}

/** Reporters of one person beyond this many add nothing: a crowd cannot push without end. */
export const reportersCounted = 5

/**
 * Reason weight × different reporters of the person (at most `reportersCounted`) × the reporter's trust, which falls with
 * reports that were dismissed: (1 + actioned) / (1 + actioned + dismissed).
 */
export const priority = (
  reason: Reason,
  reporters: number,
  record: { readonly actioned: number; readonly dismissed: number }
): number => {
  const trust = (1 + record.actioned) / (1 + record.actioned + record.dismissed)
  return Math.round(weights[reason] * Math.max(1, Math.min(reporters, reportersCounted)) * trust)
}
