import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Database from "../layers/Database.ts"
import * as Telemetry from "../layers/Telemetry.ts"
import * as Scheduler from "../src/actor/Scheduler.ts"
import { startupError } from "../src/config/explain.ts"
import * as Settings from "../src/config/Settings.ts"
import type * as domain from "./domain.ts"

type Domain = typeof domain

/** One program: its part of the schema, and the port it answers at unless `PORT` says otherwise. */
export interface Program {
  readonly name: string
  readonly port: number
  readonly parts: (domain: Domain) => Domain["whole"]
  /** The actors that live here in a cluster: those of a group, all, or none. Without a cluster all do. */
  readonly serves: domain.Group | "all" | "none"
}

const print = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${text}\n`))
const complain = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stderr.write(`${text}\n`))

const help = (program: Program): string =>
  `Starts Real-time Connect (${program.name}) at http://127.0.0.1:${program.port} and runs until Ctrl-C.

Takes no arguments; the environment sets it up:
  PORT, HOST       where it answers
  DATA_DIR         folder of the embedded Postgres, .data by default
  DATABASE_URL     a Postgres of yours instead
  REDIS_HOST       a Redis of yours instead of memory: for several processes
  CLUSTER          on: the actors are spread over the programs that share the database; NODE_HOST and NODE_PORT say
                   where the others reach this one
  NODE_ENV         production, development (default) or test
docs/configuration.md lists every variable.`

/** One line to paste: signs up, and asks who that is. */
const example = (url: string): string =>
  `curl -s ${url}/graphql -H 'content-type: application/json' -d '{"query":"mutation { signUp(handle: \\"me_'$RANDOM'\\", ` +
  `password: \\"correct horse battery\\") { token viewer { user { id handle interests } } } }"}'`

/** The programs that serve the whole schema. */
const wholes: ReadonlySet<string> = new Set(["all", "gateway"])

const welcome = (program: Program, url: string, settings: Settings.Shape): string =>
  [
    `Real-time Connect (${program.name}) is at ${url}`,
    ...(wholes.has(program.name) ? [] : ["It serves its own part of the schema; the gateway serves the whole."]),
    "",
    ...(settings.http.explorer ? [`  GraphiQL   ${url}/graphiql`] : []),
    `  GraphQL    ${url}/graphql (HTTP and WebSocket)`,
    ...(settings.metrics.enabled ? [`  metrics    ${url}${settings.metrics.path}`] : []),
    `  health     ${url}/health`,
    `  actors     ${url}/actors (from this machine, or for an ADMIN)`,
    "",
    ...(wholes.has(program.name) || program.name === "user"
      ? ["Sign up, and ask who that is:", `  ${example(url)}`, ""]
      : []),
    ...(settings.http.host === "127.0.0.1"
      ? []
      : [`Listening on ${settings.http.host}: other machines may reach it.`, ""]),
    `ready in ${Math.round(performance.now())} ms; Ctrl-C stops it`
  ].join("\n")

/** What a program is made of, loaded while Postgres starts: each takes about as long as the other. */
const load = Effect.promise(async () => ({
  domain: await import("./domain.ts"),
  Environment: await import("../layers/Environment.ts"),
  Http: await import("../layers/Http.ts"),
  Inspection: await import("../layers/http/Inspection.ts")
}))

const serve = (program: Program, layerOf: (domain: Domain) => Domain["layer"]) =>
  Effect.gen(function* () {
    const [database, { domain, Environment, Http, Inspection }] = yield* Effect.all(
      [Layer.build(Database.layer), load],
      {
        concurrency: 2
      }
    )
    const { cluster } = yield* Settings.Settings
    const served = cluster.enabled ? groupsOf(program, domain) : domain.groups
    const announced = Effect.gen(function* () {
      const { url } = yield* Http.Address
      const settings = yield* Settings.Settings
      yield* print(welcome(program, url, settings))
      yield* Effect.addFinalizer(() =>
        Effect.zipRight(giveUpAfter(settings.http), print("stopping: what is under way is finished first"))
      )
      return yield* Effect.never
    })
    const http = Layer.unwrapEffect(
      Effect.map(Inspection.routes, (routes) => Http.serve({ ...program, parts: program.parts(domain), routes }))
    )
    return yield* Effect.provide(
      announced,
      http.pipe(
        Layer.provide(layerOf(domain)(served)),
        Layer.provide(Environment.layer(served)),
        Layer.provide(Layer.succeedContext(database))
      )
    )
  }).pipe(Effect.scoped, Effect.provide(runtime(program.name)))

const runtime = (name: string) =>
  Telemetry.layerRuntime(name).pipe(Layer.provideMerge(Settings.layer), Layer.provideMerge(Scheduler.layer))

/** Time that stopping may take beyond `DRAIN_GRACE` and `DRAIN_TIMEOUT`, for what is left when all requests are answered. */
const stopGrace = Duration.seconds(5)

/** Whatever waits for a database that is gone: a program that is told to stop has stopped by then. */
const giveUpAfter = ({ drainGrace, drainTimeout }: Settings.Shape["http"]): Effect.Effect<void> =>
  Effect.sync(() => {
    const limit = Duration.sum(Duration.sum(drainGrace, drainTimeout), stopGrace)
    const giveUp = (): void => {
      process.stderr.write(`not stopped within ${Duration.format(limit)}: what is left is given up\n`)
      process.exit(1)
    }
    setTimeout(giveUp, Duration.toMillis(limit)).unref()
  })

const groupsOf = ({ serves }: Program, { groups }: Domain): Domain["groups"] =>
  serves === "all" ? groups : serves === "none" ? [] : [serves]

/** What a failed start prints: a line that says what to do where we know it, the whole cause otherwise. */
const explained = (cause: Cause.Cause<unknown>): string => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (ConfigError.isConfigError(failure)) return startupError(failure).message
  return failure instanceof Error && "what" in failure ? failure.message : Cause.pretty(cause)
}

/** Runs a program until SIGINT or SIGTERM, then drains it. A start that fails says why and exits with 1. */
export const launch = (program: Program, layerOf = (domain: Domain): Domain["layer"] => domain.layer): void =>
  NodeRuntime.runMain(
    Effect.zipRight(
      // A failure is said below, in words. For the whole fiber, whose end would tell it once more with its stack.
      FiberRef.set(FiberRef.unhandledErrorLogLevel, Option.none()),
      Effect.tapErrorCause(serve(program, layerOf), (cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.void : complain(explained(cause))
      )
    ),
    { disableErrorReporting: true, disablePrettyLogger: true }
  )

/** Starts the program of the command line, which takes no arguments but `--help`. */
export const main = (program: Program): void => {
  const [argument] = process.argv.slice(2)
  if (argument === undefined) return launch(program)
  const asked = argument === "--help" || argument === "-h"
  if (!asked) process.stderr.write(`There is no argument ${argument}.\n\n`)
  ;(asked ? process.stdout : process.stderr).write(`${help(program)}\n`)
  process.exitCode = asked ? 0 : 2
}
