import { parseArgs } from "node:util"
import { startServer } from "../kit/server.ts"
import { type Conversation, readConversations } from "./conversations.ts"
import { Dialogue } from "./Dialogue.ts"
import { Nodes, nodesMax } from "./Nodes.ts"
import { percentiles, seeded } from "./percentiles.ts"
import { Person, type Told } from "./Person.ts"
import { Misuse, runTool, whole } from "./tool.ts"
import { type Verdict, verifyDelivery, verifyHistory, verifyMatches } from "./verify.ts"

const help = `Plays a file of conversations through the public API and checks that nothing is lost, doubled, reordered or changed.

  bun run replay --file PATH [--url URL | --nodes N [--kill-every S]] [--interactions N] [--seed S] [--concurrency C]
                 [--pace MS]

  --file PATH         conversations, one JSON object a line: { id, interests: [[…], […]], messages: [{ from, text }] }
  --url URL           a running server (http://127.0.0.1:4000); without it, one is started on an empty data folder
  --nodes N           instead, starts N nodes of one cluster on a Postgres and a Redis of their own (redis-server on the
                      PATH), and spreads the people over them; whose node is gone goes on to the next
  --kill-every S      with --nodes: kill -9 for one node every S seconds; it is started again, and the next
                      one waits until it is back. 5 by default, 0 for never.
                      What a killed node looked after is at work again on the others after about 3 s
  --interactions N    how many conversations to play, from the first line on; all by default
  --seed S            the seed of every random choice; 1 by default
  --concurrency C     interactions that talk at the same time; 8 by default
  --pace MS           people take up to this long before they answer; 150 by default, 0 for as fast as possible

Each line brings two new users into the queue; some block the one they would fit best, and must not be matched with them
(the very last two take their block back). Whoever is matched with whom, the two say the lines of one conversation
in turn; readers drop their WebSocket at random moments and resume from the last number they saw.
The last line of the output is one JSON object. Exits with 1 when anything was lost, doubled, reordered or different.
`

interface Options {
  readonly conversations: ReadonlyArray<Conversation>
  /** The servers for the n-th person, to be tried in this order. */
  readonly urls: (person: number) => string | ReadonlyArray<string>
  readonly seed: number
  readonly concurrency: number
  readonly paceMillis: number
}

/** Nobody is matched for this long: the run fails instead of waiting for ever. */
const stalledMillisMax = 90_000
/** Sign-ups under way at once: each costs the server a password hash. */
const signUpsAtOnce = 4

class Replay {
  readonly verdict: Verdict = {
    lost: 0,
    duplicated: 0,
    reordered: 0,
    historyMismatches: 0,
    doubleMatches: 0,
    examples: []
  }
  readonly people: Array<Person> = []
  readonly dialogues: Array<Dialogue> = []
  private readonly pairs: Array<readonly [Person, Person]> = []
  private readonly blocks = new Set<string>()
  private readonly waiting = new Set<Person>()
  private readonly told = new Map<string, Array<readonly [Person, Told]>>()
  private readonly chance: () => number
  private readonly options: Options
  private readonly run = Date.now().toString(36).slice(-6)
  private messages = 0
  private verified = 0
  private arrived = false
  private talking = 0
  private finished = 0
  private lastMatch = performance.now()
  private failure: unknown
  private wake: () => void = () => undefined

  constructor(options: Options) {
    this.options = options
    this.chance = seeded(options.seed)
  }

  /** Brings everybody in, lets them talk, and verifies; the seconds it took to play. */
  async play(): Promise<number> {
    const started = performance.now()
    const progress = setInterval(() => this.show(), process.stderr.isTTY ? 250 : 2_000)
    try {
      await this.signUpEverybody()
      this.lastMatch = performance.now()
      await Promise.all([this.bringEverybody(), this.everybodyTalked()])
      const seconds = (performance.now() - started) / 1_000
      verifyMatches(this.verdict, this.people, this.blocks)
      await this.verifyAll()
      return seconds
    } finally {
      clearInterval(progress)
      for (const person of this.people) person.leave()
      this.show(true)
    }
  }

