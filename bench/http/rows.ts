/** The rows that every server of bench/http.ts answers from, in memory, and the documents that are asked. */

const uuid = (kind: number, n: number): string => `0000000${kind}-0000-7000-8000-${n.toString(16).padStart(12, "0")}`

const globalId = (prefix: string, id: string): string => `${prefix}_${id.replaceAll("-", "")}`

/** People, so many that a page of messages has a sender each. */
export const people = Array.from({ length: 100 }, (_, i) => ({
  id: uuid(1, i),
  globalId: globalId("usr", uuid(1, i)),
  handle: `person_${i}`,
  displayName: `Person number ${i}`,
  bio: i % 2 === 0 ? null : "Likes chess, tea and long walks along the canal.",
  interests: ["chess", "tea"],
  languages: ["en"],
  region: null,
  createdAt: new Date(Date.UTC(2026, 0, 1, 0, 0, i))
}))

export type Person = (typeof people)[number]

export const byId = new Map(people.flatMap((person) => [[person.id, person] as const, [person.globalId, person]]))

export const messages = Array.from({ length: 20 }, (_, i) => ({
  id: uuid(3, i),
  globalId: globalId("msg", uuid(3, i)),
  interactionId: uuid(2, 0),
  seq: i + 1,
  senderId: people[i * 3]!.id,
  body: `Message ${i}: did you know that in the sixties the top bowlers made more than the top players?`,
  state: "VISIBLE",
  createdAt: new Date(Date.UTC(2026, 5, 1, 12, i)),
  clientKey: `key-${i}`
}))

export const interaction = {
  id: uuid(2, 0),
  globalId: globalId("int", uuid(2, 0)),
  state: "ACTIVE",
  startedAt: new Date(Date.UTC(2026, 5, 1, 12)),
  endedAt: null,
  endReason: null,
  lastSeq: 20
}

/** The page that `Interaction.messages` is, whatever is asked. */
export const page = {
  edges: messages.map((node) => ({ node, cursor: `c${node.seq}` })),
  pageInfo: { hasNextPage: false, hasPreviousPage: false, startCursor: "c1", endCursor: "c20" }
}

export const userQuery = "query User($id: ID!) { user(id: $id) { id handle displayName bio } }"
export const messagesQuery = `query Messages($id: ID!, $first: Int) {
  interaction(id: $id) {
    id state
    messages(first: $first) {
      edges { cursor node { id seq body createdAt sender { id handle displayName } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`

/** Bodies of POST. */
export const bodies = {
  user: JSON.stringify({ query: userQuery, variables: { id: people[7]!.globalId } }),
  messages: JSON.stringify({ query: messagesQuery, variables: { id: interaction.globalId, first: 20 } })
}

/** What is asked: one person, or a page of twenty messages with their senders. */
export type Kind = keyof typeof bodies
