import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as RedisConnection from "../../layers/store/RedisConnection.ts"
import * as RedisStore from "../../layers/store/RedisStore.ts"
import * as Settings from "../../src/config/Settings.ts"
import { Store } from "../../src/store/Store.ts"
import { freePort } from "./ports.ts"

/** A private Redis on loopback: nothing on disk, gone with the process that started it. */
export interface Instance {
  readonly host: "127.0.0.1"
  readonly port: number
  /** Sends one command and gives the reply's text; on a connection of its own. */
  readonly command: (...words: ReadonlyArray<string>) => Effect.Effect<string>
  readonly flush: Effect.Effect<void>
  /** SIGSTOP: connections stay open and nothing answers, until `resume`. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** SIGKILL. */
  readonly kill: Effect.Effect<void>
  /** After `kill`: the same port, empty. */
  readonly restart: Effect.Effect<void>
}

const host = "127.0.0.1"

/** Ports are handed out by the system and may be taken again before Redis binds: then another is tried. */
const startTries = 5

/**
 * Starts the server and a watch beside it that stops it and deletes its folder when our process is gone, however it
 * went. Both are on their own, because Bun kills its direct children when a test runs out of time. Prints the pid.
 */
const script = `owner=$1; folder=$2; shift 2
(
  "$@" </dev/null >/dev/null 2>&1 & pid=$!
  echo $pid; exec </dev/null >/dev/null 2>&1
  while kill -0 $owner && kill -0 $pid; do sleep 1; done
  kill -9 $pid; kill -0 $owner || rm -rf "$folder"; wait
) &`

const located = (): string | null => Bun.which("redis-server") ?? Bun.which("valkey-server")

/** Whether there is a server on the PATH to start. */
export const isInstalled = (): boolean => located() !== null

const launch = (port: number, folder: string, options: ReadonlyArray<string>): number => {
  const binary = located()
  if (binary === null) throw new Error("redis-server is not on the PATH: `bun run test` installs it or says how")
  const settings = ["--save", "", "--appendonly", "no", "--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru"]
  const server = [binary, "--bind", host, "--port", String(port), "--dir", folder, ...settings, ...options]
  return Number(execFileSync("sh", ["-c", script, "sh", String(process.pid), folder, ...server], { encoding: "utf8" }))
}

const send = (port: number, words: ReadonlyArray<string>) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect(port, host)
    socket.once("error", reject)
    socket.once("data", (reply) => {
      socket.destroy()
      resolve(String(reply).trim())
    })
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
    socket.write(`*${words.length}\r\n${parts.join("")}`)
  })

const answers = async (port: number): Promise<boolean> => {
  for (let tries = 0; tries < 300; tries++) {
    const reply = await send(port, ["PING"]).catch(() => "")
    if (reply === "+PONG" || reply.startsWith("-NOAUTH")) return true
    await Bun.sleep(10)
  }
  return false
}

export interface Started {
  readonly folder: string
  readonly port: number
  pid: number
}

const signal = (pid: number, name: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void => {
  try {
    process.kill(pid, name)
  } catch {
    // It is gone already, which is what a kill is for.
  }
}

const begin = async (options: ReadonlyArray<string>): Promise<Started> => {
  const folder = mkdtempSync(join(tmpdir(), "connect-redis-"))
  for (let tries = 0; tries < startTries; tries++) {
    const port = await freePort()
    const pid = launch(port, folder, options)
    if (await answers(port)) return { folder, port, pid }
    signal(pid, "SIGKILL")
  }
  throw new Error("redis-server did not start")
}

const instance = (started: Started, options: ReadonlyArray<string>): Instance => ({
  host,
  port: started.port,
  command: (...words) => Effect.promise(() => send(started.port, words)),
  flush: Effect.promise(() => send(started.port, ["FLUSHALL"])),
  pause: Effect.sync(() => signal(started.pid, "SIGSTOP")),
  resume: Effect.sync(() => signal(started.pid, "SIGCONT")),
  kill: Effect.sync(() => signal(started.pid, "SIGKILL")),
  restart: Effect.promise(async () => {
    started.pid = launch(started.port, started.folder, options)
    if (!(await answers(started.port))) throw new Error("redis-server did not come back")
  })
})

/** SIGKILL, and nothing left of it. */
export const stop = ({ folder, pid }: Started): void => {
  signal(pid, "SIGKILL")
  rmSync(folder, { recursive: true, force: true })
}

/** A server of one's own, for tests that stop and kill it. `options` as on redis-server's command line. */
export const start = (...options: ReadonlyArray<string>): Effect.Effect<Instance, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => begin(options)),
    (started) => Effect.sync(() => stop(started))
  ).pipe(Effect.map((started) => instance(started, options)))

