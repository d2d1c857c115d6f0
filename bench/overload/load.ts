import { chmodSync } from "node:fs"
import { join } from "node:path"
import { bundle, cpuMicros, rssMegabytes, start, type Started, stop } from "../http/load.ts"
import { table } from "../kit.ts"
import type { Generated, Seen, Told } from "./generator.ts"
import { classes } from "./mix.ts"
import * as People from "./people.ts"

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

/** The program as it would be deployed, with a Postgres of its own. */
export const gateway = async (
  folder: string,
  name: string
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
    TRUSTED_PROXIES: "127.0.0.1"
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

/** The figures of the load. */
export const load = async (folder: string, seconds: number): Promise<Record<string, number>> => {
  const server = await gateway(folder, "load")
  const people = await People.make(server.dataDir)
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
  for (const connections of [16, 32]) closed.push(await phase(connections, seconds / 2))
  const goodOf = ({ seconds: time, seen }: Outcome) => sum(seen, "good") / time
  const best = closed.reduce((a, b) => (goodOf(a) >= goodOf(b) ? a : b))
  const capacity = goodOf(best)
  const over = await phase(openConnections, seconds, 5 * capacity)
  await stop(server)

  console.log(table([...rowsOf("closed loop", best), ...rowsOf("5x open loop", over)]))
  console.log(
    table(
      [["closed loop", best] as const, ["5x open loop", over] as const].map(([name, one]) => ({
        load: name,
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
  for (const one of [best, over]) if (one.firstError !== "") console.log(one.firstError)
  const top = over.seen[0]!
  return {
    capacity_rps: capacity,
    overload5x_goodput_share: goodOf(over) / capacity,
    overload5x_accepted_p99_millis: over.p99,
    overload5x_rss_factor: over.rss / best.rss,
    overload5x_top_class_share: top.good / top.offered,
    generator_sent_late_p99_millis: over.sentLateP99
  }
}
