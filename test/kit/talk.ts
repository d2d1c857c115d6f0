import { expect } from "bun:test"
import { Dialogue } from "../load/Dialogue.ts"
import { Person } from "../load/Person.ts"

const conversation = {
  id: "talk",
  interests: [["tea"], ["tea"]],
  messages: [
    { from: 1, text: "Hello" },
    { from: 2, text: "Hello yourself 🙂" },
    { from: 1, text: "50% off?" }
  ]
} as const

let pairs = 0

/** Two people who have signed up, joined the queue and been matched with each other. */
export const twoMatched = async (
  url: string
): Promise<{ readonly people: readonly [Person, Person]; readonly interactionId: string }> => {
  const pair = `${Date.now().toString(36).slice(-6)}${pairs++}`
  const people = [new Person(url, `ada_${pair}`, ["tea"]), new Person(url, `grace_${pair}`, ["tea"])] as const
  await Promise.all(people.map((person) => person.arrive()))
  const matches = people.map(
    (person) => new Promise<string>((resolve) => person.watchInbox(({ interactionId }) => resolve(interactionId)))
  )
  for (const person of people) await person.join()
  const [first, second] = await Promise.all(matches)
  expect(first).toBe(second!)
  return { people, interactionId: first! }
}

/** Two people sign up, are matched, and say three lines; each is acknowledged, and both readers see all. */
export const twoPeopleTalk = async (url: string): Promise<void> => {
  const { interactionId, people } = await twoMatched(url)
  const dialogue = new Dialogue(interactionId, people, conversation, { chance: () => 0.5, paceMillis: 0 })
  await dialogue.run(() => undefined)
  for (const person of people) person.leave()
  expect(dialogue.refused).toEqual([])
  expect(dialogue.acknowledged.map((said) => said.body)).toEqual(conversation.messages.map((said) => said.text))
  for (const reader of dialogue.readers) expect(reader.received).toEqual(dialogue.acknowledged)
}