let sharing: Promise<Instance> | undefined

/** The server that the tests of this process share; started at the first use. */
export const shared: Effect.Effect<Instance> = Effect.promise(
  () => (sharing ??= begin([]).then((started) => instance(started, [])))
)

/** How `Settings.redis` names an instance. */
export const address = (instance: Instance) => ({
  host: instance.host,
  port: instance.port,
  password: Option.none(),
  connectTimeout: Duration.seconds(2),
  connectionsMax: 50,
  cluster: false
})

/** A store on an instance that waits for it as long as a busy machine may take: for tests that are not about time. */
export const patientStore = (instance: Instance) => RedisStore.make(address(instance), 5_000)

/** The shared server, emptied; closed connections and nothing else remain when the layer's scope closes. */
export const layerStore: Layer.Layer<Store> = Layer.scoped(
  Store,
  Effect.gen(function* () {
    const server = yield* shared
    yield* server.flush
    return yield* patientStore(server)
  })
).pipe(Layer.orDie)

/** Three masters on loopback that share the slots. The first is the one that clients are told of. */
export interface Cluster {
  readonly address: RedisConnection.Address
  readonly nodes: ReadonlyArray<Started>
}

const slots = 16_384

const beginCluster = async (): Promise<Cluster> => {
  const nodes = await Promise.all(
    [0, 1, 2].map(async () => {
      const bus = await freePort()
      const options = ["--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-node-timeout", "500"]
      return { bus, ...(await begin([...options, "--cluster-require-full-coverage", "no"])) }
    })
  )
  const [first] = nodes
  for (const [index, { bus, port }] of nodes.entries()) {
    const from = Math.ceil((slots * index) / nodes.length)
    const to = Math.ceil((slots * (index + 1)) / nodes.length) - 1
    await send(port, ["CLUSTER", "ADDSLOTSRANGE", String(from), String(to)])
    await send(first!.port, ["CLUSTER", "MEET", host, String(port), String(bus)])
  }
  for (const { port } of nodes)
    for (let tries = 0; tries < 500; tries++) {
      const info = await send(port, ["CLUSTER", "INFO"])
      if (info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3")) break
      await Bun.sleep(10)
    }
  const address = {
    host,
    port: first!.port,
    password: Option.none(),
    connectTimeout: Duration.seconds(5),
    cluster: true
  }
  return { address, nodes }
}

/** A cluster of one's own. */
export const startCluster: Effect.Effect<Cluster, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(beginCluster),
  ({ nodes }) => Effect.sync(() => nodes.forEach(stop))
)

let clustering: Promise<Cluster> | undefined

/** A client of the cluster that the tests of this process share; started at the first use. */
export const clusterStore = Effect.flatMap(
  Effect.promise(() => (clustering ??= beginCluster())),
  ({ address }) => RedisStore.make(address, 5_000)
)

export const layerCluster: Layer.Layer<Store> = Layer.orDie(Layer.scoped(Store, clusterStore))

/** Settings of the test preset that name the shared server. */
export const layerSettings: Layer.Layer<Settings.Settings> = Layer.unwrapEffect(
  Effect.map(shared, (server) =>
    Settings.layerTest((settings) => ({ ...settings, redis: Option.some(address(server)) }))
  )
)
