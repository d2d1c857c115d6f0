import { chmodSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PostgresAccount from "../../layers/database/PostgresAccount.ts"
import * as PostgresBinaries from "../../layers/database/PostgresBinaries.ts"
import * as PostgresServer from "../../layers/database/PostgresServer.ts"
import { freePort } from "../../test/kit/ports.ts"

/** A Postgres of its own on TCP that flushes every commit to the disk. Ends with the scope. */
export const start = Effect.gen(function* () {
  const folder = mkdtempSync(join(tmpdir(), "connect-bench-"))
  chmodSync(folder, 0o755)
  const port = yield* Effect.promise(freePort)
  const found = yield* PostgresBinaries.locate(join(folder, "lib"))
  const binaries = Option.getOrThrow(found)
  const account = yield* PostgresAccount.forPaths([folder, binaries.postgres], undefined)
  const socketFolder = yield* Effect.promise(() => PostgresServer.privateFolder(account, join(folder, "s-")))
  const parent = yield* Effect.promise(() => PostgresServer.privateFolder(account, join(folder, "d-")))
  yield* PostgresServer.start({
    binaries,
    account,
    dataFolder: join(parent, "postgres"),
    socketFolder,
    logFile: join(folder, "postgres.log"),
    settings: { listen_addresses: "127.0.0.1", port: String(port) },
    orphanFolders: [folder]
  })
  return `postgres://${PostgresServer.user}:none@127.0.0.1:${port}/postgres`
})
