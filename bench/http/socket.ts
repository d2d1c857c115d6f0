import type { Talk } from "./crowd.ts"

/** What a program of the crowd is told on its standard input. */
export interface Told {
  readonly url: string
  readonly talks: ReadonlyArray<Talk>
}

/** An address that the server takes from its trusted proxy: the n-th of a network of ours. */
export const address = (network: number, n: number): string => `10.${network}.${n >> 8}.${n & 255}`

/** Sockets that a server may refuse in all before it is a failure: who meets one that is still cold comes again. */
let refusalsLeft = 100
const againAfterMillis = 1_000

export interface Asked {
  readonly url: string
  readonly token: string
  readonly from: string
  readonly query: string
  readonly variables?: object
  /** Gets each answer as it came. */
  readonly onNext: (text: string) => void
}

/** So many open at once: a server that has just started compiles what it runs first, and refuses who comes too fast. */
const opensAtOnce = 10

/** A socket for each, a few at a time; resolves when all have subscribed. */
export const subscribeAll = async (all: ReadonlyArray<Asked>): Promise<ReadonlyArray<WebSocket>> => {
  const sockets: Array<WebSocket> = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < all.length) sockets.push(await subscribe(all[next++]!))
  }
  await Promise.all(Array.from({ length: opensAtOnce }, lane))
  return sockets
}

/** One subscription on a socket of its own; resolves when it is asked for. Comes again where the server was busy. */
const subscribe = (asked: Asked): Promise<WebSocket> =>
  new Promise((resolve, reject) => {
    const { from, onNext, query, token, url, variables } = asked
    const subscription = JSON.stringify({ id: "1", type: "subscribe", payload: { query, variables } })
    const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, {
      protocols: ["graphql-transport-ws"],
      headers: { "x-forwarded-for": from }
    } as never)
    const fail = (what: string): void => {
      console.error(what)
      reject(new Error(what))
    }
    socket.addEventListener("close", ({ code, reason }) => {
      if (refusalsLeft-- === 0) return fail(`Sockets were closed: ${code} ${reason}`)
      setTimeout(() => subscribe(asked).then(resolve, reject), againAfterMillis)
    })
    socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "connection_init", payload: { token } })))
    socket.addEventListener("message", ({ data }) => {
      const text = String(data)
      if (text.includes('"type":"next"')) return onNext(text)
      if (text.includes('"type":"ping"')) return socket.send(`{"type":"pong"}`)
      const busy = /"retryAfterMillis":(\d+)/.exec(text)
      if (busy !== null) return void setTimeout(() => socket.send(subscription), Number(busy[1]))
      if (!text.includes('"type":"connection_ack"')) return fail(text)
      socket.send(subscription)
      resolve(socket)
    })
  })
