import { expect, test } from "bun:test"
import type { Catalog, ForeignKey, Index } from "../../src/database/optimizer/Catalog.ts"
import { redundant, unindexedKeys, unusedHours } from "../../src/database/optimizer/Redundant.ts"

/** An index of one table that is scanned, over columns in their usual order. */
const index = (name: string, columns: string, more: Partial<Index> = {}): Index => ({
  schema: "public",
  table: "orders",
  name,
  method: "btree",
  columns: columns.split(" ").map((text) => ({ text, form: "1 0 0" })),
  includes: false,
  unique: false,
  constraint: false,
  valid: true,
  predicate: null,
  bytes: 8_192,
  scans: 1,
  definition: "",
  ...more
})

const key = (...columns: ReadonlyArray<string>): ForeignKey => ({
  schema: "public",
  table: "orders",
  name: "orders_key",
  columns,
  target: "parents"
})

const catalog = (indexes: ReadonlyArray<Index>, foreignKeys: ReadonlyArray<ForeignKey> = []): Catalog => ({
  schema: "public",
  tables: [],
  indexes,
  foreignKeys,
  extensions: [],
  rare: [],
  hours: unusedHours
})

/** What goes, and why: `name kind keeper`. */
const going = (indexes: ReadonlyArray<Index>, foreignKeys?: ReadonlyArray<ForeignKey>): ReadonlyArray<string> =>
  redundant(catalog(indexes, foreignKeys), unusedHours).map((one) =>
    [one.index.name, one.kind, one.keeps?.name].join(" ").trim()
  )

test("of two equal indexes the one goes that less stands on, is used less, or comes later by its name", () => {
  expect(going([index("a", "x"), index("b", "x")])).toEqual(["b duplicate a"])
  expect(going([index("a", "x"), index("b", "x", { scans: 2 })])).toEqual(["a duplicate b"])
  expect(going([index("a", "x"), index("b", "x", { unique: true })])).toEqual(["a duplicate b"])
  expect(going([index("a", "x", { unique: true }), index("b", "x", { unique: true, constraint: true })])).toEqual([
    "a duplicate b"
  ])
  expect(going([index("a", "x", { constraint: true }), index("b", "x", { constraint: true })])).toEqual([])
})

test("an index that begins another one goes, unless something other than searching stands on it", () => {
  expect(going([index("a", "x"), index("b", "x y")])).toEqual(["a prefix b"])
  expect(going([index("a", "y"), index("b", "x y")])).toEqual([])
  for (const needed of [{ unique: true }, { constraint: true }, { includes: true }, { method: "gist" }])
    expect([needed, going([index("a", "x", needed), index("b", "x y", { method: needed.method ?? "btree" })])]).toEqual(
      [needed, []]
    )
})

test("what differs in more than its columns is not the same", () => {
  const others: ReadonlyArray<Partial<Index>> = [
    { table: "customers" },
    { schema: "archive" },
    { method: "hash" },
    { predicate: "(x > 0)" },
    { valid: false },
    { columns: [{ text: "x", form: "1 3 0" }] }
  ]
  for (const other of others) expect([other, going([index("a", "x"), index("b", "x", other)])]).toEqual([other, []])
})

test("a unique index is not replaced by one that allows more", () => {
  const attached = index("attached", "x", { constraint: true })
  expect(going([attached, index("a", "x", { unique: true })])).toEqual([])
  const strict = { unique: true, definition: "create unique index on orders using btree (x) NULLS NOT DISTINCT" }
  expect(going([index("a", "x", { unique: true }), index("b", "x", strict)])).toEqual(["a duplicate b"])
  expect(going([index("a", "x", { unique: true, constraint: true }), index("b", "x", strict)])).toEqual([])
})

test("an index that nobody scans goes when the statistics cover enough, and nobody needs it", () => {
  const idle = { scans: 0 }
  expect(going([index("a", "x", idle)])).toEqual(["a unused"])
  expect(redundant({ ...catalog([index("a", "x", idle)]), hours: unusedHours - 1 }, unusedHours)).toEqual([])
  expect(going([index("a", "x", { ...idle, unique: true })])).toEqual([])
  expect(going([index("a", "x", { ...idle, valid: false })])).toEqual([])
  // It does the work of one that goes.
  expect(going([index("a", "x"), index("b", "x y", idle)])).toEqual(["a prefix b"])
})

test("of the indexes that find a foreign key's rows the last one stays", () => {
  const idle = { scans: 0 }
  expect(going([index("a", "x", idle)], [key("x")])).toEqual([])
  expect(going([index("a", "x y", idle), index("b", "x z", idle)], [key("x")])).toEqual(["a unused"])
  expect(going([index("a", "y x", idle)], [key("x")])).toEqual(["a unused"])
})

test("a foreign key is found by an index that begins with its columns, in any order, with all rows that have them", () => {
  const has = (one: Index, ...columns: ReadonlyArray<string>) =>
    unindexedKeys(catalog([one], [key(...columns)])).length === 0
  expect([
    has(index("a", "x y"), "x"),
    has(index("a", "x y"), "y", "x"),
    has(index("a", '"Order"'), '"Order"')
  ]).toEqual([true, true, true])
  expect([
    has(index("a", "y x"), "x"),
    has(index("a", "x"), "x", "y"),
    has(index("a", "x", { method: "gin" }), "x")
  ]).toEqual([false, false, false])
  expect(has(index("a", "x", { predicate: "(x IS NOT NULL)" }), "x")).toBe(true)
  expect(has(index("a", "x", { predicate: "(state = 0)" }), "x")).toBe(false)
  expect(has(index("a", "x", { valid: false }), "x")).toBe(false)
})