  /** First of all, as people do who come back to talk: hashing 400 passwords is another measurement. */
  private async signUpEverybody(): Promise<void> {
    const lines = this.options.conversations.entries()
    const signUps = async (): Promise<void> => {
      for (const [line, conversation] of lines) {
        const pair = [this.person(conversation, line, 0), this.person(conversation, line, 1)] as const
        this.pairs[line] = pair
        for (const person of pair) {
          await person.arrive()
          this.people.push(person)
        }
      }
    }
    await Promise.all(Array.from({ length: signUpsAtOnce }, signUps))
  }

  private person(conversation: Conversation, line: number, side: 0 | 1): Person {
    const handle = `r${this.run}_${this.options.seed % 1e6}_${line}_${side}`.slice(0, 24)
    return new Person(this.options.urls(2 * line + side), handle, conversation.interests[side])
  }

  private async bringEverybody(): Promise<void> {
    try {
      for (const pair of this.pairs) {
        // Arrivals keep a little ahead of the talk, as a queue in use does.
        while (this.failure === undefined && this.waiting.size + 2 * this.talking >= 2 * this.options.concurrency)
          await this.pause()
        if (this.failure !== undefined) return
        await this.bring(pair)
      }
      this.arrived = true
    } catch (error) {
      this.fail(error)
    }
  }

  private async bring(pair: readonly [Person, Person]): Promise<void> {
    // Now and then the two who would fit each other best must not meet.
    if (this.chance() < 0.05) {
      await pair[0].block(pair[1])
      this.blocks.add(`${pair[0].id} ${pair[1].id}`)
    }
    for (const person of pair) {
      this.waiting.add(person)
      person.watchInbox((told) => this.onMatch(person, told))
    }
    await Promise.all(pair.map((person) => person.join()))
  }

  private onMatch(person: Person, told: Told): void {
    this.lastMatch = performance.now()
    this.waiting.delete(person)
    const both = this.told.get(told.interactionId) ?? []
    both.push([person, told])
    this.told.set(told.interactionId, both)
    if (both.length !== 2) return
    const conversation = this.options.conversations[this.dialogues.length]
    if (conversation === undefined) return this.fail(new Error("more interactions than pairs of people"))
    const dialogue = new Dialogue(told.interactionId, [both[0]![0], both[1]![0]], conversation, {
      chance: this.chance,
      paceMillis: this.options.paceMillis
    })
    this.dialogues.push(dialogue)
    this.talking++
    dialogue
      .run(() => this.messages++)
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        for (const [each] of both) each.leave()
        this.talking--
        this.finished++
        this.wake()
      })
  }

  private async everybodyTalked(): Promise<void> {
    while (this.finished < this.options.conversations.length) {
      if (this.failure !== undefined) throw this.failure
      await this.pause()
      const still = performance.now() - this.lastMatch
      if (this.talking > 0) this.lastMatch = performance.now()
      else if (still > stalledMillisMax)
        this.fail(
          new Error(`nobody was matched for ${stalledMillisMax / 1_000} s; ${this.waiting.size} people still wait`)
        )
      else if (this.arrived && this.onlyBlocked()) await this.reconcile()
    }
  }

  /** Nobody is left whom the last ones waiting could be matched with. */
  private onlyBlocked(): boolean {
    const [a, b, ...more] = this.waiting
    if (a === undefined || b === undefined || more.length > 0) return false
    return this.blocks.has(`${a.id} ${b.id}`) || this.blocks.has(`${b.id} ${a.id}`)
  }

  /** The last ones waiting may have blocked each other: then nobody is left for them. */
  private async reconcile(): Promise<void> {
    for (const a of this.waiting)
      for (const b of this.waiting) if (this.blocks.delete(`${a.id} ${b.id}`)) await a.unblock(b)
  }

  private async verifyAll(): Promise<void> {
    const dialogues = this.dialogues.values()
    const verifier = async (): Promise<void> => {
      for (const dialogue of dialogues) {
        verifyDelivery(this.verdict, dialogue)
        await verifyHistory(this.verdict, dialogue, this.chance)
        this.verified++
      }
    }
    await Promise.all(Array.from({ length: 8 }, verifier))
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 100)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private fail(error: unknown): void {
    this.failure ??= error
    this.wake()
  }

  get reconnects(): number {
    return this.dialogues.reduce((sum, dialogue) => sum + dialogue.reconnects, 0)
  }

  private show(last = false): void {
    const total = this.options.conversations.length
    const line =
      `${this.people.length}/${2 * total} signed up, ${this.finished}/${total} interactions, ${this.messages} messages, ${this.reconnects} reconnects, ` +
      `${this.waiting.size} waiting, ${this.verified}/${total} verified`
    process.stderr.write(
      process.stderr.isTTY && !last ? `\r\u001b[K${line}` : `${process.stderr.isTTY ? "\r\u001b[K" : ""}${line}\n`
    )
  }
}

