import { chmodSync } from "node:fs"
import { join } from "node:path"
import { bundle, cpuMicros, rssMegabytes, start, type Started, stop } from "../http/load.ts"
import { table } from "../kit.ts"
import type { Generated, Seen, Told } from "./generator.ts"
import { classes } from "./mix.ts"
import * as People from "./people.ts"
import * as SlowPostgres from "./slowPostgres.ts"

/** An answer that comes later is no good to anybody. */
export const deadlineMillis = 250

/** Connections of the open loop. Who finds none of them free has failed. */
const openConnections = 1_000

/** Until the engine has compiled what a request runs through. */
const warmSeconds = 20

export interface Outcome extends Generated {
  readonly rss: number
  /** Of the server's process, cores. */
  readonly serverCpu: number
}

/** The program as it would be deployed, with a Postgres of its own unless `env` names one. */
export const gateway = async (
  folder: string,
  name: string,
  env: Readonly<Record<string, string>> = {}
): Promise<Started & { readonly url: string; readonly dataDir: string }> => {
  chmodSync(folder, 0o755)
  const program = await bundle("services/gateway.ts", "gateway")
  const dataDir = join(folder, name)
  const started = await start([process.execPath, program], {
    NODE_ENV: "production",
    PORT: "0",
    DATA_DIR: dataDir,
    LOG_LEVEL: "Warning",
    // Who signs out has many sessions, and everybody comes from an address of their own.
    SESSIONS_PER_USER: "1000",
    TRUSTED_PROXIES: "127.0.0.1",
    ...env
  })
  return { ...started, url: /http:\S+/.exec(started.lines[0]!)![0], dataDir }
}

/** Runs the generator. */
export const generating = async (told: Told): Promise<Generated> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "generator.ts")], {
    stdin: new Blob([JSON.stringify(told)]),
    stdout: "pipe",
    stderr: "inherit"
  })
  return JSON.parse(await new Response(child.stdout).text()) as Generated
}

/** Runs the generator, and looks at the server meanwhile. */
export const generate = async (pid: number, told: Told): Promise<Outcome> => {
  let rss = 0
  const before = cpuMicros(pid)
  const watch = setInterval(() => {
    rss = Math.max(rss, rssMegabytes(pid))
  }, 100)
  const generated = await generating(told)
  clearInterval(watch)
  return { ...generated, rss, serverCpu: (cpuMicros(pid) - before) / 1e6 / told.seconds }
}

export const sum = (seen: ReadonlyArray<Seen>, what: keyof Seen): number =>
  seen.reduce((all, one) => all + one[what], 0)

const rowsOf = (name: string, { seconds, seen, p99Of }: Outcome) =>
  classes.map((of, lane) => {
    const one = seen[lane]!
    return {
      load: `${name}, ${of}`,
      "offered/s": one.offered / seconds,
      "good/s": one.good / seconds,
      "share good": one.good / one.offered,
      late: one.late,
      shed: one.shed,
      errors: one.errors,
      failed: one.failed,
      "p99 ms": p99Of[lane] ?? Number.NaN
    }
  })

/** How long a statement of the database that is away takes, and the connections to it. */
const statementMillis = 5
const poolSize = 10

/** Where a gateway reaches its limit. */
interface Scenario {
  readonly name: string
  readonly server: Started & { readonly url: string }
  readonly people: People.People
  readonly stop: () => Promise<void>
}

/** It waits for its database: the pool is the limit, and it has CPU left. */
const poolBound = async (folder: string): Promise<Scenario> => {
  const database = await SlowPostgres.start(statementMillis)
  const env = { DATABASE_URL: database.url, DB_POOL_SIZE: String(poolSize), DB_POOL_MIN: String(poolSize) }
  const server = await gateway(folder, "pool", env)
  const people = await People.make({ connectionString: database.directUrl })
  const end = async () => {
    await stop(server)
    await database.stop()
  }
  return { name: "pool", server, people, stop: end }
}

