/**
 * A thousand readers and what they are told: each talk has two who subscribe, and its two take turns to write, 200
 * messages a second over all. A delivery is timed from the moment its mutation is sent, so the commit is in it.
 */
import { percentile } from "../kit.ts"
import type { Told } from "./socket.ts"
import { address, subscribe } from "./socket.ts"

const messagesPerSecond = 200
const runSeconds = 10
/** The first seconds are for the engine, and do not count. */
const warmSeconds = 3

const { talks, url } = (await Bun.stdin.json()) as Told

const query = `subscription ($id: ID!) { interactionEvents(interactionId: $id) { __typename
  ... on MessageAdded { message { clientKey body sender { id } } } } }`
const mutation = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { id seq } }`

interface Event {
  readonly __typename: string
  readonly message?: { readonly clientKey: string }
}

const sentAt = new Map<string, number>()
const millis: Array<number> = []
let caughtUp = 0

const heard = (event: Event): void => {
  if (event.__typename === "CaughtUp") caughtUp++
  const sent = sentAt.get(event.message?.clientKey ?? "")
  if (sent !== undefined) millis.push(performance.now() - sent)
}

for (const [index, talk] of talks.entries()) {
  await Promise.all(
    talk.tokens.map((token, side) =>
      subscribe({
        url,
        token,
        from: address(1, index * 2 + side),
        query,
        variables: { id: talk.interactionId },
        onEvent: (data) => heard(data["interactionEvents"] as Event)
      })
    )
  )
}
while (caughtUp < talks.length * 2) await Bun.sleep(20)

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
console.log(
  JSON.stringify({
    readers: caughtUp,
    deliveries: millis.length,
    failed,
    p50: percentile(millis, 0.5),
    p99: percentile(millis, 0.99)
  })
)
process.exit(0)
