import { readFileSync } from "node:fs"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Ids from "../../src/domain/Ids.ts"
import { bodyHash } from "../../src/interaction/EventLog.ts"
import { conversationsFile } from "../kit/conversations.ts"

/** Lines with what is difficult in splitting words. */
const madeUp = [
  "I'm sure it's at https://example.com/a/b-c?d=1&e=2, or was it?",
  'He said "don\'t" -and left; e-mail me: ada@example.org',
  "well-known 3.14 and -5 degrees... or not!",
  "“Curly” quotes — and ’s; naïve café, ÜBER",
  "привет, мир! 你好,世界。 emoji😂joined 👩‍👩‍👧",
  "a:*&b | !c <-> (d) \\ % _ 'e' <b>bold</b>"
]

/** What people really said to each other, `most` lines of it, and the difficult ones. */
export const realTexts = (most: number): ReadonlyArray<string> =>
  readFileSync(conversationsFile(), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => (JSON.parse(line) as { messages: Array<{ text: string }> }).messages)
    .map(({ text }) => text)
    .slice(0, most)
    .concat(madeUp)

/** Messages of one sender, written directly. */
export const said = (interactionId: string, senderId: string, texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* Effect.forEach(texts, (body, n) =>
      Effect.map(Ids.make(Ids.MessageId), (id) => ({ id, body, n: n + 1, hash: bodyHash(body) }))
    )
    yield* sql`insert into messages (id, interaction_id, seq, sender_id, client_key, body, body_hash, created_at)
select r.id, ${interactionId}::uuid, r.n, ${senderId}::uuid, 'k' || r.n, r.body, decode(r.hash, 'hex'), now()
from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as r (id uuid, body text, n int, hash text)`
    return rows
  })
