import { parseArgs } from "node:util"
import fc from "fast-check"
import { startServer } from "../kit/server.ts"
import { commands, type Model, type World } from "./commands.ts"
import { judge } from "./invariants.ts"
import { percentiles } from "./percentiles.ts"
import { runTool, whole } from "./tool.ts"
import { VirtualUser } from "./VirtualUser.ts"

const help = `Load-tests the server with generated plans of virtual users and checks the invariants after each.

  bun run load [--users N] [--plans N] [--seed S] [--url URL] [--path P --replay R]

  --users N   virtual users in a plan, 20 by default
  --plans N   plans to run, 20 by default
  --seed S    the seed of the plans; printed when one fails
  --path P, --replay R   of a failing plan, printed with its seed: run that plan alone
  --url URL   a running server; without it, one is started on an empty data folder

A failing plan is shrunk: each candidate runs three times, since sockets are not deterministic.
The last line of the output is one JSON object. Exits with 1 when an invariant is broken or a promised latency is missed.
`

/** features.md, section 4. */
const promised = { p50: 50, p95: 200, p99: 500 }
/** Commands of a plan, per virtual user. */
const commandsPerUser = 40
/** A candidate fails when one of this many runs does. */
const runsWhileShrinking = 3
/** After this long the smallest plan found so far is good enough. */
const shrinkMillisMax = 30_000

class Broken extends Error {}

const tally = { plans: 0, commands: 0, requests: 0, acknowledged: 0, interactions: 0 }
const latencies: Array<number> = []

/** Runs one plan with fresh users; what is broken afterwards. */
const runPlan = async (
  url: string,
  users: number,
  plan: Iterable<fc.AsyncCommand<Model, World>>
): Promise<ReadonlyArray<string>> => {
  const run = `${Date.now().toString(36).slice(-5)}${(tally.plans++).toString(36)}`
  const world = Array.from({ length: users }, (_, i) => new VirtualUser(url, `v${run}_${i}`))
  try {
    const model: Model = { signedUp: new Set(), joined: new Set(), ran: 0 }
    await fc.asyncModelRun(() => ({ model, real: world }), plan)
    tally.commands += model.ran
    await Promise.all(world.map((user) => user.idle()))
    return await judge(world)
  } finally {
    await Promise.all(world.map((user) => user.goHome()))
    for (const user of world) {
      latencies.push(...user.latencies)
      tally.requests += user.latencies.length
      tally.acknowledged += user.parts.reduce((sum, part) => sum + part.acknowledged.length, 0)
      tally.interactions += user.parts.length / 2
    }
  }
}

/** A plan as fast-check shows it: its commands, and what chooses the same ones again. */
const shown = (plan: string): { readonly steps: ReadonlyArray<string>; readonly replay: string } => {
  const [, commands = plan, replay = ""] = /^([\s\S]*?) \/\*replayPath="(.*)"\*\/$/.exec(plan) ?? []
  return { steps: commands.split(/,(?=user \d+ )/), replay }
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      users: { type: "string" },
      plans: { type: "string" },
      seed: { type: "string" },
      path: { type: "string" },
      replay: { type: "string" },
      url: { type: "string" },
      help: { type: "boolean", short: "h" }
    }
  })
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  const users = whole("users", values.users, 20, 2)
  const plans = whole("plans", values.plans, 20)
  const seed = whole("seed", values.seed, Date.now() % 2_147_483_647, 0)
  const server = values.url === undefined ? await startServer() : undefined
  const url = (values.url ?? server!.url).replace(/\/$/, "")
  const started = performance.now()
  let shrinkingSince: number | undefined
  let done = 0
  const property = fc.asyncProperty(
    fc.commands(commands(users), {
      maxCommands: users * commandsPerUser,
      size: "max",
      ...(values.replay === undefined ? {} : { replayPath: values.replay })
    }),
    async (plan) => {
      if (shrinkingSince !== undefined && performance.now() - shrinkingSince > shrinkMillisMax) return
      for (let i = 0; i < (shrinkingSince === undefined ? 1 : runsWhileShrinking); i++) {
        const broken = await runPlan(url, users, plan)
        if (broken.length === 0) continue
        if (shrinkingSince === undefined) process.stderr.write(`plan ${done + 1} broke invariants; shrinking\n`)
        shrinkingSince ??= performance.now()
        throw new Broken(broken.slice(0, 10).join("\n"))
      }
      if (shrinkingSince === undefined)
        process.stderr.write(
          `plan ${++done}/${plans}: ${tally.requests} requests, ${tally.acknowledged} acknowledged\n`
        )
    }
  )
  const result = await fc.check(property, {
    numRuns: plans,
    seed,
    ...(values.path === undefined ? {} : { path: values.path })
  })
  await server?.stop()
  const latencyMillis = percentiles(latencies)
  const missed = (["p50", "p95", "p99"] as const).filter((p) => latencyMillis[p] > promised[p])
  const smallest = result.failed ? shown(String(result.counterexample?.[0])) : undefined
  if (smallest !== undefined) {
    const { errorInstance } = result
    process.stdout.write(`\nThe smallest plan that fails, after ${result.numShrinks} shrinks:\n`)
    for (const step of smallest.steps) process.stdout.write(`  ${step}\n`)
    process.stdout.write(`${errorInstance instanceof Error ? errorInstance.message : String(errorInstance)}\n`)
    process.stdout.write(
      `Again: bun run load --users ${users} --seed ${result.seed} --path ${result.counterexamplePath} --replay ${smallest.replay}\n`
    )
  }
  for (const p of missed) process.stdout.write(`${p} is ${latencyMillis[p]} ms; promised are ${promised[p]} ms\n`)
  const summary = {
    users,
    ...tally,
    failed: result.failed,
    shrinks: result.numShrinks,
    smallest: smallest?.steps.length ?? 0,
    seed: result.seed,
    latencyMillis,
    seconds: Math.round((performance.now() - started) / 100) / 10
  }
  process.stdout.write(`${JSON.stringify(summary)}\n`)
  return result.failed || missed.length > 0 ? 1 : 0
}

await runTool("load", main)
