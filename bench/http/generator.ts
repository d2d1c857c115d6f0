/**
 * Load from a process of its own: so many connections, each with one request under way at a time, over plain sockets.
 * `bun generator.ts URL SECONDS REQUESTS CONNECTIONS BODY [HEADER: VALUE …]` ends with whichever is over first and prints what came back as JSON.
 */
const [url = "", seconds = "2", requestsMax = "Infinity", connections = "64", body = "", ...headers] =
  process.argv.slice(2)
const { hostname, pathname, port } = new URL(url)
const until = performance.now() + Number(seconds) * 1_000

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

let failed = 0
let bytes = 0
const millis: Array<number> = []

/** Where the answer at the start of `text` ends; undefined while it is not whole. Latin-1, so that one unit is a byte. */
const endOf = (text: string): number | undefined => {
  const head = text.indexOf("\r\n\r\n")
  if (head === -1) return undefined
  const lower = text.slice(0, head).toLowerCase()
  const at = lower.indexOf("content-length:")
  if (at !== -1) {
    const end = head + 4 + Number.parseInt(lower.slice(at + 15), 10)
    return text.length >= end ? end : undefined
  }
  const last = text.indexOf("\r\n0\r\n\r\n", head)
  return last === -1 ? undefined : last + 7
}

interface Link {
  text: string
  sent: number
}

const ask = (socket: Bun.Socket<Link>): void => {
  socket.data.sent = performance.now()
  socket.write(request)
}

const done: Array<Promise<void>> = []
for (let i = 0; i < Number(connections); i++) {
  done.push(
    new Promise((resolve) => {
      void Bun.connect<Link>({
        hostname,
        port: Number(port),
        socket: {
          open: (socket) => {
            socket.data = { text: "", sent: 0 }
            ask(socket)
          },
          data: (socket, chunk) => {
            const link = socket.data
            link.text += chunk.toString("latin1")
            const end = endOf(link.text)
            if (end === undefined) return
            const now = performance.now()
            millis.push(now - link.sent)
            bytes = end
            if (!link.text.startsWith("HTTP/1.1 200")) failed++
            link.text = link.text.slice(end)
            if (now < until && millis.length < Number(requestsMax)) return ask(socket)
            socket.end()
          },
          close: () => resolve(),
          error: () => resolve(),
          connectError: () => resolve()
        }
      })
    })
  )
}
const began = performance.now()
await Promise.all(done)
const elapsed = (performance.now() - began) / 1_000
millis.sort((a, b) => a - b)
const at = (share: number): number =>
  millis[Math.min(millis.length - 1, Math.floor(share * millis.length))] ?? Number.NaN
console.log(JSON.stringify({ requests: millis.length, failed, bytes, seconds: elapsed, p50: at(0.5), p99: at(0.99) }))
