import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { freePort } from "../kit/ports.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Redis from "../kit/Redis.ts"
import { type Server, startServer } from "../kit/server.ts"
import { Misuse } from "./tool.ts"

/** Nodes of one cluster at most: each is a whole program on this machine. */
export const nodesMax = 9

type Environment = Readonly<Record<string, string>>

interface Node {
  readonly env: Environment
  readonly url: string
  /** undefined while it is down. */
  server: Server | undefined
}

const redisMissing = `--nodes needs redis-server (or valkey-server) on the PATH: the nodes tell each other through it what happens.
  Debian, Ubuntu: sudo apt-get install redis-server
  macOS:          brew install redis`

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/**
 * Several nodes of one cluster on this machine, on a Postgres and a Redis of their own that go with the process. Killed
 * ones are started again at the same address.
 */
export class Nodes {
  kills = 0
  private readonly nodes: ReadonlyArray<Node>
  private readonly release: () => Promise<void>
  private readonly report: (what: string) => void
  private next = 0
  private killer: ReturnType<typeof setInterval> | undefined
  private underway: Promise<void> = Promise.resolve()
  private returning: Promise<void> | undefined

  private constructor(nodes: ReadonlyArray<Node>, release: () => Promise<void>, report: (what: string) => void) {
    this.nodes = nodes
    this.release = release
    this.report = report
  }

  /** All nodes, ready. `report` is told what happens to them. */
  static async start(count: number, report: (what: string) => void): Promise<Nodes> {
    if (!Redis.isInstalled()) throw new Misuse(redisMissing)
    const scope = await Effect.runPromise(Scope.make())
    const release = () => Effect.runPromise(Scope.close(scope, Exit.void))
    try {
      report("starting Postgres and Redis")
      const folder = Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "connect-nodes-"))),
        (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
      )
      const services = Effect.all([Postgres.durableUrl, Redis.start(), folder], { concurrency: 2 })
      const [database, redis, dataDir] = await Effect.runPromise(Scope.extend(services, scope))
      const shared = {
        CLUSTER: "on",
        DATABASE_URL: database,
        DATA_DIR: dataDir,
        REDIS_HOST: redis.host,
        REDIS_PORT: String(redis.port)
      }
      const startNode = async (number: number): Promise<Node> => {
        report(`starting node ${number} of ${count}`)
        const port = String(await freePort())
        const env = { ...shared, PORT: port, NODE_HOST: "127.0.0.1", NODE_PORT: String(await freePort()) }
        return { env, url: `http://127.0.0.1:${port}`, server: await startServer(env) }
      }
      // The first one makes the tables.
      const first = await startNode(1)
      const others = await Promise.all(Array.from({ length: count - 1 }, (_, i) => startNode(i + 2)))
      return new Nodes([first, ...others], release, report)
    } catch (error) {
      await release()
      throw error
    }
  }

  /** Where the nodes answer. The list begins with another one for each `first`. */
  urls(first: number): ReadonlyArray<string> {
    const urls = this.nodes.map(({ url }) => url)
    return urls.map((_, i) => urls[(i + first) % urls.length]!)
  }

  /** Kills one node after the other, the next one every `seconds` or when the one before is back, until `stop`. */
  killEvery(seconds: number): void {
    this.killer = setInterval(() => {
      this.underway = this.underway.then(() => this.killNext())
    }, seconds * 1_000)
  }

  /** Kills a node without warning and starts it again, unless one is down already or there is only this one. */
  private async killNext(): Promise<void> {
    const number = this.next % this.nodes.length
    const node = this.nodes[number]!
    const { server } = node
    if (this.nodes.length < 2 || this.returning !== undefined || server === undefined || this.killer === undefined)
      return
    this.next++
    node.server = undefined
    this.kills++
    this.report(`node ${number + 1} is killed`)
    await server.kill()
    this.returning = this.revive(node, number).finally(() => (this.returning = undefined))
  }

  private async revive(node: Node, number: number): Promise<void> {
    for (let tries = 1; this.killer !== undefined; tries++) {
      try {
        node.server = await startServer(node.env)
        return this.report(`node ${number + 1} is back`)
      } catch (error) {
        this.report(`node ${number + 1} does not start, try ${tries}: ${String(error)}`)
        await pause(1_000)
      }
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.killer)
    this.killer = undefined
    await this.underway
    await this.returning
    await Promise.all(this.nodes.map(({ server }) => server?.stop()))
    await this.release()
  }
}
