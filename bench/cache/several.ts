import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Nodes from "./nodes.ts"

interface Child {
  /** Sends a line, and waits for the answer. */
  readonly ask: (line: string) => Promise<string>
  readonly stop: () => void
}

const start = async (port: number): Promise<Child> => {
  const program = fileURLToPath(new URL("node.ts", import.meta.url))
  const child = Bun.spawn([process.execPath, program, String(port)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit"
  })
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ""
  const next = async (): Promise<string> => {
    while (!rest.includes("\n")) {
      const { done, value } = await lines.read()
      if (done) throw new Error("a process of the bench ended")
      rest += value
    }
    const [line, ...more] = rest.split("\n")
    rest = more.join("\n")
    return line!
  }
  await next()
  return {
    ask: (line) => {
      child.stdin.write(`${line}\n`)
      child.stdin.flush()
      return next()
    },
    stop: () => child.kill()
  }
}

/** How often `rounds` new keys are looked up, by the worst round, when every process has 500 callers for each at once. */
export const stampede = async (port: number, processes: number, rounds: number, lookups: () => Promise<number>) => {
  const children = await Promise.all(Array.from({ length: processes }, () => start(port)))
  let worst = 0
  let before = await lookups()
  for (let round = 0; round < rounds; round++) {
    const answered = await Promise.all(children.map((child) => child.ask(`stampede key${round}`)))
    if (answered.some((count) => count !== "500")) throw new Error(`callers without an answer: ${answered.join(", ")}`)
    const now = await lookups()
    worst = Math.max(worst, now - before)
    before = now
  }
  for (const child of children) child.stop()
  return worst
}

/**
 * From the moment one process begins to set a value until the old one is gone from the others, milliseconds: of the first
 * `before` changes, and of the `rounds` after them.
 */
export const coherence = async (port: number, processes: number, before: number, rounds: number) => {
  const children = await Promise.all(Array.from({ length: processes - 1 }, () => start(port)))
  const runtime = Nodes.runtime(port)
  const [cold, warm]: [Array<number>, Array<number>] = [[], []]
  const program = Effect.gen(function* () {
    const cache = yield* Nodes.numbers(() => Effect.succeed(Option.none()))
    yield* cache.set("changing", 0)
    for (let round = 1; round <= before + rounds; round++) {
      const samples = round <= before ? cold : warm
      yield* Effect.promise(() => Promise.all(children.map((child) => child.ask("hold changing"))))
      const seen = children.map((child) => child.ask(`gone changing ${round}`))
      const began = Nodes.wallMillis()
      yield* cache.set("changing", round)
      for (const at of yield* Effect.promise(() => Promise.all(seen))) samples.push(Number(at) - began)
    }
  })
  await runtime.runPromise(Effect.scoped(program))
  await runtime.dispose()
  for (const child of children) child.stop()
  return { cold, warm }
}
