import { join } from "node:path"
import { serverAudits } from "graphql-http"
import { median, table } from "../kit.ts"
import type { Loaded, Started } from "./load.ts"
import { bundle, forNode, load, rssMegabytes, start } from "./load.ts"
import { bodies } from "./rows.ts"
import { twentyLoadsMicros } from "./twentyLoads.ts"

/** Until the engine has compiled what a request runs through; at most so many seconds each. */
const warm = { user: 40_000, messages: 15_000, seconds: 15 } as const

type Kind = keyof typeof bodies

interface Server {
  readonly name: string
  readonly pid: number
  readonly url: string
  readonly headers: ReadonlyArray<string>
  readonly kinds: ReadonlyArray<Kind>
}

const production = { NODE_ENV: "production", PORT: "0", LOG_LEVEL: "Warning" }

const ours = async (
  program: string,
  dataDir: string,
  name: string,
  env: Readonly<Record<string, string>>,
  kinds: ReadonlyArray<Kind>
): Promise<Server> => {
  const started = await start([process.execPath, program], { ...production, DATA_DIR: join(dataDir, name), ...env }, 2)
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

/** The figures of one request, ours beside the peers'. */
export const surface = async (folder: string, rounds: number, seconds: number): Promise<Record<string, number>> => {
  const connect = await bundle("bench/http/connect.ts", "connect")
  const here = (file: string) => join(import.meta.dir, file)
  const collector = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      await request.arrayBuffer()
      return new Response("{}")
    }
  })

  const both: ReadonlyArray<Kind> = ["user", "messages"]
  const uncached = await ours(connect, folder, "connect", { ENABLE_RESPONSE_CACHE: "false" }, both)
  const cached = await ours(connect, folder, "connect, kept", { ENABLE_RESPONSE_CACHE: "true" }, ["user"])
  const traced = await ours(
    connect,
    folder,
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

  const pass = async (isWarm: boolean): Promise<void> => {
    for (const kind of both) {
      for (const server of servers) {
        if (!server.kinds.includes(kind)) continue
        const loaded = await (isWarm
          ? load(server, seconds, bodies[kind], server.headers)
          : load(server, warm.seconds, bodies[kind], server.headers, warm[kind]))
        if (loaded.failed > 0) throw new Error(`${server.name} failed ${loaded.failed} times`)
        const key = `${server.name} ${kind}`
        if (isWarm) seen.set(key, [...(seen.get(key) ?? []), loaded])
      }
    }
  }
  await pass(false)
  for (let round = 1; round <= rounds; round++) {
    await pass(true)
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

  const ratio = (figure: "rps", kind: Kind, other: string): number =>
    at("connect", kind, figure) / at(other, kind, figure)
  return {
    audit_passed: auditPassed,
    cached_hit_cpu_vs_raw_bun: at("connect, kept", "user", "cpuMicros") / at("raw Bun.serve", "user", "cpuMicros"),
    uncached_user_rps_vs_mercurius_jit: ratio("rps", "user", "mercurius"),
    uncached_messages_rps_vs_mercurius_jit_loaders: ratio("rps", "messages", "mercurius"),
    messages_rps_vs_yoga_jit: ratio("rps", "messages", "yoga"),
    messages_rps_vs_apollo: ratio("rps", "messages", "apollo"),
    twenty_loads_micros: await twentyLoadsMicros(),
    sampled_tracing_cost: median(
      both.map((kind) => at("connect, traced 1 %", kind, "cpuMicros") / at("connect", kind, "cpuMicros"))
    )
  }
}