/** Its database is next to it: the thread is the limit. */
const cpuBound = async (folder: string): Promise<Scenario> => {
  const server = await gateway(folder, "cpu")
  const people = await People.make(People.embeddedIn(server.dataDir))
  return { name: "cpu", server, people, stop: () => stop(server) }
}

export interface Figures {
  readonly capacity: number
  readonly goodputShare: number
  readonly acceptedP99Millis: number
  readonly rssFactor: number
  readonly topClassShare: number
  readonly sentLateP99Millis: number
}

const goodOf = ({ seconds, seen }: Outcome) => sum(seen, "good") / seconds

const measure = async ({ name, people, server }: Scenario, seconds: number): Promise<Figures> => {
  let seed = 1
  const phase = (connections: number, time: number, rate?: number): Promise<Outcome> =>
    generate(server.pid, {
      ...people,
      url: server.url,
      connections,
      seconds: time,
      seed: seed++,
      deadlineMillis,
      ...(rate === undefined ? {} : { rate })
    })
  await phase(16, warmSeconds)

  const closed: Array<Outcome> = []
  for (const connections of [8, 16, 32, 64]) closed.push(await phase(connections, seconds / 2.5))
  const best = closed.reduce((a, b) => (goodOf(a) >= goodOf(b) ? a : b))
  const capacity = goodOf(best)
  const over = await phase(openConnections, seconds, 5 * capacity)

  console.log(table([...rowsOf(`${name}, closed loop`, best), ...rowsOf(`${name}, 5x open loop`, over)]))
  console.log(
    table(
      [[`${name}, closed loop`, best] as const, [`${name}, 5x open loop`, over] as const].map(([load, one]) => ({
        load,
        "good/s": goodOf(one),
        "p50 ms": one.p50,
        "p99 ms": one.p99,
        "shed p50 ms": one.shedP50,
        "shed p99 ms": one.shedP99,
        "sent late p99 ms": one.sentLateP99,
        "generator cores": one.cpuShare,
        "server cores": one.serverCpu,
        "RSS MB": one.rss
      }))
    )
  )
  for (const miss of over.topMisses) console.log(`${name}, ${miss}`)
  for (const one of [best, over]) if (one.firstError !== "") console.log(one.firstError)
  const top = over.seen[0]!
  return {
    capacity,
    goodputShare: goodOf(over) / capacity,
    acceptedP99Millis: over.p99,
    rssFactor: over.rss / best.rss,
    topClassShare: top.good / top.offered,
    sentLateP99Millis: over.sentLateP99
  }
}

const measured = async (begin: (folder: string) => Promise<Scenario>, folder: string, seconds: number) => {
  const scenario = await begin(folder)
  const figures = await measure(scenario, seconds)
  await scenario.stop()
  return figures
}

/** The figures of a gateway that waits for its database. */
export const pool = async (folder: string, seconds: number): Promise<Record<string, number>> => {
  const seen = await measured(poolBound, folder, seconds)
  return {
    capacity_rps: seen.capacity,
    overload5x_goodput_share: seen.goodputShare,
    overload5x_accepted_p99_millis: seen.acceptedP99Millis,
    overload5x_rss_factor: seen.rssFactor,
    overload5x_top_class_share: seen.topClassShare,
    generator_sent_late_p99_millis: seen.sentLateP99Millis
  }
}

/** The same of a gateway that is short of CPU. */
export const cpu = async (folder: string, seconds: number): Promise<Record<string, number>> => {
  const seen = await measured(cpuBound, folder, seconds)
  return {
    cpu_bound_capacity_rps: seen.capacity,
    cpu_bound_goodput_share: seen.goodputShare,
    cpu_bound_accepted_p99_millis: seen.acceptedP99Millis,
    cpu_bound_rss_factor: seen.rssFactor,
    cpu_bound_top_class_share: seen.topClassShare,
    cpu_bound_generator_sent_late_p99_millis: seen.sentLateP99Millis
  }
}
