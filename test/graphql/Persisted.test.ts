import { expect, test } from "bun:test"
import * as Persisted from "../../src/graphql/Persisted.ts"

const text = "{ queueStats { waiting } }"
const sha256 = Persisted.hash(text)

test("a document is known by its hash once it has come with its text", () => {
  const documents = Persisted.automatic()
  expect(documents.textOf({ sha256 })).toMatchObject({ _tag: "PersistedQueryNotFound" })
  expect(documents.textOf({ sha256, query: text })).toBe(text)
  expect(documents.textOf({ sha256 })).toBe(text)
})

test("a text under a hash that is not its own is refused, and not kept", () => {
  const documents = Persisted.automatic()
  const other = Persisted.hash("{ viewer { role } }")
  expect(documents.textOf({ sha256: other, query: text })).toMatchObject({ _tag: "BadRequest" })
  expect(documents.textOf({ sha256: other })).toMatchObject({ _tag: "PersistedQueryNotFound" })
})

test("the store is bounded in documents and in size; what was used last stays", () => {
  const documents = Persisted.automatic()
  documents.textOf({ sha256, query: text })
  for (let n = 0; n < Persisted.documentsMax * 2; n++) {
    const query = `{ q${n}: queueStats { waiting } }`
    documents.textOf({ sha256: Persisted.hash(query), query })
    documents.textOf({ sha256 })
  }
  expect(documents.size()).toBe(Persisted.documentsMax)
  expect(documents.textOf({ sha256 })).toBe(text)
  const large = "#".repeat(Persisted.unitsMax)
  documents.textOf({ sha256: Persisted.hash(large), query: large })
  expect(documents.textOf({ sha256: Persisted.hash(large) })).toMatchObject({ _tag: "PersistedQueryNotFound" })
})

test("an allow-list knows its documents by hash and by their exact text, and nothing else", () => {
  const documents = Persisted.strict([text])
  expect(documents.textOf({ sha256 })).toBe(text)
  expect(documents.textOf({ query: text })).toBe(text)
  expect(documents.textOf({ query: `${text} ` })).toMatchObject({ _tag: "Forbidden" })
  expect(documents.textOf({ sha256: Persisted.hash("{ a }"), query: "{ a }" })).toMatchObject({ _tag: "Forbidden" })
  expect(documents.textOf({ sha256: Persisted.hash("{ a }") })).toMatchObject({ _tag: "Forbidden" })
})
