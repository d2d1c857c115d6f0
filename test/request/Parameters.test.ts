import { expect, test } from "bun:test"
import { BadRequest } from "../../src/errors.ts"
import type { Incoming } from "../../src/request/Incoming.ts"
import * as Parameters from "../../src/request/Parameters.ts"

const sha256 = "0123456789abcdef".repeat(4)

test("a GET says the same as a POST", () => {
  const asked = {
    query: "query A($n: Int) { a } query B { b }",
    operationName: "A",
    variables: { n: 1 },
    extensions: { persistedQuery: { version: 1, sha256Hash: sha256 } }
  }
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(asked))
    search.set(name, typeof value === "string" ? value : JSON.stringify(value))
  const meant = { query: asked.query, operationName: "A", variables: { n: 1 }, sha256 }
  expect(Parameters.fromJson(JSON.stringify(asked))).toEqual(meant)
  expect(Parameters.fromSearch(`?${search}`)).toEqual(meant)
})

test("what is not said is not there, said as null or not at all", () => {
  const bare = { query: "{ a }", operationName: undefined, variables: {}, sha256: undefined }
  expect(Parameters.fromJson(`{"query":"{ a }","operationName":null,"variables":null,"extensions":null}`)).toEqual(bare)
  expect(Parameters.fromSearch("?query={ a }&variables=&extensions=")).toEqual(bare)
  expect(
    Parameters.fromRecord({ query: "", extensions: { persistedQuery: { version: 1, sha256Hash: sha256 } } })
  ).toEqual({
    ...bare,
    query: undefined,
    sha256
  })
})

test("what is wrong is said", () => {
  const wrong = (outcome: unknown): string => (outcome instanceof BadRequest ? outcome.message : "right")
  expect(["", "{", "[]", "1", "null"].map((body) => wrong(Parameters.fromJson(body)))).toEqual([
    "The body is empty: send JSON with a `query`",
    "The body is not JSON",
    "Batches are not accepted: send one operation a request",
    "The body must be a JSON object with a `query`",
    "The body must be a JSON object with a `query`"
  ])
  const cases: ReadonlyArray<readonly [object, string]> = [
    [{}, "`query`"],
    [{ query: 1 }, "`query`"],
    [{ query: "{ a }", operationName: 1 }, "`operationName`"],
    [{ query: "{ a }", variables: [] }, "`variables`"],
    [{ query: "{ a }", variables: "{}" }, "`variables`"],
    [{ query: "{ a }", extensions: [] }, "`extensions`"],
    ...[
      {},
      { version: 2, sha256Hash: sha256 },
      { version: 1, sha256Hash: sha256.toUpperCase() },
      { version: 1 },
      7
    ].map(
      (persistedQuery) => [{ query: "{ a }", extensions: { persistedQuery } }, "`extensions.persistedQuery`"] as const
    )
  ]
  for (const [given, names] of cases)
    expect([given, wrong(Parameters.fromRecord({ ...given }))]).toEqual([given, expect.stringContaining(names)])
  expect(wrong(Parameters.fromSearch("?query={ a }&variables={"))).toBe("`variables` is not JSON")
})

test("JSON is JSON in UTF-8, however it is written", () => {
  const is = (type: string | undefined) => Parameters.isJson({ header: () => type } as Partial<Incoming> as Incoming)
  for (const yes of [
    "application/json",
    "Application/JSON; charset=UTF-8",
    'application/json;charset="utf-8"',
    "application/json; x=1"
  ])
    expect([yes, is(yes)]).toEqual([yes, true])
  for (const no of [
    undefined,
    "",
    "text/plain",
    "application/jsonp",
    "application/json; charset=utf-16",
    "text/plain; application/json"
  ])
    expect([no, is(no)]).toEqual([no, false])
})
