import * as Effect from "effect/Effect"
import * as DataDir from "../../../layers/database/DataDir.ts"

/** Takes the lock of the folder that its argument names, says whether it has it, and keeps it until its input ends. */
const say = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const inputEnds = Effect.async<void>((resume) => {
  process.stdin.once("end", () => resume(Effect.void)).resume()
})

Effect.runFork(
  Effect.scoped(Effect.zipRight(DataDir.acquire(process.argv[2] ?? ""), Effect.zipRight(say("mine"), inputEnds))).pipe(
    Effect.catchAll((error) => Effect.zipRight(say(error.what), inputEnds))
  )
)
