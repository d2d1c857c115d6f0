import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import { freePort } from "../../test/kit/ports.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import { percentile } from "../kit.ts"
import * as Database from "./database.ts"
import { client as clientOf, Tally, Where } from "./node.ts"
import * as Postgres from "./postgres.ts"
import { type NodeProcess, startNode } from "./processes.ts"

/**
 * Three nodes, one of them killed or asked to end again and again: the time from the signal until the last of 60 actors
 * answers from another node, while durable messages keep coming whose effects are counted at the end.
 */
const nodesCount = 3
const actors = Array.from({ length: 60 }, (_, i) => `actor-${i}`)
const tallies = Array.from({ length: 20 }, (_, i) => `tally-${i}`)
const senders = 8

/** The whole takes no longer than this, whatever happens. */
const wholeMillisMax = 280_000

const start = async () => {
  const scope = await Effect.runPromise(Scope.make())
  const url = await Effect.runPromise(Scope.extend(Postgres.start, scope))
  const nodes = new Map<number, NodeProcess>()
  const grow = async () => {
    const node = await startNode(url, "ours")
    nodes.set(node.port, node)
  }
  await grow()
  await Promise.all(Array.from({ length: nodesCount - 1 }, grow))
  const runtime = ManagedRuntime.make(clientOf(url, await freePort()))
  const where = await runtime.runPromise(Where.client)
  const inbox = await runtime.runPromise(Inbox.of(Tally))
  const close = async () => {
    await runtime.dispose()
    await Promise.all(Array.from(nodes.values(), (node) => node.stop("SIGTERM")))
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
  return { url, nodes, grow, runtime, where, inbox, close }
}

type Cluster = Awaited<ReturnType<typeof start>>

/** Where each actor is now; asks until it is told. */
const holders = ({ runtime, where }: Cluster, except?: number) =>
  Promise.all(
    actors.map(async (id) => {
      for (;;) {
        const port = await runtime.runPromise(where.ask(id).Node()).catch(() => except)
        if (port !== undefined && port !== except) return port
        await Bun.sleep(5)
      }
    })
  )

/** Waits until every node has its share and nothing moves any more. */
const balanced = async (cluster: Cluster) => {
  for (let last = ""; ;) {
    const now = await holders(cluster)
    const text = now.join()
    if (text === last && new Set(now).size === cluster.nodes.size) return now
    last = text
    await Bun.sleep(200)
  }
}

/** Sends durable messages until `stop`, each with its key until it is answered; how many each actor has accepted. */
const load = ({ inbox, runtime }: Cluster) => {
  const accepted = new Map(tallies.map((id) => [id, 0]))
  let again = 0
  const state = { stopped: false }
  const sender = async (number: number) => {
    for (let i = 0; !state.stopped; i++) {
      const id = tallies[(number * 7 + i) % tallies.length]!
      while (!(await runtime.runPromise(Effect.isSuccess(inbox.ask(id, `${number}-${i}`).Add({ amount: 1 }))))) {
        again++
        await Bun.sleep(20)
      }
      accepted.set(id, accepted.get(id)! + 1)
      await Bun.sleep(5)
    }
  }
  const running = Promise.all(Array.from({ length: senders }, (_, number) => sender(number)))
  return async () => {
    state.stopped = true
    await running
    return { accepted, again }
  }
}

const effects = (url: string) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      return yield* sql<{ id: string; n: number; handled: number }>`
        select s.id, (s.state->>'n')::int as n,
          (select count(*)::int from actor_messages m where m.actor = s.actor and m.id = s.id and m.state = 1) as handled
        from actor_states s where s.actor = ${Tally.name}`
    }).pipe(Effect.provide(Database.layer(url)), Effect.scoped)
  )

export const failover = async (kills: number, terms: number) => {
  const begun = performance.now()
  const cluster = await start()
  const millis = { SIGKILL: [] as Array<number>, SIGTERM: [] as Array<number> }
  console.log(`three nodes after ${Math.round((performance.now() - begun) / 1_000)} s`)
  const finish = load(cluster)
  const rounds = Array.from({ length: kills + terms }, (_, i) => {
    const isTerm = Math.floor(((i + 1) * terms) / (kills + terms)) > Math.floor((i * terms) / (kills + terms))
    return isTerm ? ("SIGTERM" as const) : ("SIGKILL" as const)
  })
  for (const [round, signal] of rounds.entries()) {
    if (performance.now() - begun > wholeMillisMax) break
    const before = await balanced(cluster)
    const port = before[round % before.length]!
    const node = cluster.nodes.get(port)!
    // At any place between two renewals of the locks.
    await Bun.sleep(Math.random() * 1_000)
    const at = performance.now()
    const ended = node.stop(signal)
    await holders(cluster, port)
    const took = performance.now() - at
    millis[signal].push(took)
    await ended
    cluster.nodes.delete(port)
    const held = before.filter((other) => other === port).length
    console.log(
      `${String(round + 1).padStart(2)}/${rounds.length} ${signal}: ${Math.round(took)} ms for ${held} actors, ` +
        `${Math.round((performance.now() - begun) / 1_000)} s`
    )
    await cluster.grow()
  }
  const { accepted, again } = await finish()
  const found = new Map((await effects(cluster.url)).map((row) => [row.id, row]))
  await cluster.close()
  let lost = 0
  let duplicates = 0
  let messages = 0
  for (const [id, count] of accepted) {
    const { handled, n } = found.get(id) ?? { n: 0, handled: 0 }
    messages += count
    lost += Math.max(0, count - n)
    duplicates += Math.max(0, n - handled)
  }
  console.log(`${messages} durable messages, ${again} sent again`)
  return {
    kill: percentile(millis.SIGKILL, 0.99),
    term: percentile(millis.SIGTERM, 0.99),
    lost,
    duplicates
  }
}

if (import.meta.main) {
  console.log(await failover(Number(process.argv[2] ?? 20), Number(process.argv[3] ?? 10)))
  process.exit(0)
}
