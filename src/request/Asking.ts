import * as Option from "effect/Option"
import type { Shape } from "../config/Settings.ts"
import { BadRequest, Forbidden } from "../errors.ts"
import type { RequestContext } from "../graphql/Part.ts"
import * as answers from "./answers.ts"
import * as Client from "./Client.ts"
import * as Deadline from "./Deadline.ts"
import { compressOverBytes, type Encoding, negotiate as negotiateEncoding } from "./encoding.ts"
import type { Identity } from "./Gate.ts"
import type { Answer, Incoming } from "./Incoming.ts"
import type { MediaType } from "./mediaType.ts"
import { negotiate } from "./mediaType.ts"
import { isJson } from "./Parameters.ts"

/** A request as far as its headers tell. */
export interface Asking {
  readonly incoming: Incoming
  readonly mediaType: MediaType
  readonly address: string
  readonly secure: boolean
  readonly token: string | undefined
  readonly trace: RequestContext["trace"]
  /** What its client gives it, in milliseconds, where that is less than everybody has. */
  readonly timeoutMillis: number | undefined
}

const acceptable = "application/graphql-response+json, application/json"

/** A request that is not GraphQL over HTTP. */
export const refuse = (status: number, message: string, more: Readonly<Record<string, string>> = {}): Answer =>
  answers.failure(new BadRequest({ message }), { status, headers: more })

/** What the headers alone decide: who is asking and how to answer, or why not at all. */
export const asked = (
  incoming: Incoming,
  http: Shape["http"],
  mediaType: MediaType | undefined = negotiate(incoming.header("accept"))
): Asking | Answer => {
  if (mediaType === undefined) return refuse(406, `Accept must allow one of ${acceptable}`)
  if (incoming.method === "POST" && !isJson(incoming)) {
    return refuse(415, "Content-Type must be application/json, in UTF-8")
  }
  const token = Client.tokenOf(incoming, http)
  if (token instanceof Forbidden) return answers.failure(token)
  const timeoutMillis = Deadline.timeoutOf(incoming, http.requestTimeout)
  if (timeoutMillis instanceof BadRequest) return answers.failure(timeoutMillis)
  return {
    incoming,
    mediaType,
    address: Client.addressOf(incoming, http),
    secure: Client.isSecure(incoming, http),
    token,
    trace: Client.traceOf(incoming, http),
    timeoutMillis
  }
}

/** The encoding for an answer of this many bytes, or characters; undefined: as it is. */
export const encodingOf = ({ incoming }: Asking, length: number): Encoding | undefined =>
  length < compressOverBytes ? undefined : negotiateEncoding(incoming.header("accept-encoding"))

/** What resolvers know of the request; what few of them ask for is made when they do. */
export class HttpContext implements RequestContext {
  private readonly asking: Asking
  private readonly identity: Identity
  private made: RequestContext["memo"] | undefined
  readonly session: RequestContext["session"]
  readonly tags: RequestContext["tags"]
  /** The value of Set-Cookie, where a resolver has set one. */
  cookie: string | undefined

  constructor(asking: Asking, identity: Identity, tags?: Set<string>) {
    this.asking = asking
    this.identity = identity
    this.session = identity.session
    this.tags = tags
  }
  get sessionFailure(): RequestContext["sessionFailure"] {
    return this.identity.sessionFailure
  }
  get token(): RequestContext["token"] {
    return Option.fromNullable(this.asking.token)
  }
  get address(): string {
    return this.asking.address
  }
  get userAgent(): RequestContext["userAgent"] {
    return Client.userAgentOf(this.asking.incoming)
  }
  get trace(): RequestContext["trace"] {
    return this.asking.trace
  }
  get memo(): RequestContext["memo"] {
    return (this.made ??= new Map())
  }
  setSessionCookie(token: Parameters<RequestContext["setSessionCookie"]>[0]): void {
    this.cookie = Client.setCookie(token, this.asking.secure)
  }
}
