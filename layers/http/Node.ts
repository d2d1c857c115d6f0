import type { IncomingMessage, Server, ServerResponse } from "node:http"
import { createServer, STATUS_CODES } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { WebSocket } from "ws"
import { WebSocketServer } from "ws"
import type { StartupError } from "../../src/config/StartupError.ts"
import { PayloadTooLarge } from "../../src/errors.ts"
import type { Peer } from "../../src/request/GraphqlSocket.ts"
import type { Answer, Arriving, Body, Events } from "../../src/request/Incoming.ts"
import { headersOf } from "../../src/request/Incoming.ts"
import * as limits from "../../src/request/socketLimits.ts"
import { concatenate } from "./bytes.ts"
import type { Options } from "./options.ts"
import { portInUse } from "./options.ts"
import type { Bound, Serving } from "./Serving.ts"

/** Headers that take longer to arrive close their connection; how often node:http looks. */
const headersMillisMax = 10_000
const checkMillis = 1_000

const headerOf = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name]
  return typeof value === "string" ? value : value?.join(", ")
}

/** Counts the body while it comes. What is too long is read to its end and forgotten, so that the answer arrives. */
const read = (request: IncomingMessage, bytesMax: number): Promise<Body> | Body => {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) {
    request.resume()
    return new PayloadTooLarge({ bytesMax })
  }
  return new Promise((resolve, reject) => {
    let chunks: Array<Uint8Array> = []
    let bytes = 0
    request.on("data", (chunk: Uint8Array) => {
      bytes += chunk.byteLength
      if (bytes <= bytesMax) return void chunks.push(chunk)
      chunks = []
      resolve(new PayloadTooLarge({ bytesMax }))
    })
    request.on("end", () => resolve(concatenate(chunks, bytes)))
    request.on("error", reject)
  })
}

const incomingOf = (request: IncomingMessage, response?: ServerResponse): Arriving => {
  // An absolute-form target names a host of the sender's choice; only its path counts.
  const target = (request.url ?? "/").replace(/^https?:\/\/[^/?]*/i, "")
  const end = target.indexOf("?")
  return {
    method: request.method ?? "GET",
    path: (end === -1 ? target : target.slice(0, end)) || "/",
    search: end === -1 ? "" : target.slice(end),
    header: (name) => headerOf(request, name),
    peer: request.socket.remoteAddress ?? "",
    secure: false,
    read: (bytesMax) => read(request, bytesMax),
    onAbort: (abort) => response?.on("close", abort)
  }
}

/** Pieces of text as the reader takes them; whoever sends waits while too much is unsent. */
const stream = (response: ServerResponse, { open }: Events): void => {
  response.flushHeaders()
  const connection = open({
    send: (text) => {
      if (response.destroyed || response.write(text)) return undefined
      if (response.writableLength <= limits.sendBufferHighBytes) return undefined
      return new Promise((resolve) => {
        response.once("drain", resolve)
        response.once("close", resolve)
      })
    },
    end: () => response.end()
  })
  response.on("close", () => connection.closed())
}

const write = (response: ServerResponse, answer: Answer): void => {
  if (response.destroyed) return
  const { body, status } = answer
  const headers = headersOf(answer)
  if (body !== null && typeof body === "object" && "open" in body) {
    response.writeHead(status, headers)
    return stream(response, body)
  }
  const length = body === null ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.byteLength
  response.writeHead(status, status === 304 ? headers : { ...headers, "content-length": length })
  response.end(body ?? undefined)
}

