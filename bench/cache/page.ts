import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import * as Compression from "../../src/cache/Compression.ts"
import { conversationsFile } from "../../test/kit/conversations.ts"
import { median } from "../kit.ts"

interface Conversation {
  readonly interests: readonly [ReadonlyArray<string>, ReadonlyArray<string>]
  readonly messages: ReadonlyArray<{ readonly from: 1 | 2; readonly text: string }>
}

const pageBytes = 6_000
const pagesMax = 100
/** Until the engine has compiled what is timed. */
const packsBefore = 5_000

const hex = (bytes: number) => randomBytes(bytes).toString("hex")
/** As our ids are: the time, then chance. */
const id = (type: string, at: number) => `${type}_${at.toString(16).padStart(12, "0")}7${hex(10).slice(1)}`
const cursor = () => randomBytes(60).toString("base64url")

const envelope = (edges: ReadonlyArray<unknown>, wrap: (connection: unknown) => unknown): string =>
  JSON.stringify({
    data: wrap({
      edges: edges.map((node) => ({ node })),
      pageInfo: { hasNextPage: true, hasPreviousPage: false, startCursor: cursor(), endCursor: cursor() }
    })
  })

/** As many of the nodes as make `pageBytes`. */
const fill = (nodes: ReadonlyArray<unknown>, wrap: (connection: unknown) => unknown): string => {
  let count = nodes.length
  while (count > 1 && Buffer.byteLength(envelope(nodes.slice(0, count), wrap)) > pageBytes) count--
  return envelope(nodes.slice(0, count), wrap)
}

const user = (n: number, interests: ReadonlyArray<string>, at: number) => ({
  id: id("usr", at),
  handle: `person_${n}`,
  displayName: `Person ${n}`,
  interests
})

const messages = ({ interests, messages }: Conversation, n: number): string => {
  let at = Date.UTC(2026, 10, 1 + (n % 28), 9)
  const people = [user(2 * n, interests[0], at - 1e9), user(2 * n + 1, interests[1], at - 1e9)]
  const nodes = messages.map(({ from, text }, index) => {
    at += 4_000 + ((index * 7_919) % 20_000)
    const { displayName, handle, id: sender } = people[from - 1]!
    return {
      id: id("msg", at),
      seq: index + 1,
      sender: { id: sender, handle, displayName },
      body: text,
      state: "VISIBLE",
      createdAt: new Date(at).toISOString()
    }
  })
  return fill(nodes, (connection) => ({ interaction: { id: id("int", at), messages: connection } }))
}

const history = (conversations: ReadonlyArray<Conversation>, n: number): string => {
  let at = Date.UTC(2026, 10, 20, 9)
  const viewer = user(1, conversations[n]!.interests[0], at - 1e9)
  const nodes = conversations.slice(n, n + 30).map((conversation, index) => {
    at -= 3_600_000 + ((index * 104_729) % 7_200_000)
    const last = conversation.messages.at(-1)!
    return {
      id: id("int", at),
      state: "ENDED",
      startedAt: new Date(at).toISOString(),
      endedAt: new Date(at + 900_000).toISOString(),
      endReason: "LEFT",
      lastSeq: conversation.messages.length + 1,
      participants: [{ user: viewer }, { user: user(n + index + 2, conversation.interests[1], at - 1e9) }],
      messages: { edges: [{ node: { body: last.text, createdAt: new Date(at + 800_000).toISOString() } }] }
    }
  })
  return fill(nodes, (connection) => ({ history: connection }))
}

/** `example`: a page of other people. */
const measured = (pages: ReadonlyArray<string>, example: string) => {
  const { pack } = Compression.make(Compression.dictionary(example))
  for (let i = 0; i < packsBefore; i++) pack(pages[i % pages.length]!)
  let bytes = 0
  let stored = 0
  const micros: Array<number> = []
  for (let round = 0; round < 20; round++) {
    for (const page of pages) {
      const began = performance.now()
      const { body } = pack(page)
      micros.push((performance.now() - began) * 1_000)
      bytes += Buffer.byteLength(page)
      stored += body.length
    }
  }
  return { bytes: bytes / micros.length, ratio: bytes / stored, micros: median(micros) }
}

/** Pages of about 6 kB as the gateway answers them: the list of past interactions, and the messages of one. */
export const compression = () => {
  const conversations = readFileSync(conversationsFile(), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Conversation)
  if (conversations.length < 2 * pagesMax)
    throw new Error(
      `pages are made of ${2 * pagesMax} real conversations: ../shared/data/conversations.jsonl is missing`
    )
  const some = conversations.slice(0, pagesMax)
  const others = conversations.slice(-pagesMax)
  const big = (page: string) => Buffer.byteLength(page) > pageBytes * 0.8
  return {
    history: measured(some.map((_, n) => history(conversations, n)).filter(big), history(others, 0)),
    messages: measured(some.map(messages).filter(big), others.map(messages).find(big)!)
  }
}
