import { afterEach, describe, expect, test } from "bun:test"
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { bundleForNode } from "../../kit/bundle.ts"
import { largeBytes } from "./fixture.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const source = "test/layers/http/main.ts"

const commands: Readonly<Record<string, () => Promise<ReadonlyArray<string>>>> = {
  bun: () => Promise.resolve([process.execPath, source]),
  node: async () => ["node", await bundleForNode(source)]
}

/** A connection and what came on it. */
class Raw {
  readonly socket: Socket
  text = ""
  bytes = 0
  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1")
    this.socket.on("error", () => {})
    this.socket.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length
      this.text = (this.text + chunk.toString("latin1")).slice(0, 4_096)
    })
  }
  /** The next answer's head. */
  async ask(query: string): Promise<string> {
    this.text = ""
    const body = JSON.stringify({ query })
    this.socket.write(
      `POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    )
    while (!this.text.includes("\r\n\r\n") && !this.socket.closed) await Bun.sleep(5)
    return this.text.toLowerCase()
  }
}

const opened = async (port: number): Promise<Raw> => {
  const raw = new Raw(port)
  await once(raw.socket, "connect")
  return raw
}

for (const [runtime, command] of Object.entries(commands)) {
  describe(`a server on ${runtime} that stops`, () => {
    let child: ChildProcess

    const start = async (): Promise<number> => {
      const [program = "", ...args] = await command()
      child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] })
      const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string]
      return Number(new URL(line).port)
    }
    afterEach(() => void child.kill("SIGKILL"))

    test("answers who asks on a connection that was idle, or never used, until it is gone", async () => {
      const port = await start()
      const [idle, unused, busy] = [await opened(port), await opened(port), await opened(port)]
      const before = await idle.ask("{ queueStats { waiting } }")
      expect(before).toStartWith("http/1.1 200")
      expect(before).not.toContain("connection: close")
      const inFlight = busy.ask("mutation { revokeAllSessions }")
      await Bun.sleep(50)
      const gone = once(child, "exit")
      child.kill("SIGTERM")
      const others = `http://127.0.0.1:${port}/graphql?query=${encodeURIComponent("{ queueStats { waiting } }")}`
      while ((await fetch(others)).status !== 503) await Bun.sleep(5)
      for (const connection of [idle, unused]) {
        const answer = await connection.ask("{ queueStats { waiting } }")
        expect(answer).toStartWith("http/1.1 503")
        expect(answer).toContain("\r\nretry-after: 5\r\n")
        expect(answer).toContain("\r\nconnection: close\r\n")
        if (!connection.socket.closed) await once(connection.socket, "close")
      }
      const last = await inFlight
      expect(last).toStartWith("http/1.1 200")
      expect(last).toContain("\r\nconnection: close\r\n")
      expect(await gone).toEqual([0, null])
    }, 20_000)

    test("sends an answer to its end to a client that reads slowly", async () => {
      const port = await start()
      const slow = await opened(port)
      slow.socket.write("GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
      await once(slow.socket, "data")
      slow.socket.pause()
      const gone = once(child, "exit")
      child.kill("SIGTERM")
      await Bun.sleep(500)
      expect(child.exitCode).toBe(null)
      slow.socket.resume()
      expect(await gone).toEqual([0, null])
      if (!slow.socket.closed) await once(slow.socket, "close")
      expect(slow.bytes).toBeGreaterThan(largeBytes)
    }, 20_000)
  })
}
