import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { Failure } from "../actor/Actor.ts"
import type { ActorSystem } from "../actor/ActorSystem.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { InteractionId, MessageId, UserId } from "../domain/Ids.ts"
import {
  codeOf,
  type Conflict,
  ContentRejected,
  type DatabaseUnavailable,
  type InteractionEnded,
  type NotFound,
  type Overloaded,
  type RateLimited,
  type Restricted
} from "../errors.ts"
import { InteractionActor } from "../interaction/InteractionActor.ts"
import { Restrictions } from "../moderation/Restrictions.ts"
import * as Rules from "../moderation/Rules.ts"
import { RateLimiter, rules } from "../rate/RateLimiter.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { columns, fromRow, type Message, type MessageRow } from "./Message.ts"

/** Why a message was not sent. Nothing is stored, except perhaps with AskTimeout: the same key finds out. */
export type SendError =
  | RateLimited
  | Restricted
  | ContentRejected
  | NotFound
  | Conflict
  | InteractionEnded
  | Overloaded
  | DatabaseUnavailable
  | Failure

/** A message that someone wants to send; the body is text that `MessageBody` accepts. */
export interface Outgoing {
  readonly userId: UserId
  readonly interactionId: InteractionId
  readonly clientKey: string
  readonly body: string
}

/** Which messages: `limit` of them above (backward: below) the number `from`; null starts at the end. */
export interface Window {
  readonly backward: boolean
  readonly limit: number
  readonly from: number | null
}

/** What people say: sending it, and reading it back. */
export class Messages extends Context.Tag("@connect/Messages")<
  Messages,
  {
    /** The stored message, once Postgres has it. The same key with the same body gives the first one again. */
    readonly send: (message: Outgoing) => Effect.Effect<Message, SendError>
    /** The window of each interaction, lowest number first, whoever asks; `more` when there are others beyond it. */
    readonly windows: (
      ids: ReadonlyArray<InteractionId>,
      window: Window
    ) => Effect.Effect<
      ReadonlyMap<InteractionId, { readonly messages: ReadonlyArray<Message>; readonly more: boolean }>,
      DatabaseUnavailable
    >
    /** Those of the ids that exist, whoever asks. */
    readonly byIds: (
      ids: ReadonlyArray<MessageId>
    ) => Effect.Effect<ReadonlyMap<MessageId, Message>, DatabaseUnavailable>
    /** The message, for a participant of its interaction. */
    readonly find: (id: MessageId, viewerId: UserId) => Effect.Effect<Option.Option<Message>, DatabaseUnavailable>
  }
>() {}

/** What the rules make of the text: its state, or ContentRejected. */
const judged = (body: string): Effect.Effect<"VISIBLE" | "HELD", ContentRejected> =>
  Effect.suspend(() => {
    const { rule, verdict } = Rules.judge(body)
    const counted = Metric.increment(Metrics.series(Metrics.moderationVerdicts, verdict.toLowerCase()))
    return Effect.zipRight(
      counted,
      verdict === "REJECT"
        ? Effect.fail(new ContentRejected({ rule: rule ?? "text" }))
        : Effect.succeed(verdict === "HOLD" ? ("HELD" as const) : ("VISIBLE" as const))
    )
  })

const sender = Effect.gen(function* () {
  const rateLimiter = yield* RateLimiter
  const restrictions = yield* Restrictions
  const interaction = yield* InteractionActor.client

  return ({ body, clientKey, interactionId, userId }: Outgoing): Effect.Effect<Message, SendError> =>
    Effect.gen(function* () {
      const startedAt = yield* Clock.currentTimeMillis
      yield* rateLimiter.consume({ rule: rules.sendMessage, key: userId })
      yield* restrictions.refuse(userId, ["BAN", "MUTE"])
      const state = yield* judged(body)
      const message = yield* interaction.ask(interactionId).Send({ userId, clientKey, body, state })
      yield* Metric.update(Metrics.ackSeconds, ((yield* Clock.currentTimeMillis) - startedAt) / 1_000)
      return message
    }).pipe(Effect.tapError((error) => Metric.increment(Metrics.series(Metrics.messagesRefused, codeOf(error._tag)))))
})

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const send = yield* sender
  const idList = (ids: ReadonlyArray<string>) =>
    sql`(select value::uuid as id from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb))`

  return Messages.of({
    send,

    windows: (ids, { backward, from, limit }) =>
      Effect.map(
        orUnavailable(sql<MessageRow>`
select found.* from ${idList(ids)} as wanted cross join lateral (
  select ${columns(sql)} from messages m
  where m.interaction_id = wanted.id
    and (${from}::int is null or ${sql.literal(backward ? "m.seq <" : "m.seq >")} ${from}::int)
  order by m.seq ${sql.literal(backward ? "desc" : "asc")} limit ${limit + 1}::int
) as found`),
        (rows) => {
          const found = new Map<InteractionId, Array<Message>>(ids.map((id) => [id, []]))
          for (const row of rows) found.get(row.interactionId as InteractionId)?.push(fromRow(row))
          return new Map(
            Array.from(found, ([id, all]) => {
              const messages = all.sort((a, b) => a.seq - b.seq)
              const more = messages.length > limit
              return [id, { messages: backward && more ? messages.slice(1) : messages.slice(0, limit), more }]
            })
          )
        }
      ),

    byIds: (ids) =>
      Effect.map(
        orUnavailable(sql<MessageRow>`select ${columns(sql)} from messages m where m.id in ${idList(ids)}`),
        (rows) => new Map(rows.map((row) => [row.id as MessageId, fromRow(row)]))
      ),

    find: (id, viewerId) =>
      Effect.map(
        orUnavailable(sql<MessageRow>`
select ${columns(sql)} from messages m
join participants p on p.interaction_id = m.interaction_id and p.user_id = ${viewerId}::uuid
where m.id = ${id}::uuid`),
        (rows) => Option.map(Option.fromNullable(rows[0]), fromRow)
      )
  })
})

export const layer: Layer.Layer<Messages, never, SqlClient.SqlClient | RateLimiter | Restrictions | ActorSystem> =
  Layer.effect(Messages, make)
