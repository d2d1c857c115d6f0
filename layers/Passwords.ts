import { availableParallelism } from "node:os"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Bulkhead from "../src/request/Bulkhead.ts"
import { observe } from "../src/telemetry/Measure.ts"
import * as Metrics from "../src/telemetry/Metrics.ts"
import { hashesWaitingMax, hashingMax, Passwords } from "../src/user/Passwords.ts"
import type { Argon2 } from "./passwords/Argon2.ts"

const make = (argon2: Argon2) =>
  Effect.gen(function* () {
    const bulkhead = Bulkhead.make({
      places: Bulkhead.fixed(hashingMax(availableParallelism())),
      waitingMax: hashesWaitingMax,
      refusal: Bulkhead.retryAfter("1 second")
    })
    /** Without the wait for a turn, which Overloaded bounds. */
    const timed = observe(Metrics.passwordSeconds)
    /** Of a password that nobody has: made here, so that its cost is the same as that of the real ones. */
    const dummy = yield* argon2.hash(crypto.randomUUID())
    return Passwords.of({
      hash: (password) => bulkhead.run(timed(argon2.hash(Redacted.value(password)))),
      verify: (password, hash) => bulkhead.run(timed(argon2.verify(Redacted.value(password), hash))),
      dummyVerify: (password) => Effect.asVoid(bulkhead.run(timed(argon2.verify(Redacted.value(password), dummy))))
    })
  })

/** Bun's own argon2id. */
export const layerBun: Layer.Layer<Passwords> = Layer.effect(
  Passwords,
  Effect.flatMap(
    Effect.promise(() => import("./passwords/BunPassword.ts")),
    (bun) => make(bun.argon2)
  )
)

/** @node-rs/argon2: for Node and Deno; it runs on Bun too. */
export const layerNodeRs: Layer.Layer<Passwords> = Layer.effect(
  Passwords,
  Effect.flatMap(
    Effect.promise(() => import("./passwords/NodeRs.ts")),
    (rust) => make(rust.argon2)
  )
)

/** The argon2id of the runtime. */
export const layer: Layer.Layer<Passwords> = "Bun" in globalThis ? layerBun : layerNodeRs
