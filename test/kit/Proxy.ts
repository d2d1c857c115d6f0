import { connect, createServer, type Socket } from "node:net"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A TCP proxy on loopback that can harm what goes through it. */
export interface Proxy {
  readonly port: number
  /** The next answer is cut off after so many bytes, and the connection with it. */
  readonly cutAfter: (bytes: number) => void
  /** Connections stay open and nothing comes through any more, also not on new ones, until `restore`. */
  readonly stall: () => void
  /** As `stall`, but what is under way is kept until `resume`: the line hangs and comes back. */
  readonly pause: () => void
  readonly resume: () => void
  /** Resets what was stalled, since bytes are missing on it, and lets new connections through. */
  readonly restore: () => void
}

const host = "127.0.0.1"

/** In front of the server on that port. */
export const start = (target: number): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const open = new Set<Socket>()
    let cut: number | undefined
    let stalled = false
    let paused = false
    const server = createServer((client) => {
      const upstream = connect(target, host)
      const close = () => {
        client.destroy()
        upstream.destroy()
      }
      for (const socket of [client, upstream]) {
        open.add(socket)
        if (paused) socket.pause()
        socket.on("error", close)
        socket.on("close", () => {
          open.delete(socket)
          close()
        })
      }
      client.on("data", (bytes) => void (stalled || upstream.write(bytes)))
      upstream.on("data", (bytes: Buffer) => {
        if (stalled) return
        if (cut === undefined) return void client.write(bytes)
        client.write(bytes.subarray(0, cut), close)
        cut = undefined
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => server.listen(0, host, resolve))),
      () =>
        Effect.sync(() => {
          server.close()
          for (const socket of open) socket.destroy()
        })
    )
    return {
      port: (server.address() as AddressInfo).port,
      cutAfter: (bytes) => {
        cut = bytes
      },
      pause: () => {
        paused = true
        for (const socket of open) socket.pause()
      },
      resume: () => {
        paused = false
        for (const socket of open) socket.resume()
      },
      stall: () => {
        stalled = true
      },
      restore: () => {
        stalled = false
        for (const socket of open) socket.resetAndDestroy()
      }
    }
  })
