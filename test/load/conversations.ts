import { readFileSync } from "node:fs"
import { Misuse } from "./tool.ts"

/** One line of a file of conversations. */
export interface Conversation {
  readonly id: string
  readonly interests: readonly [ReadonlyArray<string>, ReadonlyArray<string>]
  readonly messages: ReadonlyArray<{ readonly from: 1 | 2; readonly text: string }>
}

/** "National Football League" -> "national-football-league": the slug that `Interest` takes. "" when nothing is left. */
export const slug = (topic: string): string =>
  topic
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{Ll}\p{Lo}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 50)
    .replace(/-+$/, "")

/** The different interests of one person, at most 50. */
const interestsOf = (topics: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...new Set(topics.map(slug).filter((interest) => interest !== ""))].slice(0, 50)

const isText = (u: unknown): u is string => typeof u === "string"

const parse = (line: string, where: string): Conversation => {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new Misuse(`${where} is not JSON`)
  }
  const { id, interests, messages } = (value ?? {}) as Record<string, unknown>
  if (!isText(id)) throw new Misuse(`${where} has no "id"`)
  if (
    !Array.isArray(interests) ||
    interests.length !== 2 ||
    !interests.every((l) => Array.isArray(l) && l.every(isText))
  )
    throw new Misuse(`${where}: "interests" is not two lists of text`)
  if (!Array.isArray(messages)) throw new Misuse(`${where}: "messages" is not a list`)
  const [first, second] = [interests[0] as ReadonlyArray<string>, interests[1] as ReadonlyArray<string>]
  const said = messages.map((message: { from?: unknown; text?: unknown }, i) => {
    if ((message?.from !== 1 && message?.from !== 2) || !isText(message.text) || message.text.trim() === "")
      throw new Misuse(`${where}: message ${i + 1} is not { "from": 1 or 2, "text": … }`)
    return { from: message.from, text: message.text } as const
  })
  return { id, interests: [interestsOf(first), interestsOf(second)], messages: said }
}

/** The conversations of a file, one JSON object a line; throws Misuse with the line at fault. */
export const readConversations = (path: string): ReadonlyArray<Conversation> => {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (cause) {
    throw new Misuse(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  const conversations = text
    .split("\n")
    .map((line, i) => [line, `${path}, line ${i + 1}`] as const)
    .filter(([line]) => line.trim() !== "")
    .map(([line, where]) => parse(line, where))
  if (conversations.length === 0) throw new Misuse(`${path} has no conversations`)
  return conversations
}
