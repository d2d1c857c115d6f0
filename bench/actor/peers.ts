/** Context rows: what xstate and nact do for the same counter. Neither has a bound, supervision or typed failures. */
export interface Peer {
  readonly name: string
  readonly run: (ids: ReadonlyArray<string>, callers: number, each: number) => Promise<void>
}

/** Not in the types of this program: bench/package.json installs them. */
const load = (name: string): Promise<Record<string, (...args: ReadonlyArray<unknown>) => unknown>> => import(name)

const inTurn = async (callers: number, each: number, ask: (index: number) => Promise<unknown>) => {
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let i = 0; i < each; i++) await ask(caller * 31 + i)
    })
  )
}

const nact = async (): Promise<Peer> => {
  const { dispatch, query, spawn, start } = await load("nact")
  const system = start!()
  const actors = new Map<string, unknown>()
  const behaviour = (n: number, message: { readonly amount: number; readonly sender: unknown }) => {
    dispatch!(message.sender, n + message.amount)
    return n + message.amount
  }
  const actorOf = (id: string) => {
    const actor = actors.get(id) ?? spawn!(system, (n = 0, message: never) => behaviour(n, message))
    actors.set(id, actor)
    return actor
  }
  return {
    name: "nact query (no bound, no supervision)",
    run: (ids, callers, each) =>
      inTurn(
        callers,
        each,
        (index) =>
          query!(
            actorOf(ids[index % ids.length]!),
            (sender: unknown) => ({ amount: 1, sender }),
            10_000
          ) as Promise<unknown>
      )
  }
}

const xstate = async (): Promise<Peer> => {
  const { assign, createActor, createMachine } = await load("xstate")
  const machine = createMachine!({
    context: { n: 0 },
    on: {
      ADD: {
        actions: assign!({
          n: ({
            context,
            event
          }: {
            readonly context: { readonly n: number }
            readonly event: { readonly amount: number }
          }) => context.n + event.amount
        })
      }
    }
  })
  interface Machine {
    readonly start: () => void
    readonly send: (event: unknown) => void
    readonly getSnapshot: () => { readonly context: { readonly n: number } }
  }
  const actors = new Map<string, Machine>()
  const actorOf = (id: string) => {
    const known = actors.get(id)
    if (known !== undefined) return known
    const actor = createActor!(machine) as Machine
    actor.start()
    actors.set(id, actor)
    return actor
  }
  return {
    name: "xstate send + snapshot (no mailbox of its own)",
    run: (ids, callers, each) =>
      inTurn(callers, each, async (index) => {
        const actor = actorOf(ids[index % ids.length]!)
        actor.send({ type: "ADD", amount: 1 })
        return actor.getSnapshot().context.n
      })
  }
}

/** Those that are installed. */
export const peers = async (): Promise<ReadonlyArray<Peer>> => {
  const made = await Promise.allSettled([nact(), xstate()])
  return made.flatMap((peer) => (peer.status === "fulfilled" ? [peer.value] : []))
}
