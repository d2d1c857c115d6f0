import { expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type { SqlError } from "@effect/sql/SqlError"
import { listen } from "../../../layers/database/PgListener.ts"
import { it } from "../../kit/effect.ts"
import * as Postgres from "../../kit/Postgres.ts"
import * as Proxy from "../../kit/Proxy.ts"

/** Long enough for an answer on a machine that is busy. */
const everyMillis = 250

it.live("a line that dies without a word is lost, and one on which nothing is said is not", () =>
  Effect.gen(function* () {
    const url = new URL(yield* Postgres.emptyUrl)
    const proxy = yield* Proxy.start(Number(url.port))
    url.port = String(proxy.port)
    const options = { address: { url: Redacted.make(url.href) }, statementMillisMax: 1_000, prepared: true }
    const began = yield* Deferred.make<void>()
    const lost = yield* Queue.unbounded<SqlError>()
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        listen(
          options,
          "news",
          {
            began: () => Deferred.unsafeDone(began, Effect.void),
            notified: () => {},
            lost: (error) => void Queue.unsafeOffer(lost, error)
          },
          everyMillis
        )
      ),
      (close) => Effect.sync(close)
    )
    yield* Deferred.await(began)
    const beats = Duration.millis(2.5 * everyMillis)
    expect(yield* Effect.timeoutOption(Queue.take(lost), beats)).toMatchObject({ _tag: "None" })
    proxy.stall()
    const error = yield* Effect.timeout(Queue.take(lost), "2 seconds")
    expect(error.message).toContain(`has not answered for ${everyMillis} ms`)
  })
)
