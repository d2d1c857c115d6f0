import { expect, test } from "bun:test"
import * as Option from "effect/Option"
import * as Client from "../../src/request/Client.ts"
import type { Incoming } from "../../src/request/Incoming.ts"
import { negotiate } from "../../src/request/mediaType.ts"

const incoming = (headers: Readonly<Record<string, string>>, peer = "192.0.2.1"): Incoming => ({
  method: "POST",
  path: "/graphql",
  search: "",
  header: (name) => headers[name],
  peer,
  secure: false
})

const trust = { trustedProxies: ["10.0.0.1", "10.0.0.2"], allowedOrigins: ["https://app.example"] }

test("the address is the socket's; X-Forwarded-For counts from the right, as far as proxies are trusted", () => {
  const addressOf = (forwarded: string, peer: string) =>
    Client.addressOf(incoming({ "x-forwarded-for": forwarded }, peer), trust)
  expect(addressOf("203.0.113.1", "192.0.2.1")).toBe("192.0.2.1")
  expect(addressOf("203.0.113.1", "10.0.0.1")).toBe("203.0.113.1")
  expect(addressOf("6.6.6.6, 203.0.113.1, 10.0.0.2", "::ffff:10.0.0.1")).toBe("203.0.113.1")
  expect(addressOf("203.0.113.1, <script>", "10.0.0.1")).toBe("10.0.0.1")
  expect(addressOf("", "10.0.0.1")).toBe("10.0.0.1")
  expect(addressOf("2001:db8::1", "10.0.0.1")).toBe("2001:db8::1")
})

test("an origin is ours when it is the host that was asked, by the scheme that was used", () => {
  const isOwn = (headers: Readonly<Record<string, string>>, peer?: string) =>
    Client.isOwnOrigin(incoming({ host: "connect.example", ...headers }, peer), trust)
  expect(isOwn({ origin: "http://connect.example" })).toBe(true)
  expect(isOwn({ origin: "https://connect.example" })).toBe(false)
  expect(isOwn({ origin: "https://connect.example", "x-forwarded-proto": "https" }, "10.0.0.1")).toBe(true)
  expect(isOwn({ origin: "https://connect.example", "x-forwarded-proto": "https" })).toBe(false)
  expect(isOwn({ origin: "https://app.example" })).toBe(true)
  expect(isOwn({ origin: "null" })).toBe(false)
  expect(isOwn({ origin: "http://connect.example.evil.example" })).toBe(false)
})

test("tokens come from the header or the cookie, in their own form only", () => {
  const tokenOf = (authorization: string) => Client.tokenOf(incoming({ authorization }), trust)
  expect(tokenOf("bearer  abc-_.~")).toBe("abc-_.~")
  expect(tokenOf("Basic abc")).toBeUndefined()
  expect(tokenOf("Bearer a b")).toBeUndefined()
  expect(Client.cookieToken(incoming({ cookie: "a=1; connect_session=xyz; b=2" }))).toBe("xyz")
  expect(Client.cookieToken(incoming({ cookie: "not_connect_session=xyz; connect_session=" }))).toBeUndefined()
})

test("the cookie is Secure over https and expires with the session", () => {
  const expiresAt = new Date(Date.UTC(2030, 0, 1))
  expect(Client.setCookie(Option.some({ value: "t", expiresAt }), true)).toBe(
    "connect_session=t; Path=/; HttpOnly; SameSite=Lax; Expires=Tue, 01 Jan 2030 00:00:00 GMT; Secure"
  )
  expect(Client.setCookie(Option.none(), false)).toContain("connect_session=; ")
})

test("Accept chooses between the two media types by quality, then by order", () => {
  const cases: ReadonlyArray<readonly [accept: string | undefined, chosen: string | undefined]> = [
    [undefined, "application/json"],
    ["*/*", "application/json"],
    ["application/graphql-response+json", "application/graphql-response+json"],
    ["application/graphql-response+json; charset=utf-8, application/json; q=0.9", "application/graphql-response+json"],
    ["application/json, application/graphql-response+json", "application/json"],
    ["application/json;q=0.5, application/graphql-response+json;q=0.6", "application/graphql-response+json"],
    ["text/html, application/*;q=0.1", "application/json"],
    ["text/html", undefined],
    ["application/json;q=0", undefined]
  ]
  for (const [accept, chosen] of cases) expect([accept, negotiate(accept)]).toEqual([accept, chosen as never])
})
