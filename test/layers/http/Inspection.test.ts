import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Inspection from "../../../layers/http/Inspection.ts"
import type * as Inspector from "../../../src/actor/Inspector.ts"
import * as ActorSystem from "../../../src/actor/ActorSystem.ts"
import * as Settings from "../../../src/config/Settings.ts"
import { SessionExpired } from "../../../src/errors.ts"
import type { Incoming } from "../../../src/request/Incoming.ts"
import { type Session, Sessions } from "../../../src/session/Sessions.ts"
import { it } from "../../kit/effect.ts"

/** Tokens are roles here. */
const sessions = Layer.mock(Sessions, {
  known: () => undefined,
  load: (token) =>
    token === "USER" || token === "ADMIN" ? Effect.succeed({ role: token } as Session) : new SessionExpired()
})

const layer = Layer.mergeAll(
  sessions,
  ActorSystem.layerTest,
  Settings.layerTest((settings) => ({ ...settings, http: { ...settings.http, trustedProxies: ["127.0.0.1"] } }))
)

/** The status of `/actors` for that request. */
const status = (peer: string, headers: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const [{ handler }] = (yield* Inspection.routes) as [Inspector.Route]
    const header: Incoming["header"] = (name) => headers[name]
    return (yield* handler({ method: "GET", path: "/actors", search: "", header, peer, secure: false })).status
  }).pipe(Effect.provide(layer))

const host = "127.0.0.1:4000"

it("the inspector is there for this machine when it asks directly", () =>
  Effect.gen(function* () {
    for (const peer of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) expect(yield* status(peer, { host })).toBe(200)
    expect(yield* status("127.0.0.1", { host: "localhost:4000" })).toBe(200)
    expect(yield* status("10.0.0.7", { host })).toBe(404)
    expect(yield* status("127.0.0.1", { host, "x-forwarded-for": "10.0.0.7" })).toBe(404)
    expect(yield* status("127.0.0.1", { host, "x-forwarded-for": "127.0.0.1" })).toBe(404)
    expect(yield* status("127.0.0.1", { host, forwarded: "for=127.0.0.1" })).toBe(404)
  }))

it("a page of another origin does not reach it through the browser of this machine", () =>
  Effect.gen(function* () {
    expect(yield* status("127.0.0.1", { host: "rebound.example" })).toBe(404)
    expect(yield* status("127.0.0.1", { host, origin: "https://evil.example" })).toBe(404)
    expect(yield* status("127.0.0.1", { host, "sec-fetch-site": "cross-site" })).toBe(404)
  }))

it("from elsewhere it is there for the role ADMIN only", () =>
  Effect.gen(function* () {
    const from = (token: string) => status("10.0.0.7", { host, authorization: `Bearer ${token}` })
    expect(yield* Effect.all([from("ADMIN"), from("USER"), from("gone")])).toEqual([200, 404, 404])
    expect(yield* status("10.0.0.7", { host, cookie: "connect_session=ADMIN" })).toBe(200)
    const foreign = { host, cookie: "connect_session=ADMIN", origin: "https://evil.example" }
    expect(yield* status("10.0.0.7", foreign)).toBe(404)
  }))
