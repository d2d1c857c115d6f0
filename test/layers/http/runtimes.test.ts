import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { serverAudits } from "graphql-http"
import { createClient as createEvents } from "graphql-sse"
import { createClient } from "graphql-ws"
import { WebSocket } from "ws"
import { bundleForNode } from "../../kit/bundle.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const source = "test/layers/http/main.ts"

const commands: Readonly<Record<string, () => Promise<ReadonlyArray<string>>>> = {
  node: async () => ["node", await bundleForNode(source)],
  // The binary itself: signals do not pass through the launcher.
  deno: () => Promise.resolve([`${root}/node_modules/deno/deno`, "run", "-A", source])
}

const post = (url: string, body: string | ReadableStream) =>
  fetch(`${url}/graphql`, { method: "POST", headers: { "content-type": "application/json" }, body })

for (const [runtime, command] of Object.entries(commands)) {
  describe(`the server on ${runtime}`, () => {
    let child: ChildProcess
    let url = ""

    beforeAll(async () => {
      const [program = "", ...args] = await command()
      child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] })
      const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string]
      url = line
    }, 60_000)
    afterAll(() => void child.kill("SIGKILL"))

    test("passes every audit of graphql-http", async () => {
      const results = await Promise.all(serverAudits({ url: `${url}/graphql` }).map((audit) => audit.fn()))
      expect(results.filter(({ status }) => status !== "ok").map(({ name }) => name)).toEqual([])
      expect(results.length).toBe(61)
    })

    test("streams events to graphql-sse, and compresses", async () => {
      const client = createEvents({ url: `${url}/graphql/stream`, retryAttempts: 0 })
      const seen: Array<unknown> = []
      for await (const { data } of client.iterate({
        query: "subscription { queueStats(everyMillis: 5) { waiting } }"
      })) {
        if (seen.push(data) === 2) break
      }
      client.dispose()
      expect(seen).toEqual([{ queueStats: { waiting: 0 } }, { queueStats: { waiting: 1 } }])
      const response = await fetch(`${url}/graphql`, {
        method: "POST",
        headers: { "content-type": "application/json", "accept-encoding": "br" },
        body: JSON.stringify({ query: "{ __schema { types { name fields { name } } } }" })
      })
      expect(response.headers.get("content-encoding")).toBe("br")
      expect(await response.json()).toMatchObject({ data: { __schema: {} } })
    })

    test("refuses a body over the limit, declared or not, and goes on", async () => {
      const declared = await post(url, `{"query":"${"x".repeat(33_000)}"}`)
      expect(await declared.json()).toMatchObject({ errors: [{ extensions: { code: "PAYLOAD_TOO_LARGE" } }] })
      const streamed = await post(
        url,
        new ReadableStream({
          start: (controller) => {
            for (let i = 0; i < 64; i++) controller.enqueue(new Uint8Array(1_024).fill(32))
            controller.close()
          }
        })
      )
      expect(streamed.status).toBe(413)
      expect((await post(url, `{"query":"{ queueStats { waiting } }"}`)).status).toBe(200)
    })

    test("a client that goes away ends its request", async () => {
      const abort = new AbortController()
      const body = `{"query":"mutation { leaveQueue }"}`
      const asked = fetch(`${url}/graphql`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: abort.signal
      }).catch(() => undefined)
      await Bun.sleep(50)
      abort.abort()
      await asked
      const inFlight = async () =>
        /connect_request_in_flight (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1]
      while ((await inFlight()) !== "0") await Bun.sleep(10)
    })

    test("subscribes, keeps the bounds of sockets, and lets no foreign page in", async () => {
      const at = `${url.replace("http", "ws")}/graphql`
      const client = createClient({ url: at, webSocketImpl: WebSocket, retryAttempts: 0 })
      const seen: Array<unknown> = []
      const query = "subscription { queueStats(everyMillis: 1) { waiting } }"
      for await (const answer of client.iterate({ query })) if (seen.push(answer) === 3) break
      expect(seen).toEqual([0, 1, 2].map((waiting) => ({ data: { queueStats: { waiting } } })))
      await client.dispose()
      const closing = (say: string) =>
        new Promise<number>((resolve) => {
          const socket = new WebSocket(at, "graphql-transport-ws")
          socket.on("open", () => socket.send(say))
          socket.on("close", resolve)
        })
      expect(await closing("{")).toBe(4400)
      expect(await closing(`{"type":"connection_init","payload":{"token":"none"}}`)).toBe(4401)
      expect([1006, 1009]).toContain(await closing("x".repeat(140_000)))
      const foreign = new WebSocket(at, "graphql-transport-ws", { headers: { origin: "https://evil.example" } })
      const [error] = (await once(foreign, "error")) as [Error]
      expect(error.message).toContain("403")
    })

    test("cuts off who does not read", async () => {
      const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, "graphql-transport-ws")
      socket.on("error", () => {})
      socket.on("open", () => socket.send(`{"type":"connection_init"}`))
      await once(socket, "message")
      for (let id = 0; id < 40; id++)
        socket.send(
          `{"id":"${id}","type":"subscribe","payload":{"query":"subscription { moderationFeed { details } }"}}`
        )
      socket.pause()
      const open = async () =>
        /connect_socket_open\{transport="ws"\} (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1]
      while ((await open()) !== "0") await Bun.sleep(10)
      socket.terminate()
    })

    test("drains on SIGTERM: sockets go with 1012, what is in flight ends, the process ends", async () => {
      const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, "graphql-transport-ws")
      await once(socket, "open")
      const closed = once(socket, "close")
      const inFlight = post(url, `{"query":"mutation { revokeAllSessions }"}`)
      await Bun.sleep(50)
      child.kill("SIGTERM")
      expect((await closed)[0]).toBe(1012)
      expect((await inFlight).status).toBe(200)
      if (child.exitCode === null) await once(child, "exit")
      expect(child.exitCode).toBe(0)
    })
  })
}
