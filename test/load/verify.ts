import type { Dialogue } from "./Dialogue.ts"
import type { Person, Said } from "./Person.ts"

/** What was wrong, counted; `examples` are a few lines for people. */
export interface Verdict {
  lost: number
  duplicated: number
  reordered: number
  historyMismatches: number
  doubleMatches: number
  readonly examples: Array<string>
}

const examplesMax = 20

const note = (verdict: Verdict, example: string): void => {
  if (verdict.examples.length < examplesMax) verdict.examples.push(example)
}

/** What each side's stream showed, held against what was acknowledged. */
export const verifyDelivery = (verdict: Verdict, dialogue: Dialogue): void => {
  for (const side of [0, 1] as const) {
    const reader = dialogue.readers[side]
    const where = `${dialogue.interactionId} as ${dialogue.people[side].handle}`
    const times = new Map<string, number>()
    for (const said of reader.received) times.set(said.clientKey, (times.get(said.clientKey) ?? 0) + 1)
    for (const said of dialogue.acknowledged) {
      const got = reader.received.find((other) => other.clientKey === said.clientKey)
      if (got === undefined) {
        verdict.lost++
        note(verdict, `${where}: message ${said.seq} was acknowledged and never arrived`)
      } else if (got.body !== said.body || got.seq !== said.seq || got.senderId !== said.senderId) {
        verdict.historyMismatches++
        note(verdict, `${where}: message ${said.seq} arrived different from what was acknowledged`)
      }
    }
    for (const [clientKey, count] of times)
      if (count > 1) {
        verdict.duplicated += count - 1
        note(verdict, `${where}: ${clientKey} arrived ${count} times`)
      }
    verdict.reordered += reader.wrong.length
    for (const { after, got } of reader.wrong) note(verdict, `${where}: number ${got} came after ${after}`)
    if (!reader.ended) {
      verdict.lost++
      note(verdict, `${where}: the end of the interaction never arrived`)
    }
  }
}

const searchQuery = /* GraphQL */ `
  query Search($text: String!, $id: ID!, $after: Cursor) {
    searchMessages(text: $text, interactionId: $id, first: 50, after: $after) {
      edges {
        node {
          message {
            seq
            body
          }
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`
interface SearchPage {
  readonly searchMessages: {
    readonly edges: ReadonlyArray<{
      readonly node: { readonly message: { readonly seq: number; readonly body: string } }
    }>
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null }
  }
}

/** The two longest plain words of a text: what a person would type to find it again. */
const wordsOf = (text: string): string =>
  (text.match(/(?<![\p{L}\p{N}'’_@./:&-])\p{L}{4,}(?![\p{L}\p{N}'’_@./:&-])/gu) ?? [])
    .sort((a, b) => b.length - a.length)
    .slice(0, 2)
    .join(" ")

const found = async (person: Person, interactionId: string, said: Said): Promise<boolean> => {
  const text = wordsOf(said.body ?? "")
  if (text === "") return true
  let after: string | null = null
  for (let page = 0; page < 20; page++) {
    const { searchMessages }: SearchPage = await person.client.call<SearchPage>(searchQuery, {
      text,
      id: interactionId,
      after
    })
    if (searchMessages.edges.some(({ node }) => node.message.seq === said.seq && node.message.body === said.body))
      return true
    if (!searchMessages.pageInfo.hasNextPage) return false
    after = searchMessages.pageInfo.endCursor
  }
  return false
}

/** Messages in a page of the history: few, so that most interactions take several. */
const pageSize = 20

/** Messages of each interaction that are searched for. */
const searchesPerInteraction = 3

/** History, page by page and by search, held against what was said, to the byte. */
export const verifyHistory = async (verdict: Verdict, dialogue: Dialogue, chance: () => number): Promise<void> => {
  const { acknowledged, conversation, interactionId } = dialogue
  const reader = dialogue.people[chance() < 0.5 ? 0 : 1]
  const { said: kept } = await reader.history(interactionId, pageSize)
  const spoken = acknowledged.map((said) => ({
    ...said,
    body: conversation.messages[Number(said.clientKey.slice(5))]!.text
  }))
  for (let i = 0; i < Math.max(kept.length, spoken.length); i++) {
    const [a, b] = [kept[i], spoken[i]]
    if (a?.seq === b?.seq && a?.clientKey === b?.clientKey && a?.body === b?.body && a?.senderId === b?.senderId)
      continue
    verdict.historyMismatches++
    note(verdict, `${interactionId}: history differs at message ${i + 1} of ${spoken.length}`)
  }
  for (let i = 0; i < Math.min(searchesPerInteraction, spoken.length); i++) {
    const said = spoken[Math.floor(chance() * spoken.length)]!
    if (await found(reader, interactionId, said)) continue
    verdict.historyMismatches++
    note(verdict, `${interactionId}: a search for "${wordsOf(said.body)}" does not find message ${said.seq}`)
  }
}

/** Nobody matched twice, with themselves, or with someone blocked; both sides told the same. */
export const verifyMatches = (verdict: Verdict, people: ReadonlyArray<Person>, blocks: ReadonlySet<string>): void => {
  for (const person of people) {
    const wrong =
      person.matches.length > 1 ||
      person.matches.some(
        ({ userIds }) =>
          userIds.length !== 2 ||
          new Set(userIds).size !== 2 ||
          !userIds.includes(person.id) ||
          blocks.has(userIds.join(" ")) ||
          blocks.has([...userIds].reverse().join(" "))
      )
    if (!wrong) continue
    verdict.doubleMatches++
    note(verdict, `${person.handle} was matched wrongly: ${JSON.stringify(person.matches)}`)
  }
}
