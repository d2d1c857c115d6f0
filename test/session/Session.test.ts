import { expect, test } from "bun:test"
import * as fc from "fast-check"
import type * as Ids from "../../src/domain/Ids.ts"
import { fromText, Role, type Session, toText } from "../../src/session/Session.ts"

const date = fc.date({ min: new Date(0), max: new Date("3000-01-01"), noInvalidDate: true })

const sessions: fc.Arbitrary<Session> = fc.record({
  id: fc.uuid().map((id) => id as Ids.SessionId),
  userId: fc.uuid().map((id) => id as Ids.UserId),
  role: fc.constantFrom(...Role.literals),
  createdAt: date,
  lastUsedAt: date,
  expiresAt: date,
  userAgent: fc.option(fc.string({ unit: "binary" }))
})

test("a session's text in the Store says the same session", () => {
  fc.assert(fc.property(sessions, (session) => expect(fromText(toText(session))).toEqual(session)))
})

test("the mark of an ended session and what others wrote are no sessions", () => {
  for (const text of ["", "ended", "s1", `["0193f1c2-7a51-7c07-9c9e-3a1b2c3d4e5f"]`])
    expect(fromText(text)).toBeUndefined()
})
