import { readFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { StartupError } from "../../src/config/StartupError.ts"
import * as Persisted from "../../src/graphql/Persisted.ts"

/** The documents of an allow-list: a JSON array of texts, or an object whose values are texts. */
const textsOf = (json: unknown): ReadonlyArray<string> | undefined => {
  if (typeof json !== "object" || json === null) return undefined
  const texts: ReadonlyArray<unknown> = Array.isArray(json) ? json : Object.values(json)
  return texts.every((text) => typeof text === "string") ? texts : undefined
}

/** Nothing but the documents of this file where there is one; otherwise whatever comes, known by its hash ever after. */
export const persisted = (file: Option.Option<string>): Effect.Effect<Persisted.Persisted, StartupError> =>
  Option.match(file, {
    onNone: () => Effect.sync(Persisted.automatic),
    onSome: (path) =>
      Effect.tryPromise(async () => textsOf(JSON.parse(await readFile(path, "utf8")))).pipe(
        Effect.orElseSucceed(() => undefined),
        Effect.flatMap((texts) =>
          texts === undefined
            ? Effect.fail(
                new StartupError({
                  what: "The allow-list cannot be read",
                  where: path,
                  fix: "GRAPHQL_DOCUMENTS names a JSON file: an array of documents, or an object with documents as values."
                })
              )
            : Effect.succeed(Persisted.strict(texts))
        )
      )
  })
