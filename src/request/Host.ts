import type { Shape } from "../config/Settings.ts"
import { BadRequest, Forbidden } from "../errors.ts"
import * as answers from "./answers.ts"
import * as Client from "./Client.ts"
import type { Answer, Handler, Incoming } from "./Incoming.ts"

/** A name or an address, and a port. Two Host headers arrive joined by a comma, and are none. */
const oneHost = /^([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?$/i

const unclear = answers.failure(new BadRequest({ message: "Host must name one host" }))
const misdirected = answers.failure(new BadRequest({ message: "This host is not served here" }), { status: 421 })
// A redirect would hide from a client that it has sent its token in the clear.
const plain = answers.failure(new Forbidden({ message: "Only over https" }))

/**
 * What is wrong with a request's Host: it is not one, or not one of `ALLOWED_HOSTS`. Without the header (HTTP/1.0, as
 * load balancers probe) it is right where any host is; a request of HTTP/1.1 without it does not reach us. Or that it came in the clear, where
 * `REQUIRE_HTTPS` is on.
 */
export const refusal = (http: Shape["http"]) => {
  const { allowedHosts, requireHttps } = http
  // Most requests name the same host as the one before.
  let right: string | undefined
  return (incoming: Incoming): Answer | undefined => {
    if (requireHttps && !Client.isSecure(incoming, http)) return plain
    const host = incoming.header("host")
    if (host === right && host !== undefined) return undefined
    if (host !== undefined && !oneHost.test(host)) return unclear
    if (allowedHosts.length > 0 && !allowedHosts.includes(host?.toLowerCase() ?? "")) return misdirected
    right = host
    return undefined
  }
}

/** Refuses before it is routed. `anyHost` has the paths that are asked by address: probes and Prometheus's. */
export const checked = (handler: Handler, http: Shape["http"], anyHost: ReadonlySet<string>): Handler => {
  const named = refusal(http)
  const addressed = refusal({ ...http, allowedHosts: [], requireHttps: false })
  return (incoming) => (anyHost.has(incoming.path) ? addressed : named)(incoming) ?? handler(incoming)
}
