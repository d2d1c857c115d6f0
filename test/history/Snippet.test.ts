import { expect, test } from "bun:test"
import * as fc from "fast-check"
import { read } from "../../src/history/Asked.ts"
import { escapeHtml, snippet, snippetWordsMax } from "../../src/history/Snippet.ts"

const shown = (body: string, asked: string): string => snippet(body, read(asked).marked, asked)

test("words that were asked for are marked, whatever their case, and the rest is escaped", () => {
  expect(shown("Tea & <b>tea</b> time", "tea")).toBe("<mark>Tea</mark> &amp; &lt;b&gt;<mark>tea</mark>&lt;/b&gt; time")
})

test("excluded words are not marked", () => {
  expect(shown("tea time", "time -tea")).toBe("tea <mark>time</mark>")
})

test("text without words is marked as it stands", () => {
  expect(shown("so funny 😂 & more", "😂")).toBe("so funny <mark>😂</mark> &amp; more")
})

test("a long text is cut around the words that were asked for", () => {
  const body = `${"lead ".repeat(100)}needle and thread${" tail".repeat(100)}`
  const html = shown(body, "needle thread")
  expect(html).toContain("<mark>needle</mark> and <mark>thread</mark>")
  expect(html.startsWith("… ") && html.endsWith(" …")).toBe(true)
  expect(html.split(" ").length).toBeLessThanOrEqual(snippetWordsMax + 2)
})

test("what is asked for is marked within text that has no spaces, and that is cut too", () => {
  expect(shown("私は猫が好きです", "猫 好き")).toBe("私は<mark>猫</mark>が<mark>好き</mark>です")
  expect(shown("ฉันชอบแมวมาก", "แมว")).toBe("ฉันชอบ<mark>แมว</mark>มาก")
  const html = shown(`${"東".repeat(2_000)}猫${"京".repeat(1_999)}`, "猫")
  expect(html).toContain("東<mark>猫</mark>")
  expect(html.length).toBeLessThanOrEqual(8 * snippetWordsMax + 20)
})

test("whatever the text, a snippet holds no markup but our marks", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme", minLength: 1 }), (body, asked) => {
      const html = shown(body + asked + body, asked)
      const bare = html.replaceAll("<mark>", "").replaceAll("</mark>", "")
      expect(bare).not.toMatch(/[<>"']/)
      expect(escapeHtml(body + asked + body)).toContain(bare.replace(/^… | …$/g, ""))
    })
  )
})
