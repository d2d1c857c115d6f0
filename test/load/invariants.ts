import type { Said } from "./Person.ts"
import type { Part, VirtualUser } from "./VirtualUser.ts"

/** Time for the readers to catch up with what the server says was the last number. */
const catchUpMillisMax = 5_000

/** Messages in a page of the history. */
const pageSize = 50

const caughtUp = async (part: Part, lastSeq: number): Promise<boolean> => {
  for (const until = performance.now() + catchUpMillisMax; performance.now() < until;) {
    if (part.reader.seen >= lastSeq) return true
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return false
}

const same = (a: Said, b: Said): boolean =>
  a.seq === b.seq && a.clientKey === b.clientKey && a.body === b.body && a.senderId === b.senderId

/** What one user's stream and acknowledgements say against the history. */
const judgePart = async (user: VirtualUser, part: Part): Promise<ReadonlyArray<string>> => {
  const where = `${user.person.handle} in ${part.interactionId}`
  const wrong: Array<string> = []
  const { lastSeq, said } = await user.person.history(part.interactionId, pageSize)
  if (!(await caughtUp(part, lastSeq))) wrong.push(`${where}: the stream stopped at ${part.reader.seen} of ${lastSeq}`)
  for (const { after, got } of part.reader.wrong) wrong.push(`${where}: number ${got} came after ${after}`)
  for (const acknowledged of part.acknowledged)
    if (!said.some((other) => same(other, acknowledged)))
      wrong.push(`${where}: message ${acknowledged.seq} was acknowledged and is not in the history`)
  for (let i = 1; i < part.acknowledged.length; i++)
    if (part.acknowledged[i]!.seq <= part.acknowledged[i - 1]!.seq)
      wrong.push(`${where}: message ${part.acknowledged[i]!.seq} was sent after ${part.acknowledged[i - 1]!.seq}`)
  const received = part.reader.received
  if (received.length !== said.length || !received.every((message, i) => same(message, said[i]!)))
    wrong.push(`${where}: the stream gave ${received.length} messages, the history has ${said.length}, or they differ`)
  return wrong
}

/** Matches of one user: at most one for each join, never with themselves, never with someone blocked before both joined. */
const judgeMatches = (user: VirtualUser, users: ReadonlyArray<VirtualUser>): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const { person } = user
  if (person.matches.length > user.joinedAt.length)
    wrong.push(`${person.handle}: ${person.matches.length} matches from ${user.joinedAt.length} joins`)
  for (const { interactionId, userIds } of person.matches) {
    if (userIds.length !== 2 || new Set(userIds).size !== 2) wrong.push(`${person.handle}: matched with themselves`)
    const partner = users.find((other) => other !== user && userIds.includes(other.person.id))
    const blockedAt = partner === undefined ? undefined : user.blockedAt.get(partner.person.id)
    const matchedAt = user.matchedAt.get(interactionId) ?? 0
    const lastJoin = user.joinedAt.filter((at) => at < matchedAt).at(-1)
    if (blockedAt !== undefined && lastJoin !== undefined && blockedAt < lastJoin)
      wrong.push(`${person.handle}: matched with ${partner!.person.handle}, who was blocked before`)
  }
  return wrong
}

/** Everything that is wrong after a plan; empty when all invariants hold. */
export const judge = async (users: ReadonlyArray<VirtualUser>): Promise<ReadonlyArray<string>> => {
  const present = users.filter((user) => user.person.id !== "")
  const parts = await Promise.all(present.flatMap((user) => user.parts.map((part) => judgePart(user, part))))
  return [
    ...present.flatMap((user) => user.surprises),
    ...present.flatMap((user) => judgeMatches(user, users)),
    ...parts.flat()
  ]
}
