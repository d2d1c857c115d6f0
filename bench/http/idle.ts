/** So many subscriptions that wait for something to happen, each on a socket of its own. Says when all are there. */
import type { Told } from "./socket.ts"
import { address, subscribe } from "./socket.ts"

const { count, talks, url } = (await Bun.stdin.json()) as Told
const tokens = talks.flatMap((talk) => talk.tokens)

const open = (n: number): Promise<WebSocket> =>
  subscribe({
    url,
    token: tokens[n % tokens.length]!,
    from: address(2, n),
    query: "subscription { inbox { __typename } }",
    onEvent: () => {}
  })

const sockets: Array<WebSocket> = []
for (let n = 0; n < count; n += 50) {
  sockets.push(...(await Promise.all(Array.from({ length: 50 }, (_, i) => open(n + i)))))
}
await Bun.sleep(3_000)
const stillOpen = sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length
if (stillOpen < count) throw new Error(`Only ${stillOpen} of ${count} are open`)
console.log(stillOpen)
await Bun.sleep(600_000)
