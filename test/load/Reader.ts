import { backoffMillis } from "../kit/Client.ts"
import type { Person, Said } from "./Person.ts"

const events = /* GraphQL */ `
  subscription Events($id: ID!, $afterSeq: Int!) {
    interactionEvents(interactionId: $id, afterSeq: $afterSeq) {
      __typename
      ... on MessageAdded {
        seq
        message {
          clientKey
          body
          sender {
            id
          }
        }
      }
      ... on MessageChanged {
        seq
      }
      ... on ParticipantLeft {
        seq
      }
      ... on InteractionEnded {
        seq
      }
      ... on CaughtUp {
        caughtUpSeq: seq
      }
    }
  }
`
interface Event {
  readonly __typename: string
  readonly seq?: number
  readonly message?: {
    readonly clientKey: string
    readonly body: string | null
    readonly sender: { readonly id: string } | null
  }
}

/** A reader away for longer than this without a new connection gives up on its server. */
const awayMillisMax = 60_000

/**
 * Reads one interaction's events as one person, resuming from the last number seen whenever the connection is lost or
 * dropped. It repairs nothing: what the stream doubles, skips or swaps stands in `received` and `gaps` as it came.
 */
export class Reader {
  readonly received: Array<Said> = []
  /** Numbers that did not follow the one before. */
  readonly wrong: Array<{ readonly after: number; readonly got: number }> = []
  reconnects = 0
  ended = false
  private lastSeq = 0
  private away = 0
  /** Connections in a row over which nothing came. */
  private failures = 0
  private stopped = false
  private connection: { readonly close: () => void; readonly drop: () => void } | undefined
  private readonly person: Person
  private readonly interactionId: string
  private readonly onMessage: (said: Said) => void
  private readonly onEnded: () => void

  constructor(person: Person, interactionId: string, onMessage: (said: Said) => void, onEnded: () => void) {
    this.person = person
    this.interactionId = interactionId
    this.onMessage = onMessage
    this.onEnded = onEnded
    this.connect()
  }

  /** The highest number seen. */
  get seen(): number {
    return this.lastSeq
  }

  private connect(): void {
    if (this.stopped) return
    this.connection = this.person.client.listen<Event>(
      events,
      { id: this.interactionId, afterSeq: this.lastSeq },
      (event) => this.take(event),
      () => {
        if (this.stopped) return
        if (this.away === 0) this.away = performance.now()
        else if (performance.now() - this.away > awayMillisMax) return
        this.reconnects++
        setTimeout(() => this.connect(), backoffMillis(this.failures++))
      }
    )
  }

  private take(event: Event): void {
    this.away = 0
    this.failures = 0
    if (event.seq === undefined) return
    if (event.seq !== this.lastSeq + 1) this.wrong.push({ after: this.lastSeq, got: event.seq })
    this.lastSeq = Math.max(this.lastSeq, event.seq)
    if (event.message !== undefined) {
      const said = {
        seq: event.seq,
        clientKey: event.message.clientKey,
        body: event.message.body,
        senderId: event.message.sender?.id ?? ""
      }
      this.received.push(said)
      this.onMessage(said)
    }
    if (event.__typename === "InteractionEnded") {
      this.ended = true
      this.stop()
      this.onEnded()
    }
  }

  /** Cuts the socket, as a phone in a tunnel does; the reader comes back by itself. */
  drop(): void {
    this.connection?.drop()
  }

  stop(): void {
    this.stopped = true
    this.connection?.close()
  }
}
