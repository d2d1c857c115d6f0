import { expect, test } from "bun:test"
import { fileURLToPath } from "node:url"

/** What a program prints that logs under these settings. */
const printed = (environment: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  const program = fileURLToPath(new URL("./logging.program.ts", import.meta.url))
  const run = Bun.spawnSync([process.execPath, program], { env: { PATH: process.env["PATH"] ?? "", ...environment } })
  expect(run.stderr.toString()).toBe("")
  return run.stdout.toString().trimEnd().split("\n")
}

test("production logs one JSON object a line with the program's name, and no secrets", () => {
  const lines = printed({ NODE_ENV: "production" }).map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines.map(({ logLevel, message }) => [logLevel, message])).toEqual([
    ["INFO", ["starting", { password: "<redacted>" }]],
    ["WARN", [hostile, { inside: hostile }]],
    ["ERROR", "failed"]
  ])
  expect(lines[0]?.["annotations"]).toEqual({ service: "user", token: "<redacted>" })
})

const hostile = "first\nsecond\r\u001b[31mred\u2028\u009b2J\u202edesrever\ud800"

test("what is logged cannot begin a line of its own, or steer a terminal", () => {
  for (const NODE_ENV of ["production", "development"]) {
    const lines = printed({ NODE_ENV })
    // What may go on below a line is the stack of an error, indented.
    const begun = lines.filter((line) => !line.startsWith("    "))
    expect(begun.map((line) => /INFO|WARN|ERROR|DEBUG/.exec(line)?.[0])).toEqual(
      NODE_ENV === "production" ? ["INFO", "WARN", "ERROR"] : ["DEBUG", "INFO", "WARN", "ERROR"]
    )
    // oxlint-disable-next-line no-control-regex
    expect(lines.filter((line) => /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e\ud800]/.test(line))).toEqual([])
    expect(lines.filter((line) => line.includes("\\u001b[31mred")).length).toBeGreaterThanOrEqual(2)
  }
})

test("development logs text for people, debug included, and no secrets", () => {
  const text = printed({}).join("\n")
  expect(text).toContain("details")
  expect(text).toContain("starting")
  expect(text).not.toContain("hunter2")
  expect(() => JSON.parse(text.split("\n")[0]!)).toThrow()
})

test("LOG_LEVEL decides what is logged", () => {
  expect(printed({ NODE_ENV: "production", LOG_LEVEL: "warning" })).toHaveLength(2)
  expect(printed({ NODE_ENV: "production", LOG_LEVEL: "debug" })).toHaveLength(4)
})
