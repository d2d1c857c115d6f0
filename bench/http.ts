/**
 * The HTTP surface beside its peers: the same rows in memory, the same questions, servers and generator in processes of
 * their own, one after the other in each round. Ours runs with everything that stands before a resolver in production:
 * session, rate limits, limits on documents, metrics, deadlines. Mercurius and Apollo run on Node, Yoga on Bun.
 * `bun run bench http [ROUNDS] [SECONDS]`
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { serverAudits } from "graphql-http"
import { crowd } from "./http/crowd.ts"
import type { Loaded, Started } from "./http/load.ts"
import { bundle, forNode, load, rssMegabytes, start } from "./http/load.ts"
import { bodies } from "./http/rows.ts"
import { twentyLoadsMicros } from "./http/twentyLoads.ts"
import { median, report, table } from "./kit.ts"

const rounds = Number(process.argv[2] ?? 5)
const seconds = Number(process.argv[3] ?? 2)
/** Until the engine has compiled what a request runs through. */
const warmSeconds = Math.max(4, seconds * 3)

type Kind = keyof typeof bodies

interface Server {
  readonly name: string
  readonly pid: number
  readonly url: string
  readonly headers: ReadonlyArray<string>
  readonly kinds: ReadonlyArray<Kind>
}

const folder = mkdtempSync(join(tmpdir(), "connect-bench-http-"))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))

const production = { NODE_ENV: "production", PORT: "0", LOG_LEVEL: "Warning" }

const ours = async (name: string, env: Readonly<Record<string, string>>, kinds: ReadonlyArray<Kind>) => {
  const started = await start([process.execPath, connect], { ...production, DATA_DIR: join(folder, name), ...env }, 2)
  const [url = "", token = ""] = started.lines
  return { name, pid: started.pid, url: `${url}/graphql`, headers: [`authorization: Bearer ${token}`], kinds }
}

const peer = (name: string, started: Started, kinds: ReadonlyArray<Kind>): Server => ({
  name,
  pid: started.pid,
  url: name === "apollo" ? started.lines[0]! : `${started.lines[0]}/graphql`,
  headers: [],
  kinds
})

const answerOf = async ({ headers, url }: Server, kind: Kind): Promise<string> => {
  const [name = "", value = ""] = headers[0]?.split(": ") ?? ["x-none", ""]
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", [name]: value },
    body: bodies[kind]
  })
  return response.text()
}

const connect = await bundle("bench/http/connect.ts", "connect")
const here = (file: string) => join(import.meta.dir, "http", file)
const collector = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    await request.arrayBuffer()
    return new Response("{}")
  }
})

const both: ReadonlyArray<Kind> = ["user", "messages"]
const uncached = await ours("connect", { ENABLE_RESPONSE_CACHE: "false" }, both)
const cached = await ours("connect, kept", { ENABLE_RESPONSE_CACHE: "true" }, ["user"])
const traced = await ours(
  "connect, traced 1 %",
  {
    ENABLE_RESPONSE_CACHE: "false",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
    TRACE_SAMPLE_RATE: "0.01"
  },
  both
)
const servers: ReadonlyArray<Server> = [
  peer("raw Bun.serve", await start([process.execPath, here("raw.ts"), await answerOf(cached, "user")]), ["user"]),
  cached,
  uncached,
  traced,
  peer("mercurius", await start(["node", await forNode("peerMercurius")]), both),
  peer("apollo", await start(["node", await forNode("peerApollo")]), ["messages"]),
  peer("yoga", await start([process.execPath, here("peerYoga.ts")]), ["messages"])
]

// Equal work: but for the order of nothing, all say the same.
for (const kind of both) {
  const said = await Promise.all(
    servers
      .filter(({ kinds, name }) => kinds.includes(kind) && !name.startsWith("raw"))
      .map((one) => answerOf(one, kind))
  )
  if (new Set(said.map((text) => JSON.stringify(JSON.parse(text)))).size !== 1)
    throw new Error(`Answers differ: ${said.join("\n")}`)
}

const audits = serverAudits({ url: uncached.url })
const results = await Promise.all(audits.map((audit) => audit.fn()))
const auditPassed = results.filter(({ status }) => status === "ok").length

const seen = new Map<string, Array<Loaded>>()
const at = (name: string, kind: Kind, figure: keyof Loaded): number =>
  median((seen.get(`${name} ${kind}`) ?? []).map((one) => one[figure]))

const pass = async (forSeconds: number, isWarm: boolean): Promise<void> => {
  for (const kind of both) {
    for (const server of servers) {
      if (!server.kinds.includes(kind)) continue
      const loaded = await load(server, forSeconds, bodies[kind], server.headers)
      if (loaded.failed > 0) throw new Error(`${server.name} failed ${loaded.failed} times`)
      const key = `${server.name} ${kind}`
      if (isWarm) seen.set(key, [...(seen.get(key) ?? []), loaded])
    }
  }
}
await pass(warmSeconds, false)
for (let round = 1; round <= rounds; round++) {
  await pass(seconds, true)
  console.error(`round ${round}/${rounds}`)
}

console.log(
  table(
    [...seen].map(([name]) => {
      const kind: Kind = name.endsWith(" user") ? "user" : "messages"
      const server = name.slice(0, -kind.length - 1)
      return {
        server: name,
        "requests/s": at(server, kind, "rps"),
        "CPU us": at(server, kind, "cpuMicros"),
        "p99 ms": at(server, kind, "p99"),
        "RSS MB": rssMegabytes(servers.find((one) => one.name === server)!.pid)
      }
    })
  )
)
for (const { pid } of servers) process.kill(pid, "SIGTERM")
void collector.stop(true)

const gathered = await crowd(folder)
const ratio = (figure: "rps", kind: Kind, other: string): number =>
  at("connect", kind, figure) / at(other, kind, figure)
report("http", {
  audit_passed: auditPassed,
  cached_hit_cpu_vs_raw_bun: at("connect, kept", "user", "cpuMicros") / at("raw Bun.serve", "user", "cpuMicros"),
  uncached_user_rps_vs_mercurius_jit: ratio("rps", "user", "mercurius"),
  uncached_messages_rps_vs_mercurius_jit_loaders: ratio("rps", "messages", "mercurius"),
  messages_rps_vs_yoga_jit: ratio("rps", "messages", "yoga"),
  messages_rps_vs_apollo: ratio("rps", "messages", "apollo"),
  twenty_loads_micros: await twentyLoadsMicros(),
  sampled_tracing_cost: median(
    both.map((kind) => at("connect, traced 1 %", kind, "cpuMicros") / at("connect", kind, "cpuMicros"))
  ),
  ...gathered
})
process.exit(0)
