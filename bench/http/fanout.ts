/**
 * A thousand readers and what they are told. 500 talks, each with two people who subscribe to it, as the product has them;
 * 200 messages a second over all of them, each heard by both. A delivery is timed from the moment its mutation is sent, so
 * the whole way is in it: HTTP, rules, commit with fsync, broadcast, execution for the reader, its socket.
 */
import { percentile } from "../kit.ts"
import type { Told } from "./socket.ts"
import { address, subscribeAll } from "./socket.ts"

const messagesPerSecond = 200
const runSeconds = 15
/**
 * Before it counts the engine must have compiled what runs often, which takes thousands of messages: production runs
 * warm. So many a second, each for so long.
 */
const warming = [50, 200, 400, 400, 200]
const warmSeconds = 6

const { talks, url } = (await Bun.stdin.json()) as Told

const query = `subscription ($id: ID!) { interactionEvents(interactionId: $id) { __typename
  ... on MessageAdded { message { clientKey body sender { id } } } } }`
const mutation = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { id seq } }`

const sentAt = new Map<string, number>()
const millis: Array<number> = []
/** How late this program itself is, which is in all times: a tick each `tickMillis` while it counts. */
const tickMillis = 5
const late: Array<number> = []
let isCounting = false
let caughtUp = 0

/** As little as possible is parsed: a thousand readers share this process. */
const heard = (text: string): void => {
  const now = performance.now()
  if (text.includes('"CaughtUp"')) caughtUp++
  const at = text.indexOf("fanout-")
  if (at === -1) return
  const sent = sentAt.get(text.slice(at, text.indexOf('"', at)))
  if (sent !== undefined) millis.push(now - sent)
}

const readers = talks.flatMap(({ interactionId, tokens }, index) =>
  tokens.map((token, side) => ({ token, from: address(1, index * 2 + side), variables: { id: interactionId } }))
)
await subscribeAll(readers.map((reader) => ({ url, query, onNext: heard, ...reader })))
while (caughtUp < readers.length) await Bun.sleep(20)

let refused = 0
let said = 0
const say = async (n: number): Promise<void> => {
  const index = n % talks.length
  const talk = talks[index]!
  const side = Math.floor(n / talks.length) % 2
  const clientKey = `fanout-${n}`
  const input = { interactionId: talk.interactionId, clientKey, body: `Message number ${n}, about tea and chess.` }
  if (isCounting) sentAt.set(clientKey, performance.now())
  const body = JSON.stringify({ query: mutation, variables: { input } })
  for (;;) {
    const response = await fetch(`${url}/graphql`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        authorization: `Bearer ${talk.tokens[side]}`,
        "x-forwarded-for": address(1, index * 2 + side)
      },
      body
    })
    const answer = await response.text()
    if (!answer.includes('"errors"')) return
    // Who is refused comes again with the same key, as a client does; its time goes on.
    const again = /"retryAfterMillis":(\d+)/.exec(answer)
    if (again === null) throw new Error(answer)
    refused++
    await Bun.sleep(Number(again[1]))
  }
}

let tickedAt = performance.now()
setInterval(() => {
  const now = performance.now()
  if (isCounting) late.push(Math.max(0, now - tickedAt - tickMillis))
  tickedAt = now
}, tickMillis)

/** Starts so many messages a second for so long, each at its time whether or not those before were answered. */
const sayFor = async (seconds: number, perSecond: number): Promise<void> => {
  const began = performance.now()
  const saying: Array<Promise<void>> = []
  while (saying.length < seconds * perSecond) {
    const due = Math.min(seconds * perSecond, Math.floor(((performance.now() - began) / 1_000) * perSecond))
    while (saying.length < due) saying.push(say(said++))
    await Bun.sleep(1)
  }
  await Promise.all(saying)
}

for (const perSecond of warming) await sayFor(warmSeconds, perSecond)
isCounting = true
refused = 0
await sayFor(runSeconds, messagesPerSecond)
isCounting = false
await Bun.sleep(1_000)
const expected = messagesPerSecond * runSeconds * 2
if (millis.length !== expected) throw new Error(`${millis.length} of ${expected} deliveries arrived`)
console.log(
  JSON.stringify({
    refused,
    p50: percentile(millis, 0.5),
    p99: percentile(millis, 0.99),
    max: Math.max(...millis),
    late: percentile(late, 0.99)
  })
)
process.exit(0)
