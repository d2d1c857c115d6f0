import type * as ConfigError from "effect/ConfigError"
import { StartupError } from "./StartupError.ts"

/**
 * One line for each variable that is wrong: its name, what is expected and what came. Where several readings of a
 * variable were tried, the first speaks for it.
 */
export const explain = (error: ConfigError.ConfigError): ReadonlyArray<string> => {
  const problems = [...flatten(error)]
  // What is missing besides is a consequence: the variable that is wrong belongs to a group that is then read whole.
  const wrong = problems.filter(({ missing }) => !missing)
  const byName = new Map((wrong.length === 0 ? problems : wrong).reverse().map(({ line, name }) => [name, line]))
  return [...byName.values()].reverse()
}

/** The same as what a program prints before it ends. */
export const startupError = (error: ConfigError.ConfigError): StartupError =>
  new StartupError({
    what: "The settings are not valid",
    where: "environment",
    fix: `${explain(error).join("\n")}\ndocs/configuration.md lists every variable.`
  })

interface Problem {
  readonly name: string
  readonly line: string
  readonly missing: boolean
}

function* flatten(error: ConfigError.ConfigError): Generator<Problem> {
  switch (error._op) {
    case "And":
    case "Or":
      yield* flatten(error.left)
      yield* flatten(error.right)
      return
    default: {
      const name = error.path.join("_")
      yield { name, line: `${name}: ${error.message}`, missing: error._op === "MissingData" }
    }
  }
}
