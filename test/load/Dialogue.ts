import { GraphqlFailure } from "../kit/Client.ts"
import type { Conversation } from "./conversations.ts"
import type { Person, Said } from "./Person.ts"
import { Reader } from "./Reader.ts"

/** The other side has this long to see an acknowledged message before it counts as lost and the talk goes on. */
const deliveryMillisMax = 30_000

/** How people talk: the source of every random choice, and the longest that they take before they answer. */
export interface Manner {
  readonly chance: () => number
  readonly paceMillis: number
}

/** Two people in one interaction who say the lines of one conversation in turn, while the readers drop their sockets. */
export class Dialogue {
  readonly interactionId: string
  readonly people: readonly [Person, Person]
  readonly conversation: Conversation
  readonly acknowledged: Array<Said> = []
  readonly ackMillis: Array<number> = []
  readonly deliveryMillis: Array<number> = []
  /** Lines that the server refused with a typed error: said by nobody, so not lost. */
  readonly refused: Array<string> = []
  readonly readers: readonly [Reader, Reader]
  private readonly waiting = new Map<string, () => void>()
  private readonly arrived: readonly [Set<string>, Set<string>] = [new Set(), new Set()]
  private readonly bothEnded: Promise<unknown>
  private readonly manner: Manner

  constructor(interactionId: string, people: readonly [Person, Person], conversation: Conversation, manner: Manner) {
    this.interactionId = interactionId
    this.people = people
    this.conversation = conversation
    this.manner = manner
    const reader = (side: 0 | 1, ended: () => void) =>
      new Reader(
        people[side],
        interactionId,
        (said) => {
          this.arrived[side].add(said.clientKey)
          if (said.senderId !== people[side].id) this.waiting.get(said.clientKey)?.()
        },
        ended
      )
    const ends: Array<Promise<void>> = []
    const make = (side: 0 | 1): Reader => {
      let made!: Reader
      ends.push(new Promise((resolve) => (made = reader(side, resolve))))
      return made
    }
    this.readers = [make(0), make(1)]
    this.bothEnded = Promise.all(ends)
  }

  get reconnects(): number {
    return this.readers[0].reconnects + this.readers[1].reconnects
  }

  /** Says every line, ends the interaction, and waits until both sides have seen the end. */
  async run(onProgress: () => void): Promise<void> {
    for (const [i, line] of this.conversation.messages.entries()) {
      await pause(this.manner.chance() * this.manner.paceMillis)
      await this.say(line.from === 1 ? 0 : 1, line.text, `line-${i}`)
      onProgress()
    }
    const leaver = this.manner.chance() < 0.5 ? 0 : 1
    await this.people[leaver].end(this.interactionId).catch((error: unknown) => {
      // An earlier try may have ended it without its answer coming through.
      if (!(error instanceof GraphqlFailure) || error.code !== "INTERACTION_ENDED") throw error
    })
    await within(this.bothEnded, deliveryMillisMax)
    for (const reader of this.readers) reader.stop()
  }

  private async say(side: 0 | 1, body: string, clientKey: string): Promise<void> {
    const reader = this.readers[side === 0 ? 1 : 0]
    const dropping = this.manner.chance()
    const started = performance.now()
    const delivered = new Promise<void>((resolve) => {
      this.waiting.set(clientKey, () => {
        this.deliveryMillis.push(performance.now() - started)
        this.waiting.delete(clientKey)
        resolve()
      })
    })
    // About one message in eight meets a reader that is gone, or that goes while the message is on its way.
    if (dropping < 0.06) reader.drop()
    else if (dropping < 0.12) setTimeout(() => reader.drop(), this.manner.chance() * 10)
    try {
      const said = await this.people[side].say(this.interactionId, clientKey, body)
      this.ackMillis.push(performance.now() - started)
      this.acknowledged.push(said)
    } catch (error) {
      if (!(error instanceof GraphqlFailure)) throw error
      this.waiting.delete(clientKey)
      this.refused.push(`${error.code}: ${error.message}`)
      return
    }
    await within(delivered, deliveryMillisMax)
  }
}

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Whether it came within the time. */
const within = async (promise: Promise<unknown>, millis: number): Promise<boolean> => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), millis)))
  const came = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return came
}
