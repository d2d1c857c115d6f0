/// <reference types="bun-types" />
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { StartupError } from "../../src/config/StartupError.ts"
import { PayloadTooLarge } from "../../src/errors.ts"
import type { Admitted, Connection, Peer } from "../../src/request/GraphqlSocket.ts"
import type { Answer, Arriving, Body, Events, Reader } from "../../src/request/Incoming.ts"
import * as limits from "../../src/request/socketLimits.ts"
import { concatenate } from "./bytes.ts"
import type { Options } from "./options.ts"
import { portInUse } from "./options.ts"
import type { Bound, Serving } from "./Serving.ts"

interface Data {
  readonly admitted: Admitted
  connection?: Connection
  readonly drained: Array<() => void>
}

type Socket = Bun.ServerWebSocket<Data>
type Server = Bun.Server<Data>

/** Pieces of text as the reader takes them; whoever sends waits while too much is unsent. */
const streamOf = ({ open }: Events): ReadableStream<Uint8Array> => {
  const drained: Array<() => void> = []
  const release = (): void => {
    for (const resolve of drained.splice(0)) resolve()
  }
  const encoder = new TextEncoder()
  let connection: ReturnType<Events["open"]> | undefined
  let isOpen = true
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        const reader: Reader = {
          send: (text) => {
            if (!isOpen) return undefined
            controller.enqueue(encoder.encode(text))
            if ((controller.desiredSize ?? 0) > 0) return undefined
            return new Promise((resolve) => drained.push(resolve))
          },
          end: () => {
            if (!isOpen) return
            isOpen = false
            controller.close()
          }
        }
        connection = open(reader)
      },
      pull: release,
      cancel: () => {
        isOpen = false
        release()
        connection?.closed()
      }
    },
    new ByteLengthQueuingStrategy({ highWaterMark: limits.sendBufferHighBytes })
  )
}

/** Headers that many answers share, as Bun has them. */
const ready = new WeakMap<Answer["headers"], Headers>()

/** A Response copies its headers, so that one object takes what differs for each in turn. */
const headersFor = ({ headers, ratelimit }: Answer): Answer["headers"] | Headers => {
  if (ratelimit === undefined) return headers
  let shared = ready.get(headers)
  if (shared === undefined) ready.set(headers, (shared = new Headers(headers)))
  shared.set("ratelimit", ratelimit)
  return shared
}

const toResponse = (answer: Answer): Response => {
  const { body, status } = answer
  const headers = headersFor(answer)
  return new Response(body !== null && typeof body === "object" && "open" in body ? streamOf(body) : body, {
    status,
    headers
  })
}

/** Counts a body of unknown length while it comes. */
const readCounted = async (request: Request, bytesMax: number): Promise<Body> => {
  const chunks: Array<Uint8Array> = []
  let bytes = 0
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) return new PayloadTooLarge({ bytesMax })
    chunks.push(chunk)
  }
  return concatenate(chunks, bytes)
}

/** What of its URL follows the path. */
const searchOf = (url: string): string => {
  const end = url.indexOf("?")
  return end === -1 ? "" : url.slice(end)
}

const pathOf = (url: string): string => {
  // Without a Host (HTTP/1.0) there is only the path.
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("//") + 2)
  const end = url.indexOf("?", start)
  return end === -1 ? url.slice(start) : url.slice(start, end)
}

