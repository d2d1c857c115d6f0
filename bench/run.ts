/**
 * `bun run bench NAME [ARGUMENTS]`: runs bench/NAME.ts; without a name says which there are. What a bench compares with
 * stands in bench/package.json and is installed the first time.
 */
import { existsSync, readdirSync, statSync } from "node:fs"

const folder = import.meta.dir
const programs = new Set(["run", "kit"])
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
  .map((file) => file.slice(0, -3))
  .filter((name) => !programs.has(name))

const [name, ...rest] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  console.error(`bun run bench NAME, where NAME is one of: ${names.join(", ")}`)
  process.exit(2)
}

const marker = `${folder}/node_modules/.bin`
const installed = existsSync(marker) && statSync(marker).mtimeMs >= statSync(`${folder}/package.json`).mtimeMs
if (!installed) {
  const install = Bun.spawnSync([process.execPath, "install"], { cwd: folder, stdout: "inherit", stderr: "inherit" })
  if (install.exitCode !== 0) process.exit(install.exitCode)
  Bun.spawnSync(["mkdir", "-p", marker])
  Bun.spawnSync(["touch", marker])
}

const child = Bun.spawn([process.execPath, `${folder}/${name}.ts`, ...rest], {
  stdio: ["inherit", "inherit", "inherit"]
})
process.exit(await child.exited)
