/**
 * Load from a process of its own, over plain sockets with requests that are made beforehand. `bun generator.ts` reads what
 * to do on its standard input. Closed: each connection asks again when it is answered, or when `Retry-After` is over. Open:
 * requests are due by chance at a rate, whatever comes back, and their time counts from when they were due; one that is due while every connection
 * waits for an answer has failed.
 */
import { classes, random, type Request, requests } from "./mix.ts"
import type { People } from "./people.ts"

export interface Told extends People {
  readonly url: string
  readonly connections: number
  readonly seconds: number
  /** Requests a second; closed without it. */
  readonly rate?: number
  readonly seed: number
  /** An answer that comes later is no good. */
  readonly deadlineMillis: number
}

/** What became of the requests of one class. */
export interface Seen {
  offered: number
  /** Answered with data, in time. */
  good: number
  late: number
  shed: number
  /** Answered with an error that is not Overloaded. */
  errors: number
  /** Not answered, or not even sent. */
  failed: number
  /** Of those that failed: sent to a server that did not answer. */
  unanswered: number
}

/** What the generator prints. Times in milliseconds, from when a request was due to its whole answer. */
export interface Generated {
  readonly seconds: number
  readonly seen: ReadonlyArray<Seen>
  /** Of what was answered with data, in time or not. */
  readonly p50: number
  readonly p99: number
  readonly p99Of: ReadonlyArray<number>
  readonly shedP50: number
  readonly shedP99: number
  /** How late the generator itself was. */
  readonly sentLateP99: number
  /** Of its process, cores. */
  readonly cpuShare: number
  readonly refusedConnects: number
  /** Connections whose server said that it leaves. */
  readonly left: number
  readonly firstError: string
  /** Of the most important class: what was asked for and how it missed. */
  readonly topMisses: ReadonlyArray<string>
  /** Of the requests whose connection was closed before the answer: when they were sent, and what had come. */
  readonly cut: ReadonlyArray<string>
}

interface Link {
  readonly socket: Bun.Socket<Link>
  request: Request | undefined
  due: number
  sent: number
  /** Bytes of the answer that have not come. */
  left: number
  head: string
  ok: boolean
  status: number
  /** What the answer asks its client to wait. */
  retryAfterMillis: number
  closing: boolean
  /** It does not come back. */
  goes: boolean
  isClosed: boolean
  /** Answers that came on it. */
  answered: number
}

const told = JSON.parse(await Bun.stdin.text()) as Told
const { hostname, host, port } = new URL(told.url)
const next = requests(host, told, told.seed)
const seen: ReadonlyArray<Seen> = classes.map(() => ({
  offered: 0,
  good: 0,
  late: 0,
  shed: 0,
  errors: 0,
  failed: 0,
  unanswered: 0
}))
const millis: Array<number> = []
const millisOf: ReadonlyArray<Array<number>> = classes.map(() => [])
const shedMillis: Array<number> = []
const sentLate: Array<number> = []
let firstError = ""

const topMisses: Array<string> = []
const cut: Array<string> = []

/** One line for a request of the most important class that was no good. */
const missed = (request: Request, how: string, due: number, sent: number): void => {
  if (request.lane !== 0) return
  const [what] = request.bytes.toString("latin1", 0, 20).split(" ")
  const after = (time: number) => `${Math.round(time - due)} ms`
  topMisses.push(`${what} ${how}: sent after ${after(sent)}, ${after(performance.now())} in all`)
}

const idle: Array<Link> = []
let isOver = false
let refusedConnects = 0
let left = 0

const send = (link: Link, request: Request, due: number): void => {
  link.request = request
  link.due = due
  link.sent = performance.now()
  link.socket.write(request.bytes)
}

const settle = (link: Link): void => {
  const { request } = link
  link.request = undefined
  if (request === undefined) return
  link.answered++
  const of = seen[request.lane]!
  const took = performance.now() - link.due
  if (link.status === 503) {
    of.shed++
    shedMillis.push(took)
    missed(request, "shed", link.due, link.sent)
  } else if (!link.ok) {
    of.errors++
    missed(request, "error", link.due, link.sent)
  } else {
    millis.push(took)
    millisOf[request.lane]!.push(took)
    if (took <= told.deadlineMillis) of.good++
    else {
      of.late++
      missed(request, "late", link.due, link.sent)
    }
  }
  if (link.closing) {
    // A server that sheds while it leaves is not asked again; the others of its kind would be.
    if (link.status === 503) left++
    link.goes = link.status === 503
    return void link.socket.end()
  }
  if (told.rate !== undefined || isOver) idle.push(link)
  else if (link.status === 503) setTimeout(() => goOn(link), link.retryAfterMillis)
  else begin(link)
}

