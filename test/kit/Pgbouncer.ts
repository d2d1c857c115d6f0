import { spawn } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./ports.ts"

const host = "127.0.0.1"

/** Whether there is one on the PATH to start. */
export const isInstalled = (): boolean => Bun.which("pgbouncer") !== null

/** It ends with its input, which closes when this process is gone, however it went. */
const script = `"$@" </dev/null & pid=$!
read -r _
kill -INT $pid; wait`

/** Everyone may come in, as the one user that the server has. */
const configuration = (server: URL, port: number): string => `[databases]
* = host=${server.hostname} port=${server.port} user=${server.username}
[pgbouncer]
listen_addr = ${host}
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 15
max_client_conn = 100
`

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy()
      resolve(true)
    }).once("error", () => resolve(false))
  })

/** The `DATABASE_URL` by way of a PgBouncer that pools transactions. It ends with the scope. */
export const inFrontOf = (url: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const server = new URL(url)
    const port = yield* Effect.promise(() => freePort())
    const folder = mkdtempSync(join(tmpdir(), "connect-pgbouncer-"))
    chmodSync(folder, 0o755)
    const file = join(folder, "pgbouncer.ini")
    writeFileSync(file, configuration(server, port))
    const account = process.getuid?.() === 0 ? ["-u", "nobody"] : []
    const command = ["pgbouncer", "-q", ...account, file]
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("sh", ["-c", script, "sh", ...command], { detached: true, stdio: ["pipe", "ignore", "ignore"] })
      ),
      (child) =>
        Effect.sync(() => {
          child.stdin.end()
          rmSync(folder, { recursive: true, force: true })
        })
    )
    const open = Effect.promise(() => isOpen(port))
    yield* Effect.repeat(Effect.delay(open, "10 millis"), { until: (is) => is }).pipe(Effect.timeout("5 seconds"))
    server.port = String(port)
    return server.href
  }).pipe(Effect.orDie)
