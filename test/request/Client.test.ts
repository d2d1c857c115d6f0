import { expect, test } from "bun:test"
import * as Option from "effect/Option"
import * as Client from "../../src/request/Client.ts"
import type { Incoming } from "../../src/request/Incoming.ts"
import * as Network from "../../src/request/Network.ts"
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
  expect(addressOf("2001:db8::1", "10.0.0.1")).toBe("2001:db8:0:0::/64")
})

test("a trusted proxy may be any address of a network, of IPv4 and of IPv6", () => {
  const networks = { ...trust, trustedProxies: ["10.1.0.0/20", "192.0.2.128/25", "fd00:0:0:10::/60", "::1"] }
  const addressOf = (peer: string) => Client.addressOf(incoming({ "x-forwarded-for": "203.0.113.1" }, peer), networks)
  for (const peer of [
    "10.1.0.0",
    "10.1.15.255",
    "::ffff:10.1.2.3",
    "192.0.2.255",
    "fd00::1f:0:0:0:1",
    "fd00:0:0:10::",
    "::1"
  ])
    expect([peer, addressOf(peer)]).toEqual([peer, "203.0.113.1"])
  for (const peer of ["10.1.16.0", "10.0.255.255", "192.0.2.127"]) expect(addressOf(peer)).toBe(peer)
  for (const peer of ["fd00:0:0:20::", "::2", "::ffff:11.1.2.3", "", "unix:"])
    expect([peer, addressOf(peer)]).not.toEqual([peer, "203.0.113.1"])
  expect(Client.isSecure(incoming({ "x-forwarded-proto": "https" }, "fd00:0:0:1a::7"), networks)).toBe(true)
  expect(Client.isSecure(incoming({ "x-forwarded-proto": "https" }, "fd00:0:0:2a::7"), networks)).toBe(false)
  // A proxy that appends leaves before it what its client says.
  expect(Client.isSecure(incoming({ "x-forwarded-proto": "https, http" }, "fd00:0:0:1a::7"), networks)).toBe(false)
})

test("an IPv6 that begins with the bytes of a trusted IPv4 is not that", () => {
  const networks = { ...trust, trustedProxies: ["10.0.0.1", "192.0.2.0/24", "0.0.0.0/0"] }
  for (const peer of ["a00:1::", "c000:200::1", "::1"]) {
    const told = Client.addressOf(incoming({ "x-forwarded-for": "203.0.113.1" }, peer), networks)
    expect([peer, told]).not.toEqual([peer, "203.0.113.1"])
  }
})

test("a client of IPv6 is its /64, a port that a proxy adds is no part of it", () => {
  const addressOf = (forwarded: string) =>
    Client.addressOf(incoming({ "x-forwarded-for": forwarded }, "10.0.0.1"), trust)
  const own = Client.addressOf(incoming({}, "2001:db8:0:1:aaaa:bbbb:cccc:dddd"), trust)
  expect(own).toBe("2001:db8:0:1::/64")
  for (const same of ["2001:DB8:0:1::", "2001:db8::1:0:0:0:9", "[2001:db8:0:1::5]:443", "2001:db8:0:1::7%eth0"])
    expect([same, addressOf(same)]).toEqual([same, own])
  expect(addressOf("2001:db8:0:2::1")).toBe("2001:db8:0:2::/64")
  expect(addressOf("203.0.113.1:50312")).toBe("203.0.113.1")
  expect(addressOf("::ffff:203.0.113.1")).toBe("203.0.113.1")
})

test("what is no address is none, and ends the way back through the proxies", () => {
  const addressOf = (forwarded: string) =>
    Client.addressOf(incoming({ "x-forwarded-for": forwarded }, "10.0.0.1"), trust)
  for (const no of [
    "unknown",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4::5:6:7:8",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "12345::",
    "_x"
  ])
    expect([no, addressOf(`6.6.6.6, ${no}, 10.0.0.2`)]).toEqual([no, "10.0.0.2"])
  for (const no of ["10.0.0.0/33", "fd00::/129", "10.0.0.0/", "proxy", "10.0.0.1/8/8", "::/x"])
    expect([no, Network.read(no)]).toEqual([no, undefined])
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
