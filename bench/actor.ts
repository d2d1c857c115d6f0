/**
 * The actor runtime beside @effect/cluster and a hand-written Queue + Deferred + fiber, in interleaved runs: each round
 * measures every system once, figures are medians over the rounds. `bun run bench actor [PART...] [ROUNDS]`; without a
 * part all of them.
 */
import * as Effect from "effect/Effect"
import * as Durable from "./actor/durable.ts"
import { poison, shutdown } from "./actor/failing.ts"
import { failover } from "./actor/failover.ts"
import { local } from "./actor/local.ts"
import { remote } from "./actor/remote.ts"
import { median, report, table } from "./kit.ts"

type Row = Readonly<Record<"system" | "messages/s" | "p50 us" | "p99 us", string | number>>

interface Part {
  readonly rows?: ReadonlyArray<Row>
  readonly figures: Readonly<Record<string, number>>
}

const idle = async (): Promise<Part> => {
  const runs: Array<Record<string, number>> = []
  for (let run = 0; run < 3; run++) {
    const child = Bun.spawnSync([process.execPath, `${import.meta.dir}/actor/idle.ts`], { stderr: "inherit" })
    runs.push(JSON.parse(child.stdout.toString()) as Record<string, number>)
  }
  const of = (name: string) => median(runs.map((run) => run[name]!))
  console.log(`activation of one of 100,000: ${of("activateMicros").toFixed(1)} us`)
  console.log(`longest block with nothing put away: ${of("controlMillis").toFixed(1)} ms`)
  return {
    figures: {
      idle_actor_heap_bytes: of("heapBytes"),
      idle_actor_rss_bytes: of("rssBytes"),
      passivation_longest_block_millis: of("blockedMillis")
    }
  }
}

const failing = async (): Promise<Part> => {
  const { answerMillis, extraMillis } = await poison(100)
  return {
    figures: {
      poison_answer_millis: answerMillis,
      poison_other_caller_extra_millis: extraMillis,
      shutdown_over_deadline_millis: Math.max(0, await shutdown(500))
    }
  }
}

const durable = async (rounds: number): Promise<Part> => {
  const { batched, rows, unbatched } = await Effect.runPromise(Durable.durable(Math.min(rounds, 3)))
  return {
    rows,
    figures: { durable_vs_cluster_persisted: unbatched, durable_batched_vs_cluster_persisted: batched }
  }
}

const remoteAsks = async (rounds: number): Promise<Part> => {
  const { ratio, rows } = await remote(Math.min(rounds, 4))
  return { rows, figures: { remote_ask_vs_cluster: ratio } }
}

const kills = async (): Promise<Part> => {
  const { duplicates, kill, lost, term } = await failover(20, 10)
  return {
    figures: {
      kill_failover_millis_p99: kill,
      term_failover_millis_p99: term,
      durable_lost: lost,
      durable_duplicate_effects: duplicates
    }
  }
}

const parts: Readonly<Record<string, (rounds: number) => Promise<Part>>> = {
  local,
  idle,
  failing,
  durable,
  remote: remoteAsks,
  failover: kills
}

const words = process.argv.slice(2)
const rounds = Number(words.find((word) => /^\d+$/.test(word)) ?? 5)
const named = words.filter((word) => !/^\d+$/.test(word))
const unknown = named.find((word) => parts[word] === undefined)
if (unknown !== undefined) {
  console.error(`There is no part ${unknown}: ${Object.keys(parts).join(", ")}`)
  process.exit(2)
}

const rows: Array<Row> = []
let figures: Record<string, number> = {}
for (const name of named.length === 0 ? Object.keys(parts) : named) {
  const done = await parts[name]!(rounds)
  rows.push(...(done.rows ?? []))
  figures = { ...figures, ...done.figures }
}
if (rows.length > 0) console.log(`${table(rows)}\n`)
report("actor", figures)
process.exit(0)
