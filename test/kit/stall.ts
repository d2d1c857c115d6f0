import { createServer, connect, type Socket } from "node:net"
import * as Effect from "effect/Effect"

/** A way to a TCP server that can be stalled: nothing is forwarded then, and the connections stay open. */
export interface Proxy {
  readonly port: number
  readonly stall: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}

/** Forwards to that port of 127.0.0.1 until the scope ends. */
export const proxyTo = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<Proxy & { readonly close: () => void }>((resolve) => {
          const sockets = new Set<Socket>()
          let stalled = false
          const server = createServer((from) => {
            const to = connect(port, "127.0.0.1")
            for (const [socket, other] of [
              [from, to],
              [to, from]
            ] as const) {
              sockets.add(socket)
              if (stalled) socket.pause()
              socket.on("data", (data) => other.write(data))
              socket.on("error", () => {})
              socket.on("close", () => {
                sockets.delete(socket)
                other.destroy()
              })
            }
          })
          const set = (on: boolean) =>
            Effect.sync(() => {
              stalled = on
              for (const socket of sockets) {
                if (on) socket.pause()
                else socket.resume()
              }
            })
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            resolve({
              port: typeof address === "object" && address !== null ? address.port : 0,
              stall: set(true),
              resume: set(false),
              close: () => {
                server.close()
                for (const socket of sockets) socket.destroy()
              }
            })
          })
        })
    ),
    ({ close }) => Effect.sync(close)
  )
