import type * as Effect from "effect/Effect"
import type { BadRequest, PayloadTooLarge } from "../errors.ts"

/** A request as the handlers read it: the same on Bun, Node and Deno, and nothing is parsed before it is asked for. */
export interface Incoming {
  readonly method: string
  /** Without the query string; never from an absolute-form target's host. */
  readonly path: string
  /** With its `?`, or empty. */
  readonly search: string
  /** By lower-case name. */
  readonly header: (name: string) => string | undefined
  /** The address of the socket's other end. */
  readonly peer: string
  /** Whether the connection to us is encrypted. */
  readonly secure: boolean
}

/** The reader of an answer that goes on, as its runtime gives it. */
export interface Reader {
  /** Resolves when more may be sent. */
  readonly send: (text: string) => Promise<void> | void
  /** Nothing more comes. */
  readonly end: () => void
}

/** A body that goes on: begins when there is a reader, who says when it has gone. */
export interface Events {
  readonly open: (reader: Reader) => { readonly closed: () => void }
}

/** What a handler answers. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /**
   * The header `RateLimit`, which no two answers share. Where it stands here, `headers` are one object of a few that never
   * change, so that a server may keep them ready.
   */
  readonly ratelimit?: string | undefined
  readonly body: string | Uint8Array<ArrayBuffer> | Events | null
}

/** All headers of an answer in one object. */
export const headersOf = ({ headers, ratelimit }: Answer): Answer["headers"] =>
  ratelimit === undefined ? headers : { ...headers, ratelimit }

/** The body as UTF-8, or why there is none. */
export type Body = string | PayloadTooLarge | BadRequest

/** A request as the server of a runtime brings it. */
export interface Arriving extends Incoming {
  /** Reads the body, counting: more than `bytesMax` is not read on. Rejects when it does not arrive whole. */
  readonly read: (bytesMax: number) => Promise<Body> | Body
  /** Calls `abort` when the client goes away. Asked only where a fiber waits. */
  readonly onAbort: (abort: () => void) => void
}

/** The handler goes on with the body, which the server counts while it reads: more than `bytesMax` is not read on. */
export class WithBody {
  readonly bytesMax: number
  readonly next: (body: Body) => Answer | Effect.Effect<Answer>
  constructor(bytesMax: number, next: (body: Body) => Answer | Effect.Effect<Answer>) {
    this.bytesMax = bytesMax
    this.next = next
  }
}

/** An answer that is there, one that the body is needed for, or one that takes a fiber. */
export type Outcome = Answer | WithBody | Effect.Effect<Answer>

/** Answers one request; never fails. */
export type Handler = (incoming: Incoming) => Outcome
