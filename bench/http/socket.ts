import type { Talk } from "./crowd.ts"

/** What a program of the crowd is told on its standard input. */
export interface Told {
  readonly url: string
  readonly talks: ReadonlyArray<Talk>
  readonly count: number
}

/** An address that the server takes from its trusted proxy: the n-th of a network of ours. */
export const address = (network: number, n: number): string => `10.${network}.${n >> 8}.${n & 255}`

/** One subscription on a socket of its own; resolves when it is asked for. `onEvent` gets each value's root fields. */
export const subscribe = (options: {
  readonly url: string
  readonly token: string
  readonly from: string
  readonly query: string
  readonly variables?: object
  readonly onEvent: (data: Readonly<Record<string, unknown>>) => void
}): Promise<WebSocket> =>
  new Promise((resolve, reject) => {
    const { from, onEvent, query, token, url, variables } = options
    const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, {
      protocols: ["graphql-transport-ws"],
      headers: { "x-forwarded-for": from }
    } as never)
    socket.addEventListener("error", () => reject(new Error("A socket was refused")))
    socket.addEventListener("close", ({ code, reason }) => reject(new Error(`A socket was closed: ${code} ${reason}`)))
    socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "connection_init", payload: { token } })))
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(String(data)) as {
        readonly type: string
        readonly payload?: { readonly data?: Readonly<Record<string, unknown>> }
      }
      if (message.type === "ping") return socket.send(`{"type":"pong"}`)
      if (message.type === "error") return reject(new Error(String(data)))
      if (message.payload?.data !== undefined) onEvent(message.payload.data)
      if (message.type !== "connection_ack") return
      socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query, variables } }))
      resolve(socket)
    })
  })
