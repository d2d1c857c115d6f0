import { expect, test } from "bun:test"
import { startServer } from "../kit/server.ts"

const clients = 8

/** Asks until it is told to go elsewhere, or the server has gone; how often it got no answer to what it had sent. */
const client = async (url: string): Promise<{ answered: number; lost: number }> => {
  const seen = { answered: 0, lost: 0 }
  for (;;) {
    const response = await fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "{ queueStats { waiting } }" })
    }).catch((error: unknown) => error as Error & { readonly code?: string })
    if (response instanceof Error) {
      // Nobody listens any more: it was not sent.
      if (response.code !== "ConnectionRefused" && response.code !== "ECONNREFUSED") seen.lost++
      return seen
    }
    await response.text()
    if (response.status === 503) return seen
    seen.answered++
  }
}

test("a program that is told to stop under load answers all that it was sent", async () => {
  const server = await startServer({ DRAIN_GRACE: "300" })
  const asking = Promise.all(Array.from({ length: clients }, () => client(server.url)))
  await Bun.sleep(300)
  const [code, seen] = await Promise.all([server.stop(), asking])
  expect(code).toBe(0)
  expect(seen.map(({ lost }) => lost)).toEqual(Array.from({ length: clients }, () => 0))
  for (const { answered } of seen) expect(answered).toBeGreaterThan(0)
}, 30_000)
