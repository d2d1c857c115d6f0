import { GraphqlFailure, Unreachable } from "../kit/Client.ts"

/** The tool was asked for what it cannot do: said to the user as it is, without a stack. */
export class Misuse extends Error {}

/** A whole number from the command line. */
export const whole = (name: string, text: string | undefined, fallback: number, least = 1): number => {
  const n = text === undefined ? fallback : Number(text)
  if (!Number.isInteger(n) || n < least)
    throw new Misuse(`--${name} ${text} is not a whole number of at least ${least}`)
  return n
}

/** Runs a tool to its exit code; whatever it throws becomes a line for people, what to do about it, and exit code 1. */
export const runTool = async (name: string, main: () => Promise<number>): Promise<never> =>
  process.exit(
    await main().catch((error: unknown) => {
      const unknownOption =
        error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")
      process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`)
      if (error instanceof Unreachable) {
        process.stderr.write(
          "Start a server there with `bun run start`, or leave out --url: then one is started for this.\n"
        )
      } else if (unknownOption) process.stderr.write(`bun run ${name} --help says what there is.\n`)
      else if (error instanceof Error && !(error instanceof Misuse || error instanceof GraphqlFailure))
        process.stderr.write(`${error.stack}\n`)
      return 1
    })
  )
