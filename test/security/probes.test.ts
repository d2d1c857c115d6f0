import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { bundleForNode } from "../kit/bundle.ts"
import { raw } from "./raw.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const source = "test/security/server.ts"

const commands: Readonly<Record<string, () => Promise<ReadonlyArray<string>>>> = {
  bun: () => Promise.resolve([process.execPath, source]),
  node: async () => ["node", await bundleForNode(source)]
}

const query = `{"query":"{ queueStats { waiting } }"}`
const head = (...lines: ReadonlyArray<string>) => `${lines.join("\r\n")}\r\n\r\n`
const ask = ["POST /graphql HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"] as const
const hidden = head("GET /hidden HTTP/1.1", "Host: 127.0.0.1")
const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`

/** Requests whose end two parsers may see in different places. None may be answered as two. */
const smuggling: Readonly<Record<string, string>> = {
  "a length and chunks": head(...ask, "Content-Length: 6", "Transfer-Encoding: chunked") + `0\r\n\r\n${hidden}`,
  "chunks and a length": head(...ask, "Transfer-Encoding: chunked", "Content-Length: 6") + `0\r\n\r\n${hidden}`,
  "two lengths": head(...ask, `Content-Length: ${query.length}`, "Content-Length: 0") + query + hidden,
  "two lengths in one header": head(...ask, "Content-Length: 5, 5") + `hello${hidden}`,
  "a signed length": head(...ask, "Content-Length: +5") + `hello${hidden}`,
  "a length in hex": head(...ask, "Content-Length: 0x5") + `hello${hidden}`,
  "a negative length": head(...ask, "Content-Length: -1") + hidden,
  "a space before the colon": head(...ask, "Transfer-Encoding : chunked") + chunked(query) + hidden,
  "an unknown encoding": head(...ask, "Transfer-Encoding: xchunked") + chunked(query) + hidden,
  "an encoding after another": head(...ask, "Transfer-Encoding: chunked, identity") + chunked(query) + hidden,
  "a folded header": head(...ask, "X-A: 1\r\n 2", `Content-Length: ${query.length}`) + query + hidden,
  "a chunk with no size": head(...ask, "Transfer-Encoding: chunked") + `\r\n${hidden}`,
  "a chunk of an enormous size":
    head(...ask, "Transfer-Encoding: chunked") + `fffffffffffffffff\r\nx\r\n0\r\n\r\n${hidden}`,
  "a chunk longer than it says": head(...ask, "Transfer-Encoding: chunked") + `1\r\n${query}\r\n0\r\n\r\n${hidden}`,
  "a header with NUL": head(...ask, "X-A: a\u0000b", "Content-Length: 0") + hidden,
  "lines that end with LF alone": `${ask.join("\n")}\nContent-Length: 0\n\n${hidden}`,
  "a header without a name": head(...ask, ": x", "Content-Length: 0") + hidden
}

/** Requests, and the only statuses that are right; [] where the connection may be closed without one. */
const requests: Readonly<Record<string, readonly [text: string, statuses: ReadonlyArray<number>]>> = {
  "no Host": [head("GET /health/live HTTP/1.1", "Connection: close"), [400]],
  "two Hosts": [head("GET /health/live HTTP/1.1", "Host: a", "Host: b", "Connection: close"), [400]],
  "a Host with a path": [head("GET /health/live HTTP/1.1", "Host: a/b@c", "Connection: close"), [400]],
  "HTTP/1.0 without a Host": [head("GET /health/live HTTP/1.0"), [200]],
  TRACE: [head("TRACE /graphql HTTP/1.1", "Host: a", "Cookie: connect_session=canary", "Connection: close"), [405]],
  "TRACE of a probe": [head("TRACE /health HTTP/1.1", "Host: a", "Connection: close"), [405]],
  CONNECT: [head("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443", "Connection: close"), [404, 405, 400]],
  PUT: [head("PUT /graphql HTTP/1.1", "Host: a", "Content-Length: 0", "Connection: close"), [405]],
  "a made-up method": [head("PWN /graphql HTTP/1.1", "Host: a", "Connection: close"), [400, 405, 501]],
  "a mutation by GET": [
    head("GET /graphql?query=mutation%7BsignOut%7D HTTP/1.1", "Host: a", "Connection: close"),
    [405]
  ],
  "a form of another site": [
    head(
      "POST /graphql HTTP/1.1",
      "Host: a",
      "Content-Type: application/x-www-form-urlencoded",
      "Content-Length: 2",
      "Connection: close"
    ) + "{}",
    [415]
  ],
  "a path out of the root": [head("GET /assets/../../../etc/passwd HTTP/1.1", "Host: a", "Connection: close"), [404]],
  "an encoded path out of the root": [
    head("GET /assets/%2e%2e%2fpackage.json HTTP/1.1", "Host: a", "Connection: close"),
    [404]
  ],
  "a header of 32 KB": [head("GET /health/live HTTP/1.1", "Host: a", `X-A: ${"a".repeat(32_768)}`), [400, 431]],
  "2,500 headers": [
    head("GET /health/live HTTP/1.1", "Host: a", ...Array.from({ length: 2_500 }, (_, i) => `X-${i}: a`)),
    [400, 431]
  ],
  "a URL of 64 KB": [head(`GET /?${"a".repeat(65_536)} HTTP/1.1`, "Host: a"), [400, 414, 431]],
  "a declared body over the limit": [head(...ask, "Content-Length: 999999999", "Connection: close"), [413]],
  "no HTTP at all": ["\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003", [400]]
}

/** A server of ours, and one that has less patience. */
interface Running {
  readonly port: number
  readonly slowPort: number
}

const running = new Map<string, Running>()
/** Also those of which nothing is heard, because another one fails. */
const children: Array<ChildProcess> = []

beforeAll(async () => {
  const start = async (runtime: string): Promise<void> => {
    const [program = "", ...args] = await commands[runtime]!()
    const child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] })
    children.push(child)
    const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string]
    const [port = 0, slowPort = 0] = line.split(" ").map(Number)
    running.set(runtime, { port, slowPort })
  }
  await Promise.all(Object.keys(commands).map(start))
}, 60_000)
afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
})

describe.each(Object.keys(commands))("raw requests to the server on %s", (runtime) => {
  const send = (text: string) => raw(running.get(runtime)!.port, [text])

  test("a request whose end is unclear is never answered as two, and its connection is closed", async () => {
    const seen = await Promise.all(
      Object.entries(smuggling).map(async ([name, text]) => ({ name, ...(await send(text)) }))
    )
    // /hidden is answered with 404.
    const wrong = seen.filter(
      ({ closed, statuses }) => statuses.some((status) => status !== 400 && status !== 505) || !closed
    )
    expect(wrong.map(({ closed, name, statuses }) => ({ name, statuses, closed }))).toEqual([])
  })

  test("each request has one safe answer, whose text repeats nothing of it", async () => {
    const seen = await Promise.all(
      Object.entries(requests).map(async ([name, [text, allowed]]) => ({ name, allowed, ...(await send(text)) }))
    )
    const wrong = seen.filter(
      ({ allowed, statuses, text }) =>
        statuses.length > 1 || statuses.some((status) => !allowed.includes(status)) || /canary|root:/.test(text)
    )
    expect(wrong.map(({ name, statuses }) => ({ name, statuses }))).toEqual([])
    const silent = seen.filter(({ statuses }) => statuses.length === 0).map(({ name }) => name)
    expect(silent.filter((name) => !["CONNECT", "no HTTP at all", "a made-up method"].includes(name))).toEqual([])
    expect(seen.filter(({ closed, statuses }) => statuses.length === 0 && !closed)).toEqual([])
  })

  test("the host of an absolute target is not believed", async () => {
    const absolute = "GET http://evil.example/graphql?query=%7Bviewer%7Brole%7D%7D HTTP/1.1"
    const cookie = ["Cookie: connect_session=x", "Connection: close"]
    const { statuses } = await send(head(absolute, "Host: 127.0.0.1", "Origin: http://evil.example", ...cookie))
    expect(statuses).toEqual([403])
    const page = await send(head("GET http://evil.example/ HTTP/1.1", "Host: 127.0.0.1", "Connection: close"))
    expect([page.statuses, page.text.includes("evil.example")]).toEqual([[200], false])
  })
})

test("a client that sends its request slowly, or none, is cut off", async () => {
  const kinds: Readonly<Record<string, ReadonlyArray<string>>> = {
    nothing: [],
    headers: ["GET /health/live HTTP/1.1\r\nHost: a\r\n", ..."X-A: 1\r\n".repeat(8)],
    body: [head(...ask, "Content-Length: 1000"), ..."{".repeat(60)]
  }
  const timing = { millisMax: 13_000, pauseMillis: 250, quietMillis: 13_000 }
  const each = async (runtime: string, kind: string) => ({
    who: `${kind} on ${runtime}`,
    ...(await raw(running.get(runtime)!.slowPort, kinds[kind]!, timing))
  })
  const seen = await Promise.all(
    [...running.keys()].flatMap((runtime) => Object.keys(kinds).map((kind) => each(runtime, kind)))
  )
  expect(seen.filter(({ closed }) => !closed).map(({ who }) => who)).toEqual([])
  expect(seen.filter(({ statuses }) => statuses.some((status) => status < 400)).map(({ who }) => who)).toEqual([])
  for (const { slowPort } of running.values())
    expect((await fetch(`http://127.0.0.1:${slowPort}/health/live`)).status).toBe(200)
}, 20_000)
