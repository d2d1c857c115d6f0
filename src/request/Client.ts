import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { Forbidden } from "../errors.ts"
import type { Incoming } from "./Incoming.ts"
import * as Network from "./Network.ts"

/** A longer User-Agent is cut: it is kept with the session. */
export const userAgentCharactersMax = 256

/** The cookie that `signIn` also sets, for browsers. HttpOnly, so that no script can read the token. */
export const sessionCookie = "connect_session"

/** What the settings say about whom to believe. */
export interface Trust {
  readonly trustedProxies: ReadonlyArray<string>
  readonly allowedOrigins: ReadonlyArray<string>
}

/** The networks of `trustedProxies`, read once. */
const networksOf = new WeakMap<ReadonlyArray<string>, ReadonlyArray<Network.Network>>()

const isTrusted = (address: string, { trustedProxies }: Trust): boolean => {
  if (trustedProxies.length === 0) return false
  let networks = networksOf.get(trustedProxies)
  if (networks === undefined) {
    networks = trustedProxies.flatMap((text) => Network.read(text) ?? [])
    networksOf.set(trustedProxies, networks)
  }
  return Network.includes(networks, address)
}

/**
 * Where the client is: the socket's address, or the last one in X-Forwarded-For that no trusted proxy owns when the
 * socket belongs to one; of an IPv6 the /64. The header of anybody else is not read: it says whatever its sender likes.
 */
export const addressOf = (incoming: Incoming, trust: Trust): string => {
  let address = incoming.peer
  if (isTrusted(address, trust)) {
    const hops = (incoming.header("x-forwarded-for") ?? "").split(",")
    for (let hop = Network.forwarded(hops.pop()!); hop !== undefined; hop = Network.forwarded(hops.pop() ?? "")) {
      address = hop
      if (!isTrusted(address, trust)) break
    }
  }
  return Network.subscriber(address)
}

/** Whether the client speaks https, to us or to the trusted proxy before us: of X-Forwarded-Proto that one wrote the last. */
export const isSecure = (incoming: Incoming, trust: Trust): boolean =>
  incoming.secure ||
  (trust.trustedProxies.length > 0 &&
    isTrusted(incoming.peer, trust) &&
    incoming.header("x-forwarded-proto")?.split(",").at(-1)?.trim() === "https")

const traceparent = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/

/** The span that a trusted proxy has begun, by its `traceparent`. Others could have us trace as much as they like. */
export const traceOf = (incoming: Incoming, trust: Trust): Tracer.ExternalSpan | undefined => {
  if (trust.trustedProxies.length === 0 || !isTrusted(incoming.peer, trust)) return undefined
  const [, traceId, spanId, flags] = traceparent.exec(incoming.header("traceparent") ?? "") ?? []
  return traceId === undefined || spanId === undefined || flags === undefined
    ? undefined
    : Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 })
}

/**
 * Whether a page of this origin may use the viewer's cookie: our own origin, or one of the settings. Without an Origin
 * header the sender is no browser, or it is one that says so in Sec-Fetch-Site.
 */
export const isOwnOrigin = (incoming: Incoming, trust: Trust): boolean => {
  const origin = incoming.header("origin")
  if (origin === undefined) {
    const site = incoming.header("sec-fetch-site")
    return site === undefined || site === "same-origin" || site === "none"
  }
  return trust.allowedOrigins.includes(origin) || origin === ownOrigin(incoming, trust)
}

const ownOrigin = (incoming: Incoming, trust: Trust): string =>
  `${isSecure(incoming, trust) ? "https" : "http"}://${incoming.header("host") ?? ""}`

/** The allowed foreign origin of a cross-origin request, for CORS headers. */
export const allowedOrigin = (incoming: Incoming, trust: Trust): string | undefined => {
  if (trust.allowedOrigins.length === 0) return undefined
  const origin = incoming.header("origin")
  return origin !== undefined && trust.allowedOrigins.includes(origin) ? origin : undefined
}

/** The token of `Authorization: Bearer`. */
const bearerToken = (incoming: Incoming): string | undefined => {
  const header = incoming.header("authorization")
  return header === undefined ? undefined : /^Bearer +([\w.~+/-]+=*) *$/i.exec(header)?.[1]
}

/** The token in the session cookie. */
export const cookieToken = (incoming: Incoming): string | undefined => {
  const header = incoming.header("cookie")
  if (header === undefined) return undefined
  for (const pair of header.split(";")) {
    const equals = pair.indexOf("=")
    if (equals > 0 && pair.slice(0, equals).trim() === sessionCookie) return pair.slice(equals + 1).trim() || undefined
  }
  return undefined
}

/**
 * The token of the request: its own, or the cookie's. Forbidden for a cookie that a page of another origin had sent
 * along.
 */
export const tokenOf = (incoming: Incoming, trust: Trust): string | undefined | Forbidden => {
  const bearer = bearerToken(incoming)
  if (bearer !== undefined) return bearer
  const cookie = cookieToken(incoming)
  return cookie === undefined || isOwnOrigin(incoming, trust)
    ? cookie
    : new Forbidden({ message: "The session cookie is not accepted from another origin" })
}

/** The Set-Cookie value that keeps this token until it expires, or forgets the one there is. */
export const setCookie = (
  token: Option.Option<{ readonly value: string; readonly expiresAt: Date }>,
  secure: boolean
): string =>
  [
    `${sessionCookie}=${Option.match(token, { onNone: () => "", onSome: ({ value }) => value })}`,
    "Path=/",
    "HttpOnly",
    "SameSite=Lax",
    `Expires=${Option.match(token, { onNone: () => new Date(0), onSome: ({ expiresAt }) => expiresAt }).toUTCString()}`,
    ...(secure ? ["Secure"] : [])
  ].join("; ")

export const userAgentOf = (incoming: Incoming): Option.Option<string> =>
  Option.map(Option.fromNullable(incoming.header("user-agent")), (agent) => agent.slice(0, userAgentCharactersMax))
