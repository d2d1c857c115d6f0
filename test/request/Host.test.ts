import { expect, test } from "bun:test"
import * as answers from "../../src/request/answers.ts"
import type { Answer, Incoming } from "../../src/request/Incoming.ts"
import * as Host from "../../src/request/Host.ts"

const handlerOf = (http: object) => Host.checked(() => answers.json(200, {}), http as never, new Set(["/health"]))
const handler = handlerOf({ allowedHosts: ["example.org", "example.org:8443"] })

const statusOf = (host: string | undefined, path = "/graphql"): number => {
  const incoming: Partial<Incoming> = { path, header: (name) => (name === "host" ? host : undefined) }
  return (handler(incoming as Incoming) as Answer).status
}

test("ALLOWED_HOSTS are served, others are not, and probes are served at any", () => {
  expect([statusOf("example.org"), statusOf("example.org"), statusOf("EXAMPLE.org:8443")]).toEqual([200, 200, 200])
  expect([statusOf("evil.example"), statusOf("example.org:1"), statusOf(undefined)]).toEqual([421, 421, 421])
  expect([statusOf("10.0.0.7:4000", "/health"), statusOf(undefined, "/health")]).toEqual([200, 200])
})

test("a Host that is not one host is refused on every path", () => {
  for (const host of ["a, b", "", "a/b", "user@a", "a b", "a:port", "[::1", "a\u0000"]) {
    expect([host, statusOf(host), statusOf(host, "/health")]).toEqual([host, 400, 400])
  }
})

test("with REQUIRE_HTTPS what came in the clear is refused, not redirected, and X-Forwarded-Proto is a proxy's word", () => {
  const strict = handlerOf({ allowedHosts: [], requireHttps: true, trustedProxies: ["10.0.0.1"] })
  const ask = (peer: string, proto: string | undefined, path = "/graphql") => {
    const header = (name: string) =>
      name === "host" ? "example.org" : name === "x-forwarded-proto" ? proto : undefined
    const { headers, status } = strict({ path, peer, secure: false, header } as Partial<Incoming> as Incoming) as Answer
    expect(headers["location"]).toBeUndefined()
    return status
  }
  expect([ask("10.0.0.1", "https"), ask("10.0.0.1", "http"), ask("10.0.0.1", undefined)]).toEqual([200, 403, 403])
  expect(ask("203.0.113.9", "https")).toBe(403)
  expect(ask("10.0.0.1", undefined, "/health")).toBe(200)
})
