import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Conversations made up for the tests, in the form that `bun run replay` reads. */
const lines = [
  [
    ["Chess", "Open source"],
    ["chess", "Gardening"],
    ["Do you play?", "Badly! I open with 1. e4 and hope.", "Same here 🙂"]
  ],
  [
    ["Gardening"],
    ["Gardening", "Tea"],
    ["My tomatoes won't ripen.", "It's the nights; below 12° they sulk.", "So: indoors?"]
  ],
  [
    ["Jazz", "Vinyl"],
    ["Jazz"],
    ["Coltrane or Monk?", '"Blue Train" — no contest.', "50% agree; Monk's Music, though…"]
  ],
  [
    ["Tea"],
    ["Astronomy"],
    ["A question: what's the best oolong?", "I don't know tea, I know stars.", "Then which star?"]
  ],
  [["Astronomy", "Chess"], ["Astronomy"], ["Did you see the comet?", "Clouds.", "Clouds here too", "שמים מעוננים"]],
  [["Cycling"], ["Cycling", "Jazz"], ["<b>Hills</b> & wind today", "C:\\> no hills here", "Lucky (or not)"]]
] as const

/**
 * The path of a file of conversations: the real ones when `shared/data` stands beside the checkout, otherwise a made-up
 * sample, which is removed when the process ends.
 */
export const conversationsFile = (): string => {
  const real = fileURLToPath(new URL("../../../shared/data/conversations.jsonl", import.meta.url))
  if (existsSync(real)) return real
  const folder = mkdtempSync(join(tmpdir(), "connect-conversations-"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, "sample.jsonl")
  writeFileSync(
    path,
    lines
      .map(([a, b, said], i) =>
        JSON.stringify({
          id: `sample-${i}`,
          interests: [a, b],
          messages: said.map((text, n) => ({ from: n % 2 === 0 ? 1 : 2, text, sentiment: "Neutral" }))
        })
      )
      .join("\n")
  )
  return path
}