/** A view of Bun's Request that parses nothing ahead. */
class Request_ implements Arriving {
  readonly #request: Request
  readonly #server: Server
  #peer: string | undefined
  readonly method: string
  readonly path: string
  readonly secure = false
  constructor(request: Request, server: Server, path: string) {
    this.#request = request
    this.#server = server
    this.method = request.method
    this.path = path
  }
  get search(): string {
    return searchOf(this.#request.url)
  }
  /** Asked of the kernel, which costs as much as reading the request: once. */
  get peer(): string {
    return (this.#peer ??= this.#server.requestIP(this.#request)?.address ?? "")
  }
  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined
  }
  read(bytesMax: number): Promise<Body> | Body {
    const declared = this.#request.headers.get("content-length")
    if (declared !== null && Number(declared) > bytesMax) return new PayloadTooLarge({ bytesMax })
    return declared === null ? readCounted(this.#request, bytesMax) : this.#request.text()
  }
  onAbort(abort: () => void): void {
    this.#request.signal.addEventListener("abort", abort)
  }
}

const peerOf = (socket: Socket): Peer => ({
  send: (message) => {
    // 0: it was thrown away, because more than the bound is waiting already.
    if (socket.sendText(message) === 0) socket.terminate()
    if (socket.getBufferedAmount() <= limits.sendBufferHighBytes) return undefined
    return new Promise((resolve) => socket.data.drained.push(resolve))
  },
  close: (code, reason) => socket.close(code, reason)
})

const release = (socket: Socket): void => {
  for (const resolve of socket.data.drained.splice(0)) resolve()
}

const websocket = ({ sockets }: Serving): Bun.WebSocketHandler<Data> => ({
  maxPayloadLength: limits.messageBytesMax,
  backpressureLimit: limits.sendBufferBytesMax,
  closeOnBackpressureLimit: true,
  idleTimeout: limits.idleSeconds,
  sendPings: true,
  open: (socket) => {
    const connection = sockets.open(peerOf(socket), socket.data.admitted)
    socket.data.connection = connection
    // A refusal closes while it opens, when there is nobody to tell yet.
    if (socket.readyState !== WebSocket.OPEN) connection.closed(1006, "")
  },
  message: (socket, message) => {
    if (typeof message === "string") socket.data.connection?.message(message)
    else socket.close(1003, "Messages are text")
  },
  drain: release,
  close: (socket, code, reason) => {
    release(socket)
    socket.data.connection?.closed(code, reason)
  }
})

const upgrade = (incoming: Arriving, request: Request, server: Server, serving: Serving): Response | undefined => {
  const admitted = serving.sockets.admit(incoming)
  if ("status" in admitted) return toResponse({ ...admitted, headers: { ...admitted.headers, connection: "close" } })
  const headers = admitted.protocol === undefined ? {} : { "sec-websocket-protocol": admitted.protocol }
  const data: Data = { admitted, drained: [] }
  return server.upgrade(request, { data, headers }) ? undefined : new Response(null, { status: 400 })
}

/** Bun's own server: hot paths pay for nothing but themselves, and sockets tell how much they hold back. */
export const serve = (serving: Serving, options: Options): Effect.Effect<Bound, StartupError, Scope.Scope> => {
  const handle = (request: Request, server: Server, path: string) => {
    const incoming = new Request_(request, server, path)
    const mayUpgrade = path === options.socketPath && incoming.method === "GET"
    return mayUpgrade && incoming.header("upgrade")?.toLowerCase() === "websocket"
      ? upgrade(incoming, request, server, serving)
      : serving.answer(incoming, toResponse)
  }
  return Effect.map(
    Effect.acquireRelease(
      Effect.try({
        try: () =>
          Bun.serve<Data>({
            hostname: options.host,
            port: options.port,
            // Bodies are counted by whoever reads them, so that the answer says what the limit is.
            maxRequestBodySize: Number.MAX_SAFE_INTEGER,
            idleTimeout: options.idleSeconds,
            development: false,
            // Without this, a second server on the port is let in and shares its connections.
            reusePort: false,
            // The URL of a request to a path that is known is not even put together.
            routes: Object.fromEntries(
              options.paths.map((path) => [path, (request: Request, server: Server) => handle(request, server, path)])
            ),
            fetch: (request, server) => handle(request, server, pathOf(request.url)),
            error: () => new Response(null, { status: 500 }),
            websocket: websocket(serving)
          }),
        catch: (error) => portInUse(options, error)
      }),
      (server) => Effect.promise(() => server.stop(true))
    ),
    (server) => ({
      host: options.host,
      port: server.port ?? options.port,
      unsent: () => server.pendingRequests
    })
  )
}
