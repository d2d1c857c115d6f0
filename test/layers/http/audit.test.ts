import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import { serverAudits } from "graphql-http"
import * as Http from "../../../layers/Http.ts"
import { withLayer } from "../../kit/effect.ts"
import { server } from "./fixture.ts"

withLayer("GraphQL over HTTP", server(), (it) => {
  it("passes every audit of graphql-http", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.Address
      const audits = serverAudits({ url: `${url}/graphql` })
      const results = yield* Effect.forEach(audits, (audit) => Effect.promise(() => Promise.resolve(audit.fn())))
      const unmet = results.flatMap((result) =>
        result.status === "ok" ? [] : [`${result.status} ${result.id}: ${result.name}: ${result.reason}`]
      )
      expect(unmet).toEqual([])
      expect(results.length).toBe(61)
    }))
})
