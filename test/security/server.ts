import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Requests from "../../layers/http/Serving.ts"
import * as Http from "../../layers/Http.ts"
import type { StartupError } from "../../src/config/StartupError.ts"
import * as answers from "../../src/request/answers.ts"
import { WithBody } from "../../src/request/Incoming.ts"
import { server } from "../layers/http/fixture.ts"

/** Seconds that the second server lets pass where a program of ours waits for sixty. */
const idleSeconds = 2

/** The runtime's server as programs have it, but for its patience. */
const impatient: Effect.Effect<number, StartupError, Scope.Scope> = Effect.gen(function* () {
  const serve = yield* Effect.promise(async () =>
    "Bun" in globalThis
      ? (await import("../../layers/http/Bun.ts")).serve
      : (await import("../../layers/http/Node.ts")).serve
  )
  const requests = yield* Requests.requests(
    ({ method }) => (method === "GET" ? answers.json(200, {}) : new WithBody(10_000, () => answers.json(200, {}))),
    Duration.seconds(idleSeconds - 1),
    () => undefined
  )
  const sockets = { admit: () => answers.notFound, open: () => ({}) as never, drain: Effect.void, size: () => 0 }
  const bound = yield* serve(
    { answer: requests.answer, sockets },
    { host: "127.0.0.1", port: 0, idleSeconds, socketPath: "/graphql", paths: [] }
  )
  return bound.port
})

/** The fixture and the impatient server as a program: says their ports. */
const program = Effect.gen(function* () {
  const { port } = yield* Http.Address
  yield* Console.log(`${port} ${yield* impatient}`)
  return yield* Effect.never
})

Effect.runFork(
  Effect.scoped(
    Effect.provide(
      program,
      server((settings) => ({ ...settings, http: { ...settings.http, bodyBytesMax: 32_768 } }))
    )
  )
)
