import { expect } from "bun:test"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { serve } from "../../../layers/http/Bun.ts"
import * as Requests from "../../../layers/http/Serving.ts"
import * as answers from "../../../src/request/answers.ts"
import { WithBody } from "../../../src/request/Incoming.ts"
import { it } from "../../kit/effect.ts"

const headers = { "content-type": "text/plain" }

it.live("answers that share their headers each have their own RateLimit", () =>
  Effect.gen(function* () {
    let last = 0
    const requests = yield* Requests.requests(
      () => new WithBody(100, () => ({ status: 200, headers, ratelimit: String(++last), body: String(last) })),
      Duration.seconds(10),
      () => {}
    )
    const sockets = { admit: () => answers.notFound, open: () => ({}) as never, drain: Effect.void, size: () => 0 }
    const { port } = yield* serve(
      { answer: requests.answer, sockets },
      { host: "127.0.0.1", port: 0, idleSeconds: 10, socketPath: "/none", paths: ["/asked"] }
    )
    const ask = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/asked`, { method: "POST", body: "{}" })
      return [response.headers.get("ratelimit"), response.headers.get("content-type"), await response.text()]
    }
    const seen = yield* Effect.promise(() => Promise.all(Array.from({ length: 100 }, ask)))
    for (const [ratelimit, type, body] of seen) {
      expect(ratelimit).toBe(body!)
      expect(type).toBe("text/plain")
    }
    expect(last).toBe(100)
    expect(headers).toEqual({ "content-type": "text/plain" })
  }).pipe(Effect.scoped)
)
