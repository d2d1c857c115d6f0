import { beforeAll, expect, test } from "bun:test"
import { runCommand } from "../kit/command.ts"
import { startServer } from "../kit/server.ts"
import { Dialogue } from "../load/Dialogue.ts"
import { Person } from "../load/Person.ts"

const talk = {
  id: "runtimes",
  interests: [["tea"], ["tea"]],
  messages: [
    { from: 1, text: "Hello" },
    { from: 2, text: "Hello yourself 🙂" },
    { from: 1, text: "50% off?" }
  ]
} as const

/** Signs up two people, queues them, lets them be matched and talk. */
const twoPeopleTalk = async (url: string): Promise<Dialogue> => {
  const people = [new Person(url, "ada_first", ["tea"]), new Person(url, "grace_second", ["tea"])] as const
  await Promise.all(people.map((person) => person.arrive()))
  const matches = people.map(
    (person) => new Promise<string>((resolve) => person.watchInbox(({ interactionId }) => resolve(interactionId)))
  )
  for (const person of people) await person.join()
  const [first, second] = await Promise.all(matches)
  expect(first).toBe(second!)
  const dialogue = new Dialogue(first!, people, talk, () => 0.5)
  await dialogue.run(() => undefined)
  for (const person of people) person.leave()
  return dialogue
}

beforeAll(async () => {
  const { code, stdout, stderr } = await runCommand([process.execPath, "run", "build"])
  expect(`${stdout}${stderr}`.slice(code === 0 ? -1 : 0).trim()).toBe("")
}, 60_000)

const runtimes = {
  Bun: [process.execPath, "services/all.ts"],
  Node: ["node", "build/services/all.js"],
  Deno: ["node_modules/.bin/deno", "task", "start"]
}
for (const [name, command] of Object.entries(runtimes))
  test(`on ${name}, two people sign up, queue, are matched and talk`, async () => {
    const server = await startServer({}, command)
    try {
      const { acknowledged, readers, refused } = await twoPeopleTalk(server.url)
      expect(refused).toEqual([])
      expect(acknowledged.map((said) => said.body)).toEqual(talk.messages.map((said) => said.text))
      for (const reader of readers) expect(reader.received).toEqual(acknowledged)
    } finally {
      await server.stop()
    }
  }, 60_000)
