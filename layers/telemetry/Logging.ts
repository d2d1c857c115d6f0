import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { minimumLogLevel, Settings } from "../../src/config/Settings.ts"
import * as LogLine from "./LogLine.ts"

/**
 * Logs as the preset wants them: one JSON object a line in production, for people elsewhere; from the level of
 * `LOG_LEVEL`. Every line names the program. In both a Redacted value prints as `<redacted>`, and nothing that was logged
 * can begin a line of its own or steer a terminal.
 */
export const layer = (service: string): Layer.Layer<never, never, Settings> =>
  Layer.unwrapEffect(
    Effect.map(Settings, (settings) =>
      Layer.mergeAll(
        Logger.replace(Logger.defaultLogger, settings.preset === "production" ? LogLine.json : LogLine.pretty),
        Logger.minimumLogLevel(LogLevel.fromLiteral(minimumLogLevel(settings))),
        Layer.scopedDiscard(
          Effect.flatMap(FiberRef.get(FiberRef.currentLogAnnotations), (annotations) =>
            Effect.locallyScoped(FiberRef.currentLogAnnotations, HashMap.set(annotations, "service", service))
          )
        )
      )
    )
  )
