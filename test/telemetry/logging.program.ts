import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Telemetry from "../../layers/Telemetry.ts"
import * as Settings from "../../src/config/Settings.ts"

/** Logs at three levels, with a secret in a message and in an annotation, and with hostile text. Run by Logging.test.ts. */
const secret = Redacted.make("hunter2")
const hostile = "first\nsecond\r\u001b[31mred\u2028\u009b2J\u202edesrever\ud800"

Effect.gen(function* () {
  yield* Effect.logDebug("details")
  yield* Effect.logInfo("starting", { password: secret }).pipe(Effect.annotateLogs("token", secret))
  yield* Effect.logWarning(hostile, { inside: hostile }).pipe(Effect.annotateLogs(hostile, hostile))
  yield* Effect.logError("failed", Cause.die(new Error(hostile)))
}).pipe(Effect.provide(Telemetry.layerRuntime("user").pipe(Layer.provide(Settings.layer))), Effect.runPromise)
