import { spawnSync } from "node:child_process"

/** What the tests start by themselves. Any of `programs` will do; without an optional one its tests are skipped. */
const needs = [
  { programs: ["redis-server", "valkey-server"], debian: "redis-server", why: "the store's tests run on a real Redis" },
  { programs: ["pgbouncer"], debian: "pgbouncer", why: "the database's tests run through one", isOptional: true },
  { programs: ["promtool"], debian: "prometheus", why: "the metrics are checked by Prometheus's own tool" }
]

const missing = () => needs.filter(({ programs }) => programs.every((program) => Bun.which(program) === null))

const run = (command: string, args: ReadonlyArray<string>): boolean => {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  // apt-get talks on our error stream, so that the output stays the tests' own.
  return spawnSync(command, args, { env, stdio: ["ignore", 2, 2] }).status === 0
}

/** Packages for Debian, without starting their services: a file that forbids it stands there for the installation. */
const install = async (packages: ReadonlyArray<string>): Promise<boolean> => {
  const policy = Bun.file("/usr/sbin/policy-rc.d")
  const ours = !(await policy.exists())
  if (ours) {
    await Bun.write(policy, "#!/bin/sh\nexit 101\n")
    run("chmod", ["755", "/usr/sbin/policy-rc.d"])
  }
  try {
    const get = ["install", "--yes", "--no-install-recommends", ...packages]
    return run("apt-get", get) || (run("apt-get", ["update"]) && run("apt-get", get))
  } finally {
    if (ours) await policy.delete()
  }
}

const canInstall = process.getuid?.() === 0 && Bun.which("apt-get") !== null

if (missing().length > 0 && canInstall) await install(missing().map(({ debian }) => debian))

for (const { debian, programs, why } of missing()) {
  console.error(`${programs.join(" or ")} is not on the PATH: ${why}.
  Debian, Ubuntu: sudo apt-get install ${debian}
  macOS:          brew install ${debian === "redis-server" ? "redis" : debian}`)
}
if (missing().some(({ isOptional }) => isOptional !== true)) process.exit(1)

const tests = Bun.spawn([process.execPath, "test", ...process.argv.slice(2)], {
  stdio: ["inherit", "inherit", "inherit"]
})
process.on("SIGINT", () => tests.kill("SIGINT"))
process.on("SIGTERM", () => tests.kill("SIGTERM"))
process.exit(await tests.exited)
