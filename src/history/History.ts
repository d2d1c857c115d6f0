import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { MessageRow } from "../communication/Message.ts"
import { columns as messageColumns, fromRow as messageFromRow, type Message } from "../communication/Message.ts"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { InteractionId, UserId } from "../domain/Ids.ts"
import { type Connection, connection } from "../domain/Page.ts"
import { likeLiteral } from "../domain/Text.ts"
import { type DatabaseUnavailable, NotFound, type ValidationFailed } from "../errors.ts"
import { Cursor } from "../graphql/Cursor.ts"
import { columns, fromRow, type Interaction, type InteractionRow } from "../interaction/Interaction.ts"
import * as Asked from "./Asked.ts"
import { snippet } from "./Snippet.ts"

/** Which interactions of one person. `field` is the list's name, to which its cursors are bound. */
export interface PageRequest {
  readonly field: string
  readonly viewerId: UserId
  readonly first: number
  readonly after: string | null
  /** Only those with this other person. */
  readonly withId: UserId | null
  /** Only those that are going on, or only those that are over. */
  readonly active: boolean | null
}

export interface SearchRequest {
  readonly viewerId: UserId
  /** Text as people write it: "quoted phrases", `or`, and `-` before what must not be there. */
  readonly text: string
  readonly interactionId: InteractionId | null
  readonly first: number
  readonly after: string | null
}

/** A message that was found. `rank` is Postgres' `ts_rank`: higher is closer, 0 for text without words or found within one. */
export interface SearchHit {
  readonly message: Message
  readonly snippet: string
  readonly rank: number
}

/** What people look back at: their own interactions, and what was said in them. */
export class History extends Context.Tag("@connect/History")<
  History,
  {
    /** Newest first, by the time at which the person joined. */
    readonly page: (
      request: PageRequest
    ) => Effect.Effect<Connection<Interaction>, ValidationFailed | DatabaseUnavailable>
    /** Visible messages of the person's own interactions, the closest first, then the newest. NotFound when `interactionId` is not theirs. */
    readonly search: (
      request: SearchRequest
    ) => Effect.Effect<Connection<SearchHit>, NotFound | ValidationFailed | DatabaseUnavailable>
  }
>() {}

/** The size asked for, and whether there was one more. */
const cut = <A>(rows: ReadonlyArray<A>, first: number) => ({ rows: rows.slice(0, first), more: rows.length > first })

const page = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const cursor = yield* Cursor

  return ({ active, after, field, first, viewerId, withId }: PageRequest) =>
    Effect.gen(function* () {
      const bound = { viewerId, withId, active }
      // The time as text: JavaScript's has no microseconds, and rows between would be skipped or shown twice.
      const [joinedAt, id] = Option.getOrElse(
        yield* cursor.decode<readonly [string, string]>(field, bound, after),
        () => [null, null] as const
      )
      const found = yield* orUnavailable(sql<InteractionRow & { readonly joinedAt: string }>`
select ${columns(sql)}, p.joined_at::text as "joinedAt"
from participants p join interactions i on i.id = p.interaction_id
where p.user_id = ${viewerId}::uuid
  and (${joinedAt}::text is null or (p.joined_at, p.interaction_id) < (${joinedAt}::text::timestamptz, ${id}::uuid))
  and (${active}::boolean is null or (i.state = 0) = ${active}::boolean)
  and (${withId}::uuid is null or exists (
    select from participants o where o.interaction_id = p.interaction_id and o.user_id = ${withId}::uuid
      and o.user_id <> p.user_id))
order by p.joined_at desc, p.interaction_id desc limit ${first + 1}::int`)
      const { more, rows } = cut(found, first)
      return connection(
        rows.map((row) => ({ node: fromRow(row), cursor: cursor.encode(field, bound, [row.joinedAt, row.id]) })),
        { hasNextPage: more, hasPreviousPage: joinedAt !== null }
      )
    })
})

const search = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const cursor = yield* Cursor
  const field = "searchMessages"

  const refuseStrangers = (interactionId: InteractionId | null, viewerId: UserId) =>
    interactionId === null
      ? Effect.void
      : Effect.filterOrFail(
          orUnavailable(sql`select from participants
where interaction_id = ${interactionId}::uuid and user_id = ${viewerId}::uuid`),
          (rows) => rows.length > 0,
          () => new NotFound({ what: "Interaction" })
        )

  /** The patterns are folded as a constant: in the database as the messages are, whose case depends on its locale. */
  const like = (texts: ReadonlyArray<string>) =>
    sql`all (lower(${texts.map((text) => `%${likeLiteral(text)}%`)}::text[]::text)::text[])`
  const holds = (alternatives: ReadonlyArray<Asked.Alternative>) =>
    sql.or(
      alternatives.map(
        ({ wanted, unwanted }) => sql`(lower(m.body) like ${like(wanted)} and lower(m.body) not like ${like(unwanted)})`
      )
    )

  /** How a message matches and how well. Without a word in it, the text itself is looked for, as emoji are. */
  const matching = ({ held, literal, web, words }: Asked.Asked) => {
    const stands = sql`position(${literal}::text in m.body) > 0`
    if (words.length === 0) return { rank: sql`0::real`, where: stands }
    const asked = sql`websearch_to_tsquery('simple', ${web}::text)`
    const parse = sql.literal(words.length > Asked.phraseWordsMax ? "plainto_tsquery" : "phraseto_tsquery")
    const either = sql`(${asked} || ${parse}('simple', ${words.join(" ")}::text))`
    const found = sql`m.search @@ ${either} and (m.search @@ ${asked} or ${stands})`
    return {
      rank: sql`ts_rank(m.search, ${either})`,
      where: held === null ? found : sql`(${found} or ${holds(held)})`
    }
  }

  return ({ after, first, interactionId, text, viewerId }: SearchRequest) =>
    Effect.gen(function* () {
      const bound = { viewerId, text, interactionId }
      const [rank, id] = Option.getOrElse(
        yield* cursor.decode<readonly [string, string]>(field, bound, after),
        () => [null, null] as const
      )
      yield* refuseStrangers(interactionId, viewerId)
      const asked = Asked.read(text)
      const match = matching(asked)
      const found = yield* orUnavailable(sql<MessageRow & { readonly rank: string }>`
select * from (
  select ${messageColumns(sql)}, ${match.rank} as score, ${match.rank}::text as rank
  from participants p join messages m on m.interaction_id = p.interaction_id
  where p.user_id = ${viewerId}::uuid and m.state = 0 and ${match.where}
    and (${interactionId}::uuid is null or p.interaction_id = ${interactionId}::uuid)
) as hits
where ${rank}::text is null or (score, id) < (${rank}::text::real, ${id}::uuid)
order by score desc, id desc limit ${first + 1}::int`)
      const { more, rows } = cut(found, first)
      return connection(
        rows.map((row) => {
          const message = messageFromRow(row)
          const hit = {
            message,
            snippet: snippet(message.body ?? "", asked.marked, asked.literal),
            rank: Number(row.rank)
          }
          return { node: hit, cursor: cursor.encode(field, bound, [row.rank, row.id]) }
        }),
        { hasNextPage: more, hasPreviousPage: rank !== null }
      )
    })
})

export const layer: Layer.Layer<History, never, SqlClient.SqlClient | Cursor> = Layer.effect(
  History,
  Effect.gen(function* () {
    return History.of({ page: yield* page, search: yield* search })
  })
)
