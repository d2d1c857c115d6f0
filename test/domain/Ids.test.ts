import { expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Ids from "../../src/domain/Ids.ts"

test("what is not the id that is asked for is refused with the article that its type takes", () => {
  const messageOf = (type: Ids.NodeType) =>
    Either.getOrThrow(
      Either.flip(Schema.decodeUnknownEither(Ids.Global(type, Ids.UserId))(Ids.toGlobal("Report", crypto.randomUUID())))
    ).message
  expect(messageOf("User")).toContain("not the id of a User")
  expect(messageOf("Interaction")).toContain("not the id of an Interaction")
  expect(messageOf("AuditEntry")).toContain("not the id of an AuditEntry")
})
