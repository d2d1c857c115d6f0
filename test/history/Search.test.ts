import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fc from "fast-check"
import { NotFound } from "../../src/errors.ts"
import * as Cursor from "../../src/graphql/Cursor.ts"
import * as History from "../../src/history/History.ts"
import { wordsOf } from "../../src/history/Words.ts"
import * as Talk from "../interaction/Talk.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { realTexts, said } from "./Talks.ts"

const layer = History.layer.pipe(
  Layer.provideMerge(Layer.merge(Postgres.layerDatabase, Cursor.layerSecret("a secret of the tests")))
)

/** All bodies that a search finds, over all pages. */
const bodies = (viewerId: Talk.Person, text: string, first = 100) =>
  Effect.gen(function* () {
    const history = yield* History.History
    const found: Array<string | null> = []
    let after: string | null = null
    do {
      const page: Effect.Effect.Success<ReturnType<typeof history.search>> = yield* history.search({
        viewerId,
        text,
        interactionId: null,
        first,
        after
      })
      found.push(...page.edges.map(({ node }) => node.message.body))
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null
    } while (after !== null)
    return found
  })

withLayer("a search of messages", layer, (it) => {
  it(
    "finds each message by each of its words, by its whole text and by the text in quotes",
    () =>
      Effect.gen(function* () {
        const { ada, id } = yield* Talk.between()
        const texts = realTexts(120)
        yield* said(id, ada, texts)
        const missed: Array<string> = []
        const check = (text: string, query: string) =>
          Effect.map(bodies(ada, query), (found) => {
            if (!found.includes(text)) missed.push(`${query} → ${text}`)
          })
        for (const [n, text] of texts.entries()) {
          yield* check(text, text)
          yield* check(text, `"${text}"`)
          if (n % 20 !== 0 && n < texts.length - 6) continue
          for (const word of new Set([...text.split(/\s+/), ...wordsOf(text).map((found) => found.text)])) {
            if (word !== "") yield* check(text, word)
          }
        }
        expect(missed).toEqual([])
      }),
    60_000
  )

  it("splits words as Postgres does", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      const sql = yield* SqlClient.SqlClient
      yield* said(id, ada, realTexts(300))
      const rows = yield* sql<{ readonly body: string; readonly words: ReadonlyArray<string> }>`
select body, tsvector_to_array(search) as words from messages where interaction_id = ${id}::uuid`
      for (const { body, words } of rows) {
        const ours = new Set(wordsOf(body).map(({ text }) => text.toLowerCase()))
        // Upper case outside ASCII depends on the locale of the database.
        expect(words.map((word) => word.toLowerCase()).sort()).toEqual([...ours].sort())
      }
    }))

  it("understands quotes, or, and exclusion", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      yield* said(id, ada, ["red cats sleep", "cats red", "blue dogs", "red dogs", "sum -green"])
      expect((yield* bodies(ada, '"red cats"')).sort()).toEqual(["red cats sleep"])
      expect((yield* bodies(ada, "red cats")).sort()).toEqual(["cats red", "red cats sleep"])
      expect((yield* bodies(ada, "blue or sleep")).sort()).toEqual(["blue dogs", "red cats sleep"])
      expect((yield* bodies(ada, "red -cats")).sort()).toEqual(["red dogs"])
      expect((yield* bodies(ada, "dogs -blue")).sort()).toEqual(["red dogs"])
      expect((yield* bodies(ada, "sum -green")).sort()).toEqual(["sum -green"])
      expect((yield* bodies(ada, "-blue")).sort()).toEqual(["blue dogs"])
    }))

  it("finds what stands within text that has no spaces between words", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      const texts = [
        "私は猫が好きです",
        "犬と猫",
        "東京タワーに行きました。楽しい",
        "ฉันชอบแมวมาก",
        "한국어로 이야기해요",
        "iPhoneケース",
        "鳥_魚\\100%の"
      ]
      yield* said(id, ada, texts)
      const found = (text: string) => Effect.map(bodies(ada, text), (all) => [...all].sort())
      expect(yield* found("猫")).toEqual(["犬と猫", "私は猫が好きです"].sort())
      expect(yield* found("猫 好き")).toEqual(["私は猫が好きです"])
      expect(yield* found("猫 -犬")).toEqual(["私は猫が好きです"])
      expect(yield* found("犬 or タワー")).toEqual(["東京タワーに行きました。楽しい", "犬と猫"].sort())
      expect(yield* found('"行きました。楽しい"')).toEqual(["東京タワーに行きました。楽しい"])
      expect(yield* found("แมว")).toEqual(["ฉันชอบแมวมาก"])
      expect(yield* found("한국어")).toEqual(["한국어로 이야기해요"])
      expect(yield* found("iphoneケース")).toEqual(["iPhoneケース"])
      expect(yield* found("鳥_魚\\100%の")).toEqual(["鳥_魚\\100%の"])
      expect(yield* found("鳥%の")).toEqual([])
      expect(yield* found("好き 犬")).toEqual([])
      expect(yield* found("-猫")).toEqual(["犬と猫", "私は猫が好きです"].sort())
    }))

  it("never fails on any text, and never shows what is not the viewer's or not visible", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      const other = yield* Talk.between()
      const sql = yield* SqlClient.SqlClient
      yield* said(id, ada, ["mine 😂 a & b", "gone mine"])
      yield* sql`update messages set state = 2 where interaction_id = ${id}::uuid and seq = 2`
      yield* said(other.id, other.ada, ["mine too, but elsewhere 😂"])
      expect(yield* bodies(ada, "mine")).toEqual(["mine 😂 a & b"])
      expect(yield* bodies(ada, "😂")).toEqual(["mine 😂 a & b"])
      const odd = [
        "'",
        '"',
        "\\",
        "%",
        "_",
        "a:*",
        "!",
        "!!a",
        "&",
        "|",
        "<->",
        "(",
        ")",
        "a <2> b",
        ":",
        "-",
        '-"',
        '""',
        '"a',
        "or",
        "or or",
        "- -a",
        "\n",
        "´",
        "😂",
        "\u200b",
        "a".repeat(4_000),
        '"'.repeat(4_000),
        "é".repeat(3_000),
        "猫 ".repeat(2_000),
        '猫 or -"犬 or',
        "-猫"
      ]
      const texts = [
        ...odd,
        ...fc.sample(
          fc.array(fc.constantFrom(...odd.slice(0, 26), "mine", " "), { maxLength: 12 }).map((a) => a.join("")),
          {
            numRuns: 100,
            seed: 7
          }
        ),
        ...fc.sample(fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }), { numRuns: 100, seed: 7 })
      ].filter((text) => text !== "" && !text.includes("\u0000"))
      for (const text of texts) {
        for (const body of yield* bodies(ada, text)) expect(body).toBe("mine 😂 a & b")
      }
    }))

  it("pages by rank without loss or doubles, and is no oracle for other people's interactions", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      yield* said(
        id,
        ada,
        Array.from({ length: 23 }, (_, n) => `tea ${"tea ".repeat(n % 5)}number ${n}`)
      )
      const all = yield* bodies(ada, "tea")
      expect(new Set(all).size).toBe(23)
      for (const first of [1, 4, 22, 23]) expect(yield* bodies(ada, "tea", first)).toEqual(all)
      const stranger = yield* Talk.person
      const history = yield* History.History
      const asked = { viewerId: stranger, text: "tea", interactionId: id, first: 5, after: null }
      expect(yield* Effect.flip(history.search(asked))).toEqual(new NotFound({ what: "Interaction" }))
    }))
})
