import * as SqlClient from "@effect/sql/SqlClient"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Failure } from "../actor/Actor.ts"
import type { ActorSystem } from "../actor/ActorSystem.ts"
import * as Cache from "../cache/Cache.ts"
import { Tags } from "../cache/Tags.ts"
import { Settings } from "../config/Settings.ts"
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
import * as CacheTags from "../graphql/CacheTags.ts"
import { InteractionActor } from "../interaction/InteractionActor.ts"
import { Restrictions } from "../moderation/Restrictions.ts"
import * as Rules from "../moderation/Rules.ts"
import { RateLimiter, rules } from "../rate/RateLimiter.ts"
import type { Store } from "../store/Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { columns, fromRow, Message, type MessageRow } from "./Message.ts"

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
    /** The window of each interaction, whoever asks. */
    readonly windows: Windows
    /** The same of interactions that have ended: from the cache, when `communication.messageCache` is on. */
    readonly endedWindows: Windows
    /** Those of the ids that exist, whoever asks. */
    readonly byIds: (
      ids: ReadonlyArray<MessageId>
    ) => Effect.Effect<ReadonlyMap<MessageId, Message>, DatabaseUnavailable>
    /** The message, for a participant of its interaction. */
    readonly find: (id: MessageId, viewerId: UserId) => Effect.Effect<Option.Option<Message>, DatabaseUnavailable>
  }
>() {}

export type Windows = (
  ids: ReadonlyArray<InteractionId>,
  window: Window
) => Effect.Effect<ReadonlyMap<InteractionId, Shown>, DatabaseUnavailable>

/** The messages of a window, lowest number first; `more` when there are others beyond it. */
const Shown = Schema.Struct({ messages: Schema.Array(Message), more: Schema.Boolean })
type Shown = typeof Shown.Type

/** Windows of ended interactions that one process keeps at hand. */
const near = { entriesMax: 1_000, bytesMax: 8 * 1_048_576, ttl: "1 minute" } as const

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

/** Statements of one look-up that run at one time. */
const windowsAtOnce = 4

/** Of what is kept only a moderator's decision changes something, and tells the tag. */
const keptWindows = (windows: Windows) =>
  Effect.gen(function* () {
    const tags = yield* Tags
    type Key = readonly [id: InteractionId, window: Window]
    const key = ([id, { backward, from, limit }]: Key): string =>
      `${id}:${backward ? "last" : "first"}:${from}:${limit}`
    const cache = yield* Cache.make({
      name: "messages",
      key,
      schema: Shown,
      ttl: "30 minutes",
      near,
      tags: tags.by((_: Shown, [id]: Key) => [CacheTags.messages(id)]),
      // Reads of different windows may be looked up together.
      lookupMany: (keys: ReadonlyArray<Key>) =>
        Effect.map(
          Effect.forEach(
            Object.values(Arr.groupBy(keys, ([, { backward, from, limit }]) => `${backward}:${from}:${limit}`)),
            (alike) =>
              Effect.map(
                windows(
                  alike.map(([id]) => id),
                  alike[0][1]
                ),
                (found) => alike.map((one) => [key(one), found.get(one[0])!] as const)
              ),
            { concurrency: windowsAtOnce }
          ),
          (found) => new Map(found.flat())
        )
    })
    return (ids: ReadonlyArray<InteractionId>, window: Window) =>
      Effect.map(
        cache.getMany(ids.map((id) => [id, window])),
        (found) => new Map(ids.map((id) => [id, found.get(key([id, window]))!]))
      )
  })

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { communication } = yield* Settings
  const send = yield* sender
  const idList = (ids: ReadonlyArray<string>) =>
    sql`(select value::uuid as id from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb))`

  const windows: Windows = (ids, { backward, from, limit }) =>
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
    )

  return Messages.of({
    send,
    windows,
    endedWindows: communication.messageCache ? yield* keptWindows(windows) : windows,

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

export const layer: Layer.Layer<
  Messages,
  never,
  SqlClient.SqlClient | RateLimiter | Restrictions | ActorSystem | Store | Tags | Settings
> = Layer.scoped(Messages, make)
