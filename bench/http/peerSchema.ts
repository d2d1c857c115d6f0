import type { Person } from "./rows.ts"
import { byId, interaction, page } from "./rows.ts"

/** What the peers serve: the part of the contract that is asked, over the same rows. */
export const sdl = /* GraphQL */ `
  scalar DateTime
  type User {
    id: ID!
    handle: String!
    displayName: String!
    bio: String
  }
  type Message {
    id: ID!
    seq: Int!
    body: String
    createdAt: DateTime!
    sender: User
  }
  type MessageEdge {
    node: Message!
    cursor: String!
  }
  type PageInfo {
    hasNextPage: Boolean!
    endCursor: String
  }
  type MessageConnection {
    edges: [MessageEdge!]!
    pageInfo: PageInfo!
  }
  type Interaction {
    id: ID!
    state: String!
    messages(first: Int): MessageConnection!
  }
  type Query {
    user(id: ID!): User
    interaction(id: ID!): Interaction
  }
`

export interface Message {
  readonly senderId: string
  readonly createdAt: Date
}

const globalId = (row: { readonly globalId: string }): string => row.globalId

/** What every peer resolves alike; senders are loaded in batches, each peer's own way. */
export const resolvers = {
  Query: {
    user: (_: unknown, { id }: { readonly id: string }) => byId.get(id) ?? null,
    interaction: (_: unknown, { id }: { readonly id: string }) => (id === interaction.globalId ? interaction : null)
  },
  Interaction: { id: globalId, messages: () => page },
  User: { id: globalId },
  Message: { id: globalId, createdAt: ({ createdAt }: Message) => createdAt.toISOString() }
}

/** One read for many senders, as a database would do it. */
export const senders = async (messages: ReadonlyArray<{ readonly senderId: string }>): Promise<Array<Person | null>> =>
  messages.map(({ senderId }) => byId.get(senderId) ?? null)

/** The same by id, for DataLoader. */
export const sendersById = async (ids: ReadonlyArray<string>): Promise<Array<Person | null>> =>
  ids.map((id) => byId.get(id) ?? null)
