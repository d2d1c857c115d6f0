import type { Talk } from "./crowd.ts"

/** What a program of the crowd is told on its standard input. */
export interface Told {
  readonly url: string
  readonly talks: ReadonlyArray<Talk>
  readonly count: number
}

/** An address that the server takes from its trusted proxy: the n-th of a network of ours. */
export const address = (network: number, n: number): string => `10.${network}.${n >> 8}.${n & 255}`

/** Only the first is said. */
let troubles = 0

/** One subscription on a socket of its own; resolves when it is asked for. `onNext` gets each answer as it came. */
export const subscribe = (options: {
  readonly url: string
  readonly token: string
  readonly from: string
  readonly query: string
  readonly variables?: object
  readonly onNext: (text: string) => void
}): Promise<WebSocket> =>
  new Promise((resolve, reject) => {
    const { from, onNext, query, token, url, variables } = options
    const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, {
      protocols: ["graphql-transport-ws"],
      headers: { "x-forwarded-for": from }
    } as never)
    const refused = (what: string): void => {
      if (troubles++ === 0) console.error(what)
      reject(new Error(what))
    }
    socket.addEventListener("error", () => refused("A socket was refused"))
    socket.addEventListener("close", ({ code, reason }) => refused(`A socket was closed: ${code} ${reason}`))
    socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "connection_init", payload: { token } })))
    socket.addEventListener("message", ({ data }) => {
      const text = String(data)
      if (text.includes('"type":"next"')) return onNext(text)
      if (text.includes('"type":"ping"')) return socket.send(`{"type":"pong"}`)
      if (!text.includes('"type":"connection_ack"')) return refused(text)
      socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query, variables } }))
      resolve(socket)
    })
  })