const goOn = (link: Link): void => {
  if (!isOver && !link.isClosed) begin(link)
}

const begin = (link: Link): void => {
  const request = next()
  seen[request.lane]!.offered++
  send(link, request, performance.now())
}

const read = (link: Link, chunk: Buffer): void => {
  if (link.left > 0) {
    link.left -= chunk.length
    if (link.left <= 0) settle(link)
    return
  }
  const text = link.head + chunk.toString("latin1")
  const end = text.indexOf("\r\n\r\n")
  if (end === -1) {
    link.head = text
    return
  }
  link.head = ""
  const head = text.slice(0, end).toLowerCase()
  link.status = Number(head.slice(9, 12))
  link.closing = head.includes("\r\nconnection: close")
  link.retryAfterMillis = Number(/\r\nretry-after: (\d+)/.exec(head)?.[1] ?? 1) * 1_000
  const length = head.indexOf("content-length: ")
  if (length === -1) throw new Error(`An answer without a length: ${head}`)
  link.ok = link.status === 200 && !text.startsWith('{"errors"', end + 4) && !text.startsWith('{"data":null', end + 4)
  if (!link.ok && link.status !== 503 && firstError === "") firstError = text.slice(0, 1_000)
  link.left = end + 4 + Number.parseInt(head.slice(length + 16), 10) - text.length
  if (link.left <= 0) settle(link)
}

const open = (then: (link: Link) => void): Promise<void> =>
  new Promise((resolve) => {
    void Bun.connect<Link>({
      hostname,
      port: Number(port),
      socket: {
        open: (socket) => {
          socket.data = {
            socket,
            request: undefined,
            due: 0,
            sent: 0,
            left: 0,
            head: "",
            ok: false,
            status: 0,
            retryAfterMillis: 0,
            closing: false,
            goes: false,
            isClosed: false,
            answered: 0
          }
          then(socket.data)
          resolve()
        },
        data: (socket, chunk) => read(socket.data, chunk),
        close: ({ data }) => {
          data.isClosed = true
          const at = idle.indexOf(data)
          if (at !== -1) idle.splice(at, 1)
          if (data.request !== undefined) {
            seen[data.request.lane]!.failed++
            seen[data.request.lane]!.unanswered++
            missed(data.request, "cut", data.due, data.sent)
            const came = data.head !== "" || data.left > 0 ? "a part" : "nothing"
            const before = (performance.now() - data.sent).toFixed(1)
            cut.push(
              `sent ${before} ms before the end of its connection, as number ${data.answered + 1} on it; ${came} came`
            )
          }
          if (!isOver && !data.goes) void open(then)
        },
        error: () => undefined,
        connectError: () => {
          refusedConnects++
          resolve()
        }
      }
    }).catch(() => undefined)
  })

await Promise.all(
  Array.from({ length: told.connections }, () =>
    open((link) => (told.rate === undefined ? begin(link) : idle.push(link)))
  )
)
const began = performance.now()
const until = began + told.seconds * 1_000

if (told.rate !== undefined) {
  const chance = random(told.seed + 1)
  const gap = () => (-Math.log(1 - chance()) * 1_000) / told.rate!
  let due = began + gap()
  while (due < until) {
    const now = performance.now()
    for (; due <= now && due < until; due += gap()) {
      const request = next()
      const of = seen[request.lane]!
      of.offered++
      const link = idle.shift()
      if (link === undefined) {
        of.failed++
        missed(request, "without a connection", due, now)
        continue
      }
      sentLate.push(now - due)
      send(link, request, due)
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
} else await Bun.sleep(told.seconds * 1_000)

const elapsed = (performance.now() - began) / 1_000
isOver = true
await Bun.sleep(1_500)
for (const one of seen) {
  const answered = one.good + one.late + one.shed + one.errors + one.failed
  one.unanswered += one.offered - answered
  one.failed += one.offered - answered
}

const percentile = (samples: Array<number>, share: number): number => {
  samples.sort((a, b) => a - b)
  return samples[Math.min(samples.length - 1, Math.floor(share * samples.length))] ?? Number.NaN
}
const cpu = process.cpuUsage()
const generated: Generated = {
  seconds: elapsed,
  seen,
  p50: percentile(millis, 0.5),
  p99: percentile(millis, 0.99),
  p99Of: millisOf.map((one) => percentile(one, 0.99)),
  shedP50: percentile(shedMillis, 0.5),
  shedP99: percentile(shedMillis, 0.99),
  sentLateP99: percentile(sentLate, 0.99),
  cpuShare: (cpu.user + cpu.system) / 1e6 / elapsed,
  refusedConnects,
  left,
  firstError,
  topMisses,
  cut
}
console.log(JSON.stringify(generated))
process.exit(0)
