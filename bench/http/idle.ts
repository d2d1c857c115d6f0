/** So many people who wait for something to happen, each on a socket of their own. Says when all are there. */
import type { Told } from "./socket.ts"
import { address, subscribeAll } from "./socket.ts"

const { talks, url } = (await Bun.stdin.json()) as Told
const tokens = talks.flatMap((talk) => talk.tokens)

/** What a client asks of the inbox: a document of an ordinary length. */
const query = `subscription Inbox {
  inbox {
    __typename
    ... on TicketUpdated { ticket { id state createdAt waitedMillis } }
    ... on MatchFound { match { id sharedInterests interaction { id state startedAt } } }
    ... on RestrictionPosted { action { id kind reason expiresAt } }
    ... on SessionRevoked { reason }
  }
}`

const sockets = await subscribeAll(
  tokens.map((token, n) => ({ url, token, from: address(2, n), query, onNext: () => {} }))
)
console.log(JSON.stringify({ open: sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length }))
await Bun.sleep(600_000)
