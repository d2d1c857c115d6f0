/** So many people who wait for something to happen, each on a socket of their own. Says when all are there. */
import type { Told } from "./socket.ts"
import { address, subscribe } from "./socket.ts"

const opensAtOnce = 50

const { count, talks, url } = (await Bun.stdin.json()) as Told
const tokens = talks.flatMap((talk) => talk.tokens).slice(0, count)

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

const sockets: Array<WebSocket> = []
for (let n = 0; n < tokens.length; n += opensAtOnce) {
  const some = tokens.slice(n, n + opensAtOnce)
  const opening = some.map((token, i) => subscribe({ url, token, from: address(2, n + i), query, onNext: () => {} }))
  sockets.push(...(await Promise.all(opening)))
}
console.log(JSON.stringify({ open: sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length }))
await Bun.sleep(600_000)
