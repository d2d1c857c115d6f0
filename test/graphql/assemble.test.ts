import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { printSchema } from "graphql"
import { assemble } from "../../src/graphql/assemble.ts"
import type { Part } from "../../src/graphql/Part.ts"
import { field, plain } from "../../src/graphql/Part.ts"

const nothing = plain(() => null)
const stats: Part = { Query: { queueStats: nothing } }

describe("the served schema", () => {
  test("has the root fields that parts resolve, and the types that they lead to", () => {
    const sdl = printSchema(assemble([stats, { Mutation: { leaveQueue: nothing } }]))
    expect(sdl).toContain("queueStats: QueueStats!")
    expect(sdl).toContain("leaveQueue: Boolean!")
    expect(sdl).not.toContain("joinQueue")
    expect(sdl).not.toContain("type User")
    expect(sdl).not.toContain("Subscription")
  })

  test("lacks fields that need a resolver and have none, and never shows the mark", () => {
    const viewer: Part = { Query: { viewer: nothing } }
    const bare = printSchema(assemble([viewer]))
    expect(bare).not.toContain("unreadCount")
    expect(bare).not.toContain("blocked")
    expect(bare).not.toContain("resolved")
    const counted = printSchema(assemble([viewer, { types: { Viewer: { unreadCount: nothing } } }]))
    expect(counted).toContain("unreadCount: Int!")
  })

  test("serves node(id) for the types that some part finds, however they are reached", () => {
    const sdl = printSchema(assemble([stats, { nodes: { Report: () => null } }]))
    expect(sdl).toContain("node(id: ID!): Node")
    expect(sdl).toContain("type Report implements Node")
    expect(sdl).not.toContain("type AuditEntry")
  })

  test("a program without queries still has a Query", () => {
    expect(printSchema(assemble([{ Mutation: { leaveQueue: nothing } }]))).toContain("service: String!")
  })
})

describe("parts that do not fit do not start", () => {
  const refused = (parts: ReadonlyArray<Part>, says: string) => expect(() => assemble(parts)).toThrow(says)

  test("two parts may add to one type, but not resolve one field", () => {
    const presence: Part = { types: { User: { presence: nothing } } }
    const id = field(
      Schema.Struct({ id: Schema.optional(Schema.String), handle: Schema.optional(Schema.String) }),
      () => null
    )
    expect(() => assemble([{ Query: { user: id } }, presence, { types: { User: { bio: nothing } } }])).not.toThrow()
    refused([stats, stats], "Query.queueStats is resolved by two parts")
    refused([presence, presence], "User.presence is resolved by two parts")
    refused([{ nodes: { User: () => null } }, { nodes: { User: () => null } }], "User is resolved by two parts")
  })

  test("what the contract does not have is named, all of it", () => {
    const part: Part = {
      Query: { nonsense: nothing },
      types: { User: { shoeSize: nothing }, Elf: { name: nothing } },
      nodes: { QueueStats: () => null }
    }
    refused([part], "Query.nonsense is not in the SDL; User.shoeSize is not in the SDL; Elf.name is not in the SDL")
    refused([part], "QueueStats is not a Node of the SDL")
  })

  test("arguments and their Schema must agree", () => {
    refused([{ Query: { interaction: nothing } }], "Query.interaction(id) has no Schema")
    const extra = Schema.Struct({ id: Schema.String, depth: Schema.Int })
    refused([{ Query: { interaction: field(extra, () => Effect.void) } }], "Query.interaction(depth) is not in the SDL")
  })

  test("arguments that take any key are refused: one of them is __proto__", () => {
    const any = Schema.Record({ key: Schema.String, value: Schema.String })
    const wide = Schema.Struct({ input: Schema.Array(Schema.Struct({ deeper: Schema.optional(any) })) })
    const part: Part = { Mutation: { updateProfile: field(wide, () => null) } }
    expect(() => assemble([part])).toThrow(/Mutation.updateProfile takes keys that its Schema does not name/)
  })
})
