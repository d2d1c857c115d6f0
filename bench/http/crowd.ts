/**
 * The whole application as one bundle, with its own Postgres: how long a message takes to its readers, what the process
 * holds in memory under load, and what 10,000 people hold who wait.
 */
import { readFileSync } from "node:fs"
import { totalmem } from "node:os"
import { join } from "node:path"
import { deadlineMillis, generating, sum } from "../overload/load.ts"
import * as People from "../overload/people.ts"
import { bundle, containerBytes, rssMegabytes, start, type Started, stop } from "./load.ts"
import type { Part } from "./surface.ts"

/** Each has two people with one socket each. */
const talksHeard = 500
const idleSubscriptions = 10_000
/** From when all are there until they count as idle: the engine collects what their coming left behind. */
const settleMillis = 30_000

export interface Talk {
  readonly interactionId: string
  readonly tokens: readonly [string, string]
}

/** People who talk in pairs, written by hand: nobody waits for a password's hash. */
const talking = async (dataDir: string, pairs: number): Promise<ReadonlyArray<Talk>> => {
  const { people } = await People.make(People.embeddedIn(dataDir), { pairs, messagesEach: 0, leaving: 0 })
  return Array.from({ length: pairs }, (_, n) => ({
    interactionId: people[2 * n]!.interactionId,
    tokens: [people[2 * n]!.token, people[2 * n + 1]!.token] as const
  }))
}

/** A program of the bench that says one line; it ends when it is killed, or by itself. */
const begin = (program: string, input: unknown) => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, program)], {
    stdin: new Blob([JSON.stringify(input)]),
    stdout: "pipe",
    stderr: "inherit"
  })
  const said = child.stdout
    .getReader()
    .read()
    .then(({ value }) => {
      if (value === undefined) throw new Error(`${program} ended without a word`)
      return JSON.parse(new TextDecoder().decode(value)) as Record<string, number>
    })
  return { said, end: () => child.kill() }
}

/** Subscriptions to the inbox that the server says it has. */
const inboxes = async (url: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/socket_subscriptions\{field="inbox"\} (\d+)/.exec(text)?.[1] ?? 0)
}

/** What a process holds, and what of it is its own: not a page of a file that others may share. Megabytes. */
interface Held {
  readonly resident: number
  readonly own: number
}

const held = (pid: number): Held => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1]) / 1_024
  return { resident: megabytes("VmRSS"), own: megabytes("RssAnon") }
}

/** Of the requests of a load at least so many get what they ask, or it measures refusals, which cost next to nothing. */
const goodShareMin = 0.9

/**
 * The most that the process holds while 64 connections ask without a pause, as the people of the overload bench do: reads,
 * messages, searches and who signs out, within everybody's limits.
 */
const loaded = async (gateway: Started, url: string, dataDir: string): Promise<Held> => {
  const people = await People.make(People.embeddedIn(dataDir))
  let most = held(gateway.pid)
  const watch = setInterval(() => {
    const now = held(gateway.pid)
    if (now.resident > most.resident) most = now
  }, 100)
  for (let seed = 1; seed <= 4; seed++) {
    const { seen } = await generating({ ...people, url, seed, connections: 64, seconds: 3, deadlineMillis })
    const share = sum(seen, "good") / sum(seen, "offered")
    if (!(share >= goodShareMin)) throw new Error(`Only ${share} of the requests were answered well`)
  }
  clearInterval(watch)
  return most
}

/** Memory of a process that did nothing else, so that what is measured is what waits. */
const waiting = async (url: string, gateway: Started, talks: ReadonlyArray<Talk>): Promise<number> => {
  const before = rssMegabytes(gateway.pid)
  const people = begin("idle.ts", { url, talks })
  await people.said
  await Bun.sleep(settleMillis)
  const open = await inboxes(url)
  if (open !== idleSubscriptions) throw new Error(`Only ${open} of ${idleSubscriptions} subscriptions wait`)
  const megabytes = rssMegabytes(gateway.pid) - before
  people.end()
  return megabytes
}

/** The whole application as one bundle with its own Postgres, as it would be deployed. */
const withGateway = async <A>(
  name: string,
  folder: string,
  use: (url: string, gateway: Started, dataDir: string) => Promise<A>,
  env: Readonly<Record<string, string>> = {}
): Promise<A> => {
  const dataDir = join(folder, name)
  const gateway = await start([process.execPath, await bundle("services/gateway.ts", "gateway")], {
    NODE_ENV: "production",
    PORT: "0",
    DATA_DIR: dataDir,
    LOG_LEVEL: "Warning",
    // Who signs out has many sessions, and everybody comes from an address of their own.
    SESSIONS_PER_USER: "1000",
    TRUSTED_PROXIES: "127.0.0.1",
    BUN_JSC_forceRAMSize: String(containerBytes),
    ...env
  })
  const made = await use(/http:\S+/.exec(gateway.lines[0]!)![0], gateway, dataDir)
  await stop(gateway)
  return made
}

const fanout: Part = async ({ folder }) => {
  const heard = await withGateway("fanout", folder, async (url, _, dataDir) => {
    const talks = await talking(dataDir, talksHeard)
    return begin("fanout.ts", { url, talks }).said
  })
  return {
    fanout_delivery_millis_p99: heard["p99"]!,
    fanout_delivery_millis_p50: heard["p50"]!,
    fanout_delivery_millis_max: heard["max"]!,
    fanout_generator_late_millis_p99: heard["late"]!,
    fanout_refused: heard["refused"]!
  }
}

/** An engine that is told nothing takes the machine's memory for its own. */
const untold = { BUN_JSC_forceRAMSize: String(totalmem()) }

const memory: Part = async ({ folder }) => {
  const measure = (name: string, env?: Readonly<Record<string, string>>) =>
    withGateway(name, folder, (url, gateway, dataDir) => loaded(gateway, url, dataDir), env)
  const deployed = await measure("memory")
  return {
    application_rss_megabytes: deployed.resident,
    application_own_megabytes: deployed.own,
    application_untold_rss_megabytes: (await measure("memory-untold", untold)).resident
  }
}

const idle: Part = async ({ folder }) => {
  const megabytes = await withGateway("idle", folder, async (url, gateway, dataDir) =>
    waiting(url, gateway, await talking(dataDir, idleSubscriptions / 2))
  )
  return { idle_10k_mb: megabytes, idle_subscription_kb: (megabytes * 1_024) / idleSubscriptions }
}

/** The figures of the whole application, each of a process of its own. */
export const parts: Readonly<Record<string, Part>> = { fanout, memory, idle }
