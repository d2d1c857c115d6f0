import { GraphqlFailure } from "../kit/Client.ts"
import { Person, type Said } from "./Person.ts"
import { Reader } from "./Reader.ts"

/** What a user's part in one interaction looked like from outside. */
export interface Part {
  readonly interactionId: string
  readonly partnerId: string
  readonly reader: Reader
  /** In the order of the acknowledgements, which is the order of sending: a user sends one after the other. */
  readonly acknowledged: Array<Said>
  last: { readonly clientKey: string; readonly body: string } | undefined
}

/** Failures that a user may meet in a plan: the state of things forbids it, or the server asks to come back later. */
const expected = new Set([
  "CONFLICT",
  "INTERACTION_ENDED",
  "RESTRICTED",
  "RATE_LIMITED",
  "QUEUE_FULL",
  "OVERLOADED",
  "NOT_FOUND"
])

/** A user in the queue waits this long for a match before the next command finds them without an interaction. */
const matchMillisMax = 200

/** One virtual user of a plan: does one thing after the other, beside all other users. */
export class VirtualUser {
  readonly person: Person
  readonly parts: Array<Part> = []
  readonly latencies: Array<number> = []
  /** What no user should ever see. */
  readonly surprises: Array<string> = []
  /** Times by the client's clock: an accepted join began, a block of that user was acknowledged. */
  readonly joinedAt: Array<number> = []
  readonly blockedAt = new Map<string, number>()
  readonly matchedAt = new Map<string, number>()
  private chain: Promise<void> = Promise.resolve()
  private keys = 0
  private waiting = false
  /** One wait for each ticket: whoever is the odd one out does not wait again and again. */
  private patient = false
  private onMatch: (() => void) | undefined

  constructor(url: string, handle: string) {
    this.person = new Person(url, handle, ["load-test"])
  }

  /** Adds a step behind those under way. */
  step(what: string, act: () => Promise<void>): void {
    this.chain = this.chain.then(act).catch((error: unknown) => {
      if (error instanceof GraphqlFailure && expected.has(error.code)) return
      this.surprises.push(
        `${this.person.handle}: ${what} failed: ${error instanceof Error ? error.message : String(error)}`
      )
    })
  }

  /** When every step so far is done. */
  idle(): Promise<void> {
    return this.chain
  }

  private async timed<A>(call: Promise<A>): Promise<A> {
    const started = performance.now()
    try {
      return await call
    } finally {
      this.latencies.push(performance.now() - started)
    }
  }

  signUp(withPassword: boolean): void {
    this.step("signing up", async () => {
      await (withPassword ? this.person.arrive() : this.person.visit())
      this.person.watchInbox(({ interactionId, userIds }) => {
        this.waiting = false
        this.matchedAt.set(interactionId, performance.now())
        this.parts.push({
          interactionId,
          partnerId: userIds.find((id) => id !== this.person.id) ?? this.person.id,
          reader: new Reader(
            this.person,
            interactionId,
            () => undefined,
            () => undefined
          ),
          acknowledged: [],
          last: undefined
        })
        this.onMatch?.()
      })
    })
  }

  join(): void {
    this.step("joining", async () => {
      if (this.waiting) return
      const startedAt = performance.now()
      await this.timed(this.person.join(`join-${this.keys++}`))
      this.joinedAt.push(startedAt)
      this.waiting = true
      this.patient = true
    })
  }

  leave(): void {
    this.step("leaving", async () => {
      await this.timed(this.person.client.call("mutation { leaveQueue }"))
      this.waiting = false
    })
  }

  /** The newest interaction that has not ended; waits a little for one when in the queue. */
  private async part(): Promise<Part | undefined> {
    if (this.waiting && this.patient) {
      this.patient = false
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, matchMillisMax)
        this.onMatch = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.parts.findLast((part) => !part.reader.ended)
  }

  send(body: string): void {
    this.step("sending", async () => {
      const part = await this.part()
      if (part !== undefined) await this.deliver(part, `m-${this.keys++}`, body)
    })
  }

  /** The last message again, with the same key: must be the same message. */
  resend(): void {
    this.step("resending", async () => {
      const part = await this.part()
      if (part?.last !== undefined) await this.deliver(part, part.last.clientKey, part.last.body)
    })
  }

  private async deliver(part: Part, clientKey: string, body: string): Promise<void> {
    part.last = { clientKey, body }
    const said = await this.timed(this.person.say(part.interactionId, clientKey, body))
    const before = part.acknowledged.find((other) => other.clientKey === clientKey)
    if (before === undefined) part.acknowledged.push(said)
    else if (before.seq !== said.seq)
      this.surprises.push(`${this.person.handle}: the same key gave ${before.seq}, then ${said.seq}`)
  }

  block(other: VirtualUser): void {
    this.step("blocking", async () => {
      if (other.person.id === "") return
      await this.timed(this.person.block(other.person))
      this.blockedAt.set(other.person.id, performance.now())
    })
  }

  read(): void {
    this.step("reading", async () => {
      const part = this.parts.at(-1)
      if (part === undefined) return
      const { interaction } = await this.timed(
        this.person.client.call<{
          readonly interaction: { readonly messages: { readonly edges: ReadonlyArray<{ readonly node: Said }> } }
        }>(
          "query Read($id: ID!) { interaction(id: $id) { messages(last: 50) { edges { node { seq clientKey body } } } } }",
          { id: part.interactionId }
        )
      )
      const kept = new Set(interaction.messages.edges.map(({ node }) => node.seq))
      for (const said of part.acknowledged.slice(-10))
        if (!kept.has(said.seq) && kept.size < 50)
          this.surprises.push(`${this.person.handle}: message ${said.seq} was acknowledged and is not in the history`)
    })
  }

  drop(): void {
    this.step("dropping", async () => {
      this.person.drop()
      for (const part of this.parts) part.reader.drop()
    })
  }

  end(): void {
    this.step("ending", async () => {
      const part = await this.part()
      if (part === undefined) return
      await this.timed(this.person.end(part.interactionId))
    })
  }

  /** Leaves nothing behind that the next plan's users could be matched with. */
  async goHome(): Promise<void> {
    if (this.person.id === "") return
    this.leave()
    await this.idle()
    for (const part of this.parts) part.reader.stop()
    this.person.leave()
  }
}
