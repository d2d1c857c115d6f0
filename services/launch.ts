import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Database from "../layers/Database.ts"
import * as Telemetry from "../layers/Telemetry.ts"
import { startupError } from "../src/config/explain.ts"
import * as Settings from "../src/config/Settings.ts"

type Domain = typeof import("./domain.ts")

/** One program: its part of the schema, and the port it answers at unless `PORT` says otherwise. */
export interface Program {
  readonly name: string
  readonly port: number
  readonly parts: (domain: Domain) => Domain["whole"]
}

const print = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${text}\n`))
const complain = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stderr.write(`${text}\n`))

/** One line to paste: signs up, and asks who that is. */
const example = (url: string): string =>
  `curl -s ${url}/graphql -H 'content-type: application/json' -d '{"query":"mutation { signUp(handle: \\"me_'$RANDOM'\\", ` +
  `password: \\"correct horse battery\\") { token viewer { user { id handle interests } } } }"}'`

const welcome = (program: Program, url: string, settings: Settings.Shape): string =>
  [
    `Real-time Connect (${program.name}) is at ${url}`,
    "",
    ...(settings.http.explorer ? [`  GraphiQL   ${url}/graphiql`] : []),
    `  GraphQL    ${url}/graphql (HTTP and WebSocket)`,
    ...(settings.metrics.enabled ? [`  metrics    ${url}${settings.metrics.path}`] : []),
    `  health     ${url}/health`,
    "",
    ...(program.name === "all" || program.name === "gateway" || program.name === "user"
      ? ["Sign up, and ask who that is:", `  ${example(url)}`, ""]
      : []),
    `ready in ${Math.round(performance.now())} ms; Ctrl-C stops it`
  ].join("\n")

/** What a program is made of, loaded while Postgres starts: each takes about as long as the other. */
const load = Effect.promise(async () => ({
  domain: await import("./domain.ts"),
  Environment: await import("../layers/Environment.ts"),
  Http: await import("../layers/Http.ts")
}))

const serve = (program: Program, layerOf: (domain: Domain) => Domain["layer"]) =>
  Effect.gen(function* () {
    const [database, { domain, Environment, Http }] = yield* Effect.all([Layer.build(Database.layer), load], {
      concurrency: 2
    })
    const announced = Effect.gen(function* () {
      const { url } = yield* Http.Address
      yield* print(welcome(program, url, yield* Settings.Settings))
      return yield* Effect.never
    })
    return yield* Effect.provide(
      announced,
      Http.serve({ ...program, parts: program.parts(domain) }).pipe(
        Layer.provide(layerOf(domain)),
        Layer.provide(Environment.layer),
        Layer.provide(Layer.succeedContext(database))
      )
    )
  }).pipe(Effect.scoped, Effect.provide(Telemetry.layerRuntime(program.name).pipe(Layer.provideMerge(Settings.layer))))

/** What a failed start prints: a line that says what to do where we know it, the whole cause otherwise. */
const explained = (cause: Cause.Cause<unknown>): string => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (ConfigError.isConfigError(failure)) return startupError(failure).message
  return failure instanceof Error && "what" in failure ? failure.message : Cause.pretty(cause)
}

/** Runs a program until SIGINT or SIGTERM, then drains it. A start that fails says why and exits with 1. */
export const launch = (program: Program, layerOf = (domain: Domain): Domain["layer"] => domain.layer): void =>
  NodeRuntime.runMain(
    serve(program, layerOf).pipe(
      Effect.tapErrorCause((cause) => (Cause.isInterruptedOnly(cause) ? Effect.void : complain(explained(cause))))
    ),
    { disableErrorReporting: true, disablePrettyLogger: true }
  )
