import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { likeLiteral, Text } from "../domain/Text.ts"

/** Results of one search at most, over all its pages. */
export const searchResultsMax = 50

/**
 * A search ends after so long, whoever waits: it goes on when whoever asked has left, so that who asks again finds it, and
 * nothing else would keep what is left behind from piling up.
 */
export const searchMillisMax = 3_000

/** What people type into a search box: 1 to 100 characters. */
export const SearchText = Text(1, 100)

/**
 * Searches that differ only in space and in the case of ASCII are one. Beyond ASCII the database folds what is looked for
 * as it folds the names: what that makes of a letter depends on its locale.
 */
export const normalise = (text: string): string =>
  text
    .normalize("NFC")
    .trim()
    .replace(/\s+/g, " ")
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

/**
 * Ids of the closest people, the closest first, at most `searchResultsMax`. An equal handle, display name or interest
 * comes before one that starts with the text, that before one that contains it, that before one that is merely similar
 * (trigrams).
 */
export const closest = (sql: SqlClient.SqlClient, text: string): Effect.Effect<ReadonlyArray<string>, SqlError> => {
  const like = likeLiteral(text)
  const slug = text.toLowerCase().replaceAll(" ", "-")
  const equal = sql`lower(${text}::text)`
  const starts = sql`lower(${`${like}%`}::text)`
  const contains = sql`lower(${`%${like}%`}::text)`
  const closeness = (column: string) => {
    const of = sql.literal(column)
    return sql`case when ${of} = ${equal} then 4 when ${of} like ${starts} then 2
                    when ${of} like ${contains} then 1 else 0 end + similarity(${of}, ${equal})`
  }
  return Effect.map(
    sql<{ readonly id: string }>`
      select id from (
        select users.id, users.handle, greatest(
          ${closeness("users.handle")},
          ${closeness("lower(users.display_name)")},
          case when users.interests @> array[${slug}::text] then 4.5 else 0 end
        ) as closeness
        from users
        where users.handle % ${equal}
          or users.handle like ${contains}
          or lower(users.display_name) % ${equal}
          or lower(users.display_name) like ${contains}
          or users.interests @> array[${slug}::text]
      ) found
      order by closeness desc, handle
      limit ${searchResultsMax}`,
    (rows) => rows.map((row) => row.id)
  )
}