/** What a replay runs against. */
interface Servers {
  readonly urls: Options["urls"]
  /** Everything is ready: whatever is to happen to them may begin. */
  readonly begin: () => void
  readonly summary: () => object
  readonly stop: () => Promise<unknown>
}

const serversOf = async (values: {
  readonly url?: string | undefined
  readonly nodes?: string | undefined
  readonly "kill-every"?: string | undefined
}): Promise<Servers> => {
  if (values.nodes === undefined) {
    if (values["kill-every"] !== undefined) throw new Misuse("--kill-every goes with --nodes")
    const server = values.url === undefined ? await startServer() : undefined
    const url = (values.url ?? server!.url).replace(/\/$/, "")
    return { urls: () => url, begin: () => undefined, summary: () => ({}), stop: async () => server?.stop() }
  }
  if (values.url !== undefined) throw new Misuse("--nodes starts its own servers: it does not go with --url")
  const seconds = whole("kill-every", values["kill-every"], 5, 0)
  const size = whole("nodes", values.nodes, 3)
  if (size > nodesMax) throw new Misuse(`--nodes ${size} is more than ${nodesMax}`)
  const nodes = await Nodes.start(size, (what) =>
    process.stderr.write(`${process.stderr.isTTY ? "\r\u001b[K" : ""}${what}\n`)
  )
  return {
    urls: (person) => nodes.urls(person),
    begin: () => (seconds === 0 ? undefined : nodes.killEvery(seconds)),
    summary: () => ({ nodes: size, kills: nodes.kills }),
    stop: () => nodes.stop()
  }
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      file: { type: "string" },
      url: { type: "string" },
      interactions: { type: "string" },
      seed: { type: "string" },
      concurrency: { type: "string" },
      pace: { type: "string" },
      nodes: { type: "string" },
      "kill-every": { type: "string" },
      help: { type: "boolean", short: "h" }
    }
  })
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  if (values.file === undefined) throw new Misuse(`--file PATH is needed\n\n${help}`)
  const all = readConversations(values.file)
  const conversations = all.slice(0, whole("interactions", values.interactions, all.length))
  const seed = whole("seed", values.seed, 1)
  const concurrency = whole("concurrency", values.concurrency, 8)
  const paceMillis = whole("pace", values.pace, 150, 0)
  const servers = await serversOf(values)
  try {
    const replay = new Replay({ conversations, urls: servers.urls, seed, concurrency, paceMillis })
    servers.begin()
    const seconds = await replay.play()
    const { examples, ...verdict } = replay.verdict
    for (const example of examples) process.stdout.write(`${example}\n`)
    for (const refused of new Set(replay.dialogues.flatMap((d) => d.refused)))
      process.stdout.write(`refused by the server: ${refused}\n`)
    const summary = {
      interactions: replay.dialogues.length,
      messages: replay.dialogues.reduce((sum, d) => sum + d.acknowledged.length, 0),
      reconnects: replay.reconnects,
      ...servers.summary(),
      ...verdict,
      ackMillis: percentiles(replay.dialogues.flatMap((d) => d.ackMillis)),
      deliveryMillis: percentiles(replay.dialogues.flatMap((d) => d.deliveryMillis)),
      seconds: Math.round(seconds * 10) / 10
    }
    process.stdout.write(`${JSON.stringify(summary)}\n`)
    return Object.values(verdict).every((n) => n === 0) ? 0 : 1
  } finally {
    await servers.stop()
  }
}

// The servers are in groups of their own: without a word from us they would outlive a Ctrl-C.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1))

await runTool("replay", main)
