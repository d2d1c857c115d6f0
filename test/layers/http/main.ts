import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Http from "../../../layers/Http.ts"
import { server } from "./fixture.ts"

/** The fixture as a program, for the runtimes that do not run our tests: says its URL, drains on SIGTERM. */
const program = Effect.flatMap(Http.Address, ({ url }) => Effect.zipRight(Console.log(url), Effect.never))

const fiber = Effect.runFork(
  Effect.scoped(
    Effect.provide(
      program,
      server((settings) => ({ ...settings, http: { ...settings.http, bodyBytesMax: 32_768 } }))
    )
  ).pipe(Effect.provide(Layer.empty))
)
process.once("SIGTERM", () => {
  void Effect.runPromise(Fiber.interrupt(fiber)).then(() => process.exit(0))
})