const refuseUpgrade = (socket: Duplex, { status, headers, body }: Answer): void => {
  const lines = Object.entries({ ...headers, connection: "close" }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n${String(body ?? "")}`)
}

const peerOf = (socket: WebSocket): Peer => ({
  send: (message) => {
    if (socket.bufferedAmount <= limits.sendBufferHighBytes) return socket.send(message)
    return new Promise((resolve) => {
      if (socket.bufferedAmount <= limits.sendBufferBytesMax) return socket.send(message, () => resolve())
      // Whoever sends waits until the socket is gone: otherwise a busy stream would keep the event loop from closing it.
      socket.once("close", () => resolve())
      socket.terminate()
    })
  },
  close: (code, reason) => socket.close(code, reason)
})

/** Closes sockets whose other end no longer answers pings. */
const keepAlive = (server: WebSocketServer): (() => void) => {
  const answered = new WeakSet<WebSocket>()
  server.on("connection", (socket) => {
    answered.add(socket)
    socket.on("pong", () => answered.add(socket))
  })
  const timer = setInterval(
    () => {
      for (const socket of server.clients) {
        if (!answered.delete(socket)) socket.terminate()
        else socket.ping()
      }
    },
    (limits.idleSeconds * 1_000) / 2
  )
  return () => clearInterval(timer)
}

const acceptSockets = (server: Server, { sockets }: Serving, socketPath: string): (() => void) => {
  const handshakes = new WebSocketServer({
    noServer: true,
    maxPayload: limits.messageBytesMax,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has("graphql-transport-ws") ? "graphql-transport-ws" : false)
  })
  server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    stream.on("error", () => stream.destroy())
    const incoming = incomingOf(request)
    if (incoming.path !== socketPath) return stream.destroy()
    const admitted = sockets.admit(incoming)
    if ("status" in admitted) return refuseUpgrade(stream, admitted)
    handshakes.handleUpgrade(request, stream, head, (socket) => {
      handshakes.emit("connection", socket)
      socket.setMaxListeners(limits.operationsPerSocketMax + 10)
      const connection = sockets.open(peerOf(socket), admitted)
      socket.on("message", (data: Buffer, isBinary: boolean) => {
        if (isBinary) socket.close(1003, "Messages are text")
        else connection.message(data.toString("utf8"))
      })
      socket.on("error", () => socket.terminate())
      socket.on("close", (code, reason) => connection.closed(code, reason.toString("utf8")))
    })
  })
  const stop = keepAlive(handshakes)
  return () => {
    stop()
    for (const socket of handshakes.clients) socket.terminate()
  }
}

/** How many connections have bytes that their clients have not taken. */
const unsentOf = (server: Server): Bound["unsent"] => {
  const connections = new Set<Socket>()
  server.on("connection", (socket) => {
    connections.add(socket)
    socket.once("close", () => connections.delete(socket))
  })
  return () => {
    let unsent = 0
    for (const { writableLength } of connections) if (writableLength > 0) unsent++
    return unsent
  }
}

const listening = (server: Server, options: Options): Effect.Effect<Bound, StartupError> =>
  Effect.async((resume) => {
    const unsent = unsentOf(server)
    server.once("error", (error) => resume(Effect.fail(portInUse(options, error))))
    server.listen(options.port, options.host, () => {
      const { port } = server.address() as AddressInfo
      resume(Effect.succeed({ host: options.host, port, unsent }))
    })
  })

/** node:http and ws: the server on Node and Deno. */
export const serve = (serving: Serving, options: Options): Effect.Effect<Bound, StartupError, Scope.Scope> =>
  Effect.gen(function* () {
    const server = createServer(
      { connectionsCheckingInterval: checkMillis, joinDuplicateHeaders: true },
      (request, response) => {
        void serving.answer(incomingOf(request, response), (answer) => write(response, answer))
      }
    )
    server.keepAliveTimeout = options.idleSeconds * 1_000
    server.requestTimeout = options.idleSeconds * 1_000
    server.headersTimeout = Math.min(headersMillisMax, server.requestTimeout)
    const stopSockets = acceptSockets(server, serving, options.socketPath)
    yield* Effect.addFinalizer(() =>
      Effect.async<void>((resume) => {
        stopSockets()
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
    )
    return yield* listening(server, options)
  })
