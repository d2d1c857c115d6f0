/**
 * Load from a process of its own: so many connections, each with one request under way at a time, over plain sockets.
 * It writes bytes made once and looks for nothing in an answer but its status and its end, so that it stays far below what
 * any server uses. `bun generator.ts URL SECONDS CONNECTIONS BODY [HEADER: VALUE …]` prints what came back as JSON.
 */
const [url = "", seconds = "2", connections = "64", body = "", ...headers] = process.argv.slice(2)
const { hostname, pathname, port } = new URL(url)

const request = Buffer.from(
  [
    `POST ${pathname} HTTP/1.1`,
    `host: ${hostname}:${port}`,
    "content-type: application/json",
    "accept: application/json",
    ...headers,
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body
  ].join("\r\n")
)

/** A connection, and how much of its answer is still to come; NaN where only the last chunk tells. */
interface Link {
  sent: number
  left: number
}

const blank = Buffer.from("\r\n\r\n")
const lastChunk = Buffer.from("0\r\n\r\n")
const lengthNames = ["Content-Length: ", "content-length: "].map((name) => Buffer.from(name))

/** How many bytes an answer has that begins with this piece, whose head is whole. */
const lengthOf = (piece: Buffer): number => {
  const head = piece.indexOf(blank)
  if (head === -1) throw new Error("An answer's head came in pieces")
  for (const name of lengthNames) {
    const at = piece.indexOf(name)
    if (at === -1 || at > head) continue
    let length = 0
    for (let i = at + name.length; piece[i] !== 13; i++) length = length * 10 + piece[i]! - 48
    return head + blank.length + length
  }
  return Number.NaN
}

let answered = 0
let failed = 0
/** By the tenth of a millisecond; the last counts all that took longer. */
const millis = new Uint32Array(100_000)
const began = performance.now()
const until = began + Number(seconds) * 1_000

const ask = (socket: Bun.Socket<Link>, now: number): void => {
  socket.data.sent = now
  socket.data.left = 0
  socket.write(request)
}

const read = (socket: Bun.Socket<Link>, piece: Buffer): void => {
  const link = socket.data
  if (link.left === 0) {
    // "HTTP/1.1 200"
    if (piece[9] !== 50) failed++
    link.left = lengthOf(piece)
  }
  link.left = Number.isNaN(link.left)
    ? piece.subarray(-lastChunk.length).equals(lastChunk)
      ? 0
      : Number.NaN
    : link.left - piece.length
  if (link.left !== 0) return
  const now = performance.now()
  const tenths = Math.min(millis.length - 1, Math.floor((now - link.sent) * 10))
  millis[tenths] = millis[tenths]! + 1
  answered++
  if (now < until) ask(socket, now)
  else socket.end()
}

const links = Array.from(
  { length: Number(connections) },
  () =>
    new Promise<void>((resolve) => {
      void Bun.connect<Link>({
        hostname,
        port: Number(port),
        socket: {
          open: (socket) => {
            socket.data = { sent: 0, left: 0 }
            ask(socket, performance.now())
          },
          data: read,
          close: () => resolve(),
          error: () => resolve(),
          connectError: () => resolve()
        }
      })
    })
)
await Promise.all(links)
const elapsed = (performance.now() - began) / 1_000

const at = (share: number): number => {
  let left = share * answered
  for (const [tenths, count] of millis.entries()) if ((left -= count) <= 0) return tenths / 10
  return Number.NaN
}
const { system, user } = process.cpuUsage()
const cpuMicros = (user + system) / answered
console.log(JSON.stringify({ answered, failed, seconds: elapsed, cpuMicros, p50: at(0.5), p99: at(0.99) }))
