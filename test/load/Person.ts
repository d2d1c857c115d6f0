import { backoffMillis, Client, GraphqlFailure } from "../kit/Client.ts"

/** A message as the API shows it. */
export interface Said {
  readonly seq: number
  readonly clientKey: string
  readonly body: string | null
  readonly senderId: string
}

const signUp = /* GraphQL */ `
  mutation SignUp($handle: String!, $password: String!, $profile: ProfileInput) {
    signUp(handle: $handle, password: $password, profile: $profile) {
      token
      viewer {
        user {
          id
        }
      }
    }
  }
`
const signIn = /* GraphQL */ `
  mutation SignIn($handle: String!, $password: String!) {
    signIn(handle: $handle, password: $password) {
      token
      viewer {
        user {
          id
        }
      }
    }
  }
`
interface Auth {
  readonly token: string
  readonly viewer: { readonly user: { readonly id: string } }
}

const sendMessage = /* GraphQL */ `
  mutation Send($input: SendMessageInput!) {
    sendMessage(input: $input) {
      seq
      clientKey
      body
      sender {
        id
      }
    }
  }
`
const messages = /* GraphQL */ `
  query Messages($id: ID!, $first: Int!, $after: Cursor) {
    interaction(id: $id) {
      lastSeq
      messages(first: $first, after: $after) {
        edges {
          node {
            seq
            clientKey
            body
            sender {
              id
            }
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`
interface Node extends Omit<Said, "senderId"> {
  readonly sender: { readonly id: string } | null
}
interface Messages {
  readonly interaction: {
    readonly lastSeq: number
    readonly messages: {
      readonly edges: ReadonlyArray<{ readonly node: Node }>
      readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null }
    }
  }
}

const saidOf = ({ sender, ...rest }: Node): Said => ({ ...rest, senderId: sender?.id ?? "" })

const inbox = /* GraphQL */ `
  subscription Inbox {
    inbox {
      __typename
      ... on MatchFound {
        match {
          interaction {
            id
            participants {
              user {
                id
              }
            }
          }
        }
      }
    }
  }
`
type InboxEvent = {
  readonly __typename: string
  readonly match?: {
    readonly interaction: {
      readonly id: string
      readonly participants: ReadonlyArray<{ readonly user: { readonly id: string } }>
    }
  }
}

/** A match as one of the two was told of it. */
export interface Told {
  readonly interactionId: string
  readonly userIds: ReadonlyArray<string>
}

/** Everything that was said in an interaction, oldest first. */
export interface History {
  readonly lastSeq: number
  readonly said: ReadonlyArray<Said>
}

/** One made-up user of the public API. */
export class Person {
  readonly client: Client
  readonly handle: string
  readonly interests: ReadonlyArray<string>
  readonly matches: Array<Told> = []
  id = ""
  private stop: (() => void) | undefined
  private cut: (() => void) | undefined

  constructor(urls: string | ReadonlyArray<string>, handle: string, interests: ReadonlyArray<string>) {
    this.client = new Client(urls)
    this.handle = handle
    this.interests = interests
  }

  /** Comes in without a password, by a throw-away account. */
  async visit(): Promise<void> {
    const { signInAsGuest } = await this.client.call<{ readonly signInAsGuest: Auth }>(
      "mutation Visit($profile: ProfileInput) { signInAsGuest(profile: $profile) { token viewer { user { id } } } }",
      { profile: { interests: this.interests } }
    )
    this.client.token = signInAsGuest.token
    this.id = signInAsGuest.viewer.user.id
  }

  /** Signs up; when an earlier try got through without its answer, signs in to the account that it made. */
  async arrive(): Promise<void> {
    const password = `${this.handle}-password`
    const profile = { interests: this.interests }
    const { signUp: auth } = await this.client
      .call<{ readonly signUp: Auth }>(signUp, { handle: this.handle, password, profile })
      .catch(async (error: unknown) => {
        if (!(error instanceof GraphqlFailure) || error.code !== "CONFLICT") throw error
        const again = await this.client.call<{ readonly signIn: Auth }>(signIn, { handle: this.handle, password })
        return { signUp: again.signIn }
      })
    this.client.token = auth.token
    this.id = auth.viewer.user.id
  }

  /** Listens to the inbox, through lost connections, until `leave`; each different match is told once. */
  watchInbox(onMatch: (told: Told) => void): void {
    const known = new Set<string>()
    let stopped = false
    let failures = 0
    const listen = (): void => {
      if (stopped) return
      const { close, drop } = this.client.listen<InboxEvent>(
        inbox,
        {},
        (event) => {
          failures = 0
          const interaction = event.match?.interaction
          if (interaction === undefined || known.has(interaction.id)) return
          known.add(interaction.id)
          const told = { interactionId: interaction.id, userIds: interaction.participants.map((p) => p.user.id) }
          this.matches.push(told)
          onMatch(told)
        },
        () => setTimeout(listen, backoffMillis(failures++))
      )
      this.cut = drop
      this.stop = () => {
        stopped = true
        close()
      }
    }
    listen()
  }

  /** Stops listening for good. */
  leave(): void {
    this.stop?.()
  }

  /** Cuts the inbox's socket; it comes back by itself. */
  drop(): void {
    this.cut?.()
  }

  /** Joins the queue; the same key again is the same ticket. */
  async join(clientKey = `join-${this.handle}`): Promise<void> {
    await this.client.call("mutation Join($input: JoinQueueInput!) { joinQueue(input: $input) { id state } }", {
      input: { clientKey, interests: this.interests }
    })
  }

  /** Says it; the same key again is the same message. */
  async say(interactionId: string, clientKey: string, body: string): Promise<Said> {
    const input = { interactionId, clientKey, body }
    const sent = await this.client.call<{ readonly sendMessage: Node }>(sendMessage, { input })
    return saidOf(sent.sendMessage)
  }

  /** What the server has of an interaction, read page by page. */
  async history(interactionId: string, pageSize: number): Promise<History> {
    const said: Array<Said> = []
    for (let after: string | null = null; ;) {
      const { interaction }: Messages = await this.client.call(messages, { id: interactionId, first: pageSize, after })
      said.push(...interaction.messages.edges.map(({ node }) => saidOf(node)))
      after = interaction.messages.pageInfo.endCursor
      const { lastSeq } = interaction
      // More messages than numbers: a server that pages in circles is found out by what it has given so far.
      if (!interaction.messages.pageInfo.hasNextPage || after === null || said.length > lastSeq)
        return { lastSeq, said }
    }
  }

  async end(interactionId: string): Promise<void> {
    await this.client.call("mutation End($id: ID!) { endInteraction(interactionId: $id) { state } }", {
      id: interactionId
    })
  }

  async block(other: Person): Promise<void> {
    await this.client.call("mutation Block($id: ID!) { block(userId: $id) }", { id: other.id })
  }

  async unblock(other: Person): Promise<void> {
    await this.client.call("mutation Unblock($id: ID!) { unblock(userId: $id) }", { id: other.id })
  }
}
