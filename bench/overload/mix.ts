/** What the people of the bench ask for, as bytes that are ready to be sent. */
import type { People, Person } from "./people.ts"

/** The classes of `Priority.ts`, the most important first. */
export const classes = ["vital", "send", "read", "bulk"] as const

/** One request of the mix. */
export interface Request {
  readonly lane: number
  readonly bytes: Buffer
}

interface Kind {
  readonly lane: number
  /** Of 1,000 requests. */
  readonly share: number
  readonly query?: string
  readonly variables?: (person: Person, other: Person) => object
}

const page = `query ($id: ID!) { interaction(id: $id) { id lastSeq messages(last: 20) { edges { cursor node {
  id seq body createdAt sender { id handle displayName } } } } } }`

const words = ["chess", "bowlers", "sixties", "players", "walks", "music"]

const kinds: ReadonlyArray<Kind> = [
  { lane: 0, share: 5 },
  { lane: 0, share: 5, query: "mutation { signOut }" },
  {
    lane: 1,
    share: 120,
    query: `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { id seq createdAt } }`,
    variables: ({ interactionId }) => ({
      input: { interactionId, clientKey: "k".repeat(16), body: "I know right! And that in the 60's nobody minded?" }
    })
  },
  { lane: 2, share: 370, query: page, variables: ({ interactionId }) => ({ id: interactionId }) },
  {
    lane: 2,
    share: 200,
    query: `query ($handle: String) { user(handle: $handle) { id handle displayName bio interests presence } }`,
    variables: (_, { handle }) => ({ handle })
  },
  {
    lane: 2,
    share: 150,
    query: "{ viewer { unreadCount user { id handle displayName interests } ticket { id state } } }"
  },
  {
    lane: 2,
    share: 80,
    query: `{ history(first: 10) { edges { node { id state lastSeq participants { user { id handle } } } } } }`
  },
  {
    lane: 3,
    share: 40,
    query: `query ($text: String!) { searchUsers(text: $text, first: 10) { edges { node { id handle displayName } } } }`,
    variables: (_, { handle }) => ({ text: handle })
  },
  {
    lane: 3,
    share: 30,
    query: `query ($text: String!) { searchMessages(text: $text, first: 10) { edges { node { snippet rank } } } }`,
    variables: (_, { handle }) => ({ text: words[handle.length % words.length] })
  }
]

/** A generator of the same numbers for the same seed, 0 to 1. */
export const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Where each of the people sends from: the gateway trusts the bench to say so. */
const address = (n: number): string => `10.1.${n >> 8}.${n & 255}`

const post = (host: string, from: string, token: string, body: string): Buffer =>
  Buffer.from(
    [
      "POST /graphql HTTP/1.1",
      `host: ${host}`,
      "content-type: application/json",
      "accept: application/json",
      `authorization: Bearer ${token}`,
      `x-forwarded-for: ${from}`,
      `content-length: ${Buffer.byteLength(body)}`,
      "",
      body
    ].join("\r\n")
  )

const placeholder = "k".repeat(16)

/** Requests without end in the shares of the mix: who asks, for whom and for what is by chance, the same for the same seed. */
export const requests = (host: string, { leaving, people }: People, seed: number): (() => Request) => {
  const chance = random(seed)
  const health = Buffer.from(`GET /health/ready HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
  const variants = 1_200
  const prepared = kinds.map(({ query, variables }) =>
    query === undefined || query.includes("signOut")
      ? []
      : Array.from({ length: variants }, (_, n) => {
          const person = people[n % people.length]!
          const other = people[Math.floor(chance() * people.length)]!
          const body = JSON.stringify({
            query,
            ...(variables === undefined ? {} : { variables: variables(person, other) })
          })
          return post(host, address(n % people.length), person.token, body)
        })
  )
  const keysAt = prepared.map((all) => all.map((bytes) => bytes.indexOf(placeholder)))
  // Each run has its own sessions to end.
  let left = seed * 600
  let key = 0
  const stamp = Math.floor(chance() * 0xffffffff)
    .toString(36)
    .padStart(7, "0")

  return () => {
    let place = chance() * 1_000
    let kind = 0
    while (kind < kinds.length - 1 && (place -= kinds[kind]!.share) >= 0) kind++
    const { lane, query } = kinds[kind]!
    if (query === undefined) return { lane, bytes: health }
    if (query.includes("signOut")) {
      const token = leaving[left++ % leaving.length]!
      return { lane, bytes: post(host, address(left % people.length), token, JSON.stringify({ query })) }
    }
    const variant = Math.floor(chance() * variants)
    const bytes = prepared[kind]![variant]!
    const at = keysAt[kind]![variant]!
    // Each message is another one.
    if (at !== -1) bytes.write(`${stamp}${(key++).toString(36).padStart(9, "0")}`, at, "latin1")
    return { lane, bytes }
  }
}
