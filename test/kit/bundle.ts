import { mkdir } from "node:fs/promises"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The path of a program for Node 20, which takes JavaScript only; packages stay where they are. */
export const bundleForNode = async (source: string): Promise<string> => {
  const name = source.replaceAll("/", "-").replace(/\.ts$/, "")
  const outdir = `${root}/node_modules/.cache/connect-tests/${name}`
  await mkdir(outdir, { recursive: true })
  await Bun.build({
    entrypoints: [`${root}/${source}`],
    outdir,
    target: "node",
    packages: "external",
    naming: "[name].mjs"
  })
  return `${outdir}/${basename(source, ".ts")}.mjs`
}
