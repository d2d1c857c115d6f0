/**
 * The figures of one request, ours beside the peers'. Each part starts the servers that it compares, warms them until
 * they get no faster, and then takes turns; a ratio is the median of the rounds' ratios.
 */
import { serverAudits } from "graphql-http"
import { median, table } from "../kit.ts"
import { type Loaded, load } from "./load.ts"
import { type Kind, bodies } from "./rows.ts"
import * as servers from "./servers.ts"
import type { Server } from "./servers.ts"
import { twentyLoadsMicros } from "./twentyLoads.ts"

export type Figures = Readonly<Record<string, number>>

/** How long is measured, and where databases may live. */
export interface Plan {
  readonly rounds: number
  readonly seconds: number
  readonly folder: string
}

export type Part = (plan: Plan) => Promise<Figures>

const warmSecondsMax = 16
const warmSeconds = 2

/** The engine has compiled what it will: two looks in a row are no more than a twentieth faster than the best before. */
const warm = async (server: Server, kind: Kind): Promise<void> => {
  let best = Infinity
  let settled = 0
  for (let spent = 0; spent < warmSecondsMax && settled < 2; spent += warmSeconds) {
    const { cpuMicros } = await load(server, warmSeconds, bodies[kind], server.headers)
    settled = cpuMicros > best * 0.95 ? settled + 1 : 0
    best = Math.min(best, cpuMicros)
  }
}

type Seen = ReadonlyMap<Server, ReadonlyArray<Loaded>>

/** Each server in its turn, as often as there are rounds, under the same load. */
const turns = async (of: ReadonlyArray<Server>, kind: Kind, { rounds, seconds }: Plan): Promise<Seen> => {
  const seen = new Map(of.map((server) => [server, [] as Array<Loaded>]))
  for (const server of of) await warm(server, kind)
  for (let round = 1; round <= rounds; round++) {
    for (const [server, all] of seen) {
      const loaded = await load(server, seconds, bodies[kind], server.headers)
      if (loaded.failed > 0) throw new Error(`${server.name} failed ${loaded.failed} times`)
      all.push(loaded)
    }
  }
  const middle = (server: Server, figure: keyof Loaded): number => median(seen.get(server)!.map((one) => one[figure]))
  console.log(
    `${table(
      of.map((server) => ({
        [kind]: server.name,
        "requests/s": middle(server, "rps"),
        "CPU us": middle(server, "cpuMicros"),
        "generator us": middle(server, "generatorMicros"),
        "p50 ms": middle(server, "p50"),
        "p99 ms": middle(server, "p99"),
        "RSS MB": most(seen, server)
      }))
    )}\n`
  )
  return seen
}

/** The most that a server held in its turns, MB. */
const most = (seen: Seen, server: Server): number => Math.max(...seen.get(server)!.map(({ megabytes }) => megabytes))

const ratio = (seen: Seen, figure: keyof Loaded, one: Server, other: Server): number => {
  const others = seen.get(other)!
  return median(seen.get(one)!.map((loaded, round) => loaded[figure] / others[round]![figure]))
}

const end = (of: ReadonlyArray<Server>): Promise<unknown> => Promise.all(of.map((server) => server.stop()))

/** A kept answer, against a server that reads the body and says the same. */
const cached: Part = async (plan) => {
  const kept = await servers.connect("connect, kept", plan.folder, { ENABLE_RESPONSE_CACHE: "true" })
  const raw = await servers.raw(await servers.answerOf(kept, "user"))
  const seen = await turns([raw, kept], "user", plan)
  await end([raw, kept])
  return {
    cached_hit_cpu_vs_raw_bun: ratio(seen, "cpuMicros", kept, raw),
    cached_gateway_rss_megabytes: most(seen, kept)
  }
}

/** Ours without kept answers, against peers by the name of their figure. */
const against = async (plan: Plan, kind: Kind, peers: Readonly<Record<string, Server>>): Promise<Figures> => {
  const ours = await servers.connect("connect", plan.folder)
  const others = Object.values(peers)
  await servers.sameAnswers([ours, ...others], kind)
  const seen = await turns([ours, ...others], kind, plan)
  await end([ours, ...others])
  return {
    ...Object.fromEntries(Object.entries(peers).map(([figure, peer]) => [figure, ratio(seen, "rps", ours, peer)])),
    [`${kind}_gateway_rss_megabytes`]: most(seen, ours)
  }
}

// Mercurius and Apollo are built for Node, which is what their figures are about; on Bun they stand beside it.
const user: Part = async (plan) =>
  against(plan, "user", {
    uncached_user_rps_vs_mercurius_jit: await servers.onNode("mercurius", "peerMercurius"),
    uncached_user_rps_vs_mercurius_jit_on_bun: await servers.onBun("mercurius", "peerMercurius")
  })

const messages: Part = async (plan) =>
  against(plan, "messages", {
    uncached_messages_rps_vs_mercurius_jit_loaders: await servers.onNode("mercurius", "peerMercurius"),
    uncached_messages_rps_vs_mercurius_jit_loaders_on_bun: await servers.onBun("mercurius", "peerMercurius"),
    messages_rps_vs_yoga_jit: await servers.onBun("yoga", "peerYoga"),
    messages_rps_vs_apollo: await servers.onNode("apollo", "peerApollo"),
    messages_rps_vs_apollo_on_bun: await servers.onBun("apollo", "peerApollo")
  })

/** A few percent are less than one turn differs from the next: four times as many, half as long. */
const manyTurns = (plan: Plan): Plan => ({ ...plan, rounds: plan.rounds * 4, seconds: plan.seconds / 2 })

/** What it costs to export one trace of a hundred. */
const traced: Part = async (plan) => {
  const collector = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      await request.arrayBuffer()
      return new Response("{}")
    }
  })
  const plain = await servers.connect("connect", plan.folder)
  const sampled = await servers.connect("connect, traced 1 %", plan.folder, {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
    TRACE_SAMPLE_RATE: "0.01"
  })
  const costs: Array<number> = []
  for (const kind of ["user", "messages"] as const) {
    const seen = await turns([plain, sampled], kind, manyTurns(plan))
    costs.push(ratio(seen, "cpuMicros", sampled, plain))
  }
  await end([plain, sampled])
  await collector.stop(true)
  return { sampled_tracing_cost: Math.max(...costs) }
}

/** The audits ask for the schema, which production does not tell. */
const audit: Part = async ({ folder }) => {
  const server = await servers.connect("connect, development", folder, { NODE_ENV: "development" })
  let passed = 0
  for (const one of serverAudits({ url: server.url })) {
    const result = await one.fn()
    if (result.status === "ok") passed++
    else console.error(`${result.status}: ${result.name}`)
  }
  await end([server])
  return { audit_passed: passed }
}

const loads: Part = async () => ({ twenty_loads_micros: twentyLoadsMicros() })

export const parts: Readonly<Record<string, Part>> = { audit, cached, user, messages, loads, traced }
