import { existsSync, readFileSync, statSync } from "node:fs"
import { delimiter, dirname, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { StartupError } from "../../src/config/StartupError.ts"

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Under whose account the server's processes run. */
export interface PostgresAccount {
  /** Set when the program is root: Postgres refuses to run as root. */
  readonly owner: Owner | undefined
  /** Words to put before each command, so that `owner` gets through folders that only root may enter. */
  readonly prefix: ReadonlyArray<string>
}

/** `nobody` by number: it exists everywhere, with or without an entry in /etc/passwd. */
const nobody = 65_534

const executable = 0o1

/** The first folder above or at `path` that `owner` may not pass through. */
const obstacle = (owner: Owner, path: string): string | undefined => {
  const parent = dirname(path)
  const above = parent === path ? undefined : obstacle(owner, parent)
  if (above !== undefined || !existsSync(path)) return above
  const { gid, mode, uid } = statSync(path)
  const shift = uid === owner.uid ? 6 : gid === owner.gid ? 3 : 0
  return ((mode >> shift) & executable) === executable ? undefined : path
}

/** Capabilities that let a process pass any folder, the smaller one first, by their bit in /proc/self/status. */
const passing = [
  { name: "dac_read_search", bit: 2n },
  { name: "dac_override", bit: 1n }
]

/** CAP_SETPCAP: to set the bit of `securebits` below. */
const setpcap = 8n

const passingCapability = (): string | undefined => {
  const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : ""
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  if (bounding === undefined) return undefined
  const bits = BigInt(`0x${bounding}`)
  const has = (bit: bigint) => ((bits >> bit) & 1n) === 1n
  return has(setpcap) ? passing.find(({ bit }) => has(bit))?.name : undefined
}

const setpriv = (): string | undefined =>
  ["/usr/bin", "/bin", ...(process.env["PATH"] ?? "").split(delimiter)]
    .map((folder) => join(folder, "setpriv"))
    .find((path) => existsSync(path))

/**
 * The account for a server that has to reach `paths`. An ordinary user keeps their own. Root becomes the owner of the
 * data folder that there is already, else `nobody`, and
 * where a folder on the way is closed to it (a checkout below /root or `mktemp -d`), goes through `setpriv` with
 * the one capability that opens folders. Fails where neither works.
 */
export const forPaths = (
  paths: ReadonlyArray<string>,
  dataOwner: Owner | undefined
): Effect.Effect<PostgresAccount, StartupError> =>
  Effect.suspend((): Effect.Effect<PostgresAccount, StartupError> => {
    if (process.getuid?.() !== 0) return Effect.succeed({ owner: undefined, prefix: [] })
    const owner = dataOwner === undefined || dataOwner.uid === 0 ? { uid: nobody, gid: nobody } : dataOwner
    const closed = paths.map((path) => obstacle(owner, resolve(path))).find((path) => path !== undefined)
    if (closed === undefined) return Effect.succeed({ owner, prefix: [] })
    const command = setpriv()
    const capability = passingCapability()
    if (command === undefined || capability === undefined)
      return Effect.fail(
        new StartupError({
          what: "Postgres cannot run as root, and the user it runs as instead may not enter a folder on its way",
          where: closed,
          fix: "Start the program as an ordinary user, or set DATA_DIR to a folder that everybody may enter, or DATABASE_URL to a Postgres server."
        })
      )
    return Effect.succeed({
      owner,
      prefix: [
        command,
        `--reuid=${owner.uid}`,
        `--regid=${owner.gid}`,
        "--clear-groups",
        // Otherwise access(2), by which Postgres looks for its programs, would not count the capability.
        "--securebits=+no_setuid_fixup",
        `--inh-caps=+${capability}`,
        `--ambient-caps=+${capability}`,
        "--"
      ]
    })
  })
