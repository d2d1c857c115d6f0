/**
 * A thousand readers and what they are told. 500 talks, each with two people who subscribe to it, as the product has them;
 * 200 messages a second over all of them, each heard by both. A delivery is timed from the moment its mutation is sent, so
 * the whole way is in it: HTTP, rules, commit with fsync, broadcast, execution for the reader, its socket.
 */
import { percentile } from "../kit.ts"
import type { Told } from "./socket.ts"
import { address, subscribe } from "./socket.ts"

const messagesPerSecond = 200
const runSeconds = 10
/** The first seconds are for the engine, which compiles what runs often, and do not count. */
const warmSeconds = 20
const opensAtOnce = 50

const { talks, url } = (await Bun.stdin.json()) as Told

const query = `subscription ($id: ID!) { interactionEvents(interactionId: $id) { __typename
  ... on MessageAdded { message { clientKey body sender { id } } } } }`
const mutation = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { id seq } }`

const sentAt = new Map<string, number>()
const millis: Array<number> = []
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
for (let n = 0; n < readers.length; n += opensAtOnce) {
  await Promise.all(
    readers.slice(n, n + opensAtOnce).map((reader) => subscribe({ url, query, onNext: heard, ...reader }))
  )
}
while (caughtUp < readers.length) await Bun.sleep(20)

let failed = 0
const say = async (n: number): Promise<void> => {
  const index = n % talks.length
  const talk = talks[index]!
  const side = Math.floor(n / talks.length) % 2
  const clientKey = `fanout-${n}`
  const input = { interactionId: talk.interactionId, clientKey, body: `Message number ${n}, about tea and chess.` }
  if (n >= messagesPerSecond * warmSeconds) sentAt.set(clientKey, performance.now())
  const response = await fetch(`${url}/graphql`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json",
      authorization: `Bearer ${talk.tokens[side]}`,
      "x-forwarded-for": address(1, index * 2 + side)
    },
    body: JSON.stringify({ query: mutation, variables: { input } })
  })
  const answer = (await response.json()) as { readonly errors?: unknown }
  if (answer.errors !== undefined && failed++ === 0) console.error(JSON.stringify(answer.errors))
}

const began = performance.now()
const saying: Array<Promise<void>> = []
const total = messagesPerSecond * (warmSeconds + runSeconds)
while (saying.length < total) {
  const due = Math.min(total, Math.floor(((performance.now() - began) / 1_000) * messagesPerSecond))
  while (saying.length < due) saying.push(say(saying.length))
  await Bun.sleep(1)
}
await Promise.all(saying)
await Bun.sleep(1_000)
const expected = messagesPerSecond * runSeconds * 2
if (millis.length !== expected) throw new Error(`${millis.length} of ${expected} deliveries arrived`)
console.log(JSON.stringify({ failed, p50: percentile(millis, 0.5), p99: percentile(millis, 0.99) }))
process.exit(0)
