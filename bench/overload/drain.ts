import { once } from "node:events"
import { deadlineMillis, gateway, generating, sum } from "./load.ts"
import * as People from "./people.ts"
import { table } from "../kit.ts"

const rounds = 5
const loadSeconds = 8
const signalMillis = 3_000

/** SIGTERM while people are served, again and again: each request that was sent has its answer. */
export const drain = async (folder: string): Promise<Record<string, number>> => {
  const rows: Array<Record<string, string | number>> = []
  let failed = 0
  for (let round = 1; round <= rounds; round++) {
    const server = await gateway(folder, `drain-${round}`)
    const people = await People.make(People.embeddedIn(server.dataDir))
    const told = { ...people, url: server.url, connections: 64, seconds: loadSeconds, seed: round, deadlineMillis }
    const running = generating(told)
    await Bun.sleep(signalMillis)
    const gone = once(server.child, "exit")
    const began = performance.now()
    server.child.kill("SIGTERM")
    const [code] = (await gone) as [number | null]
    const stoppedMillis = performance.now() - began
    const outcome = await running
    if (sum(outcome.seen, "good") === 0) throw new Error(`Nobody was served before the signal: ${outcome.firstError}`)
    const unanswered = sum(outcome.seen, "unanswered")
    for (const one of outcome.cut) console.log(`round ${round}: ${one}`)
    failed += unanswered + (code === 0 || code === 130 || code === 143 ? 0 : 1)
    rows.push({
      round: String(round),
      good: sum(outcome.seen, "good"),
      "told to go": outcome.left,
      shed: sum(outcome.seen, "shed"),
      "in flight and lost": unanswered,
      "stopped after ms": stoppedMillis,
      code: String(code)
    })
  }
  console.log(table(rows))
  return { drain_failed_inflight: failed }
}
