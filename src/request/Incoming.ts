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
  /** The body as UTF-8, counted while it is read: more than `bytesMax` fails without reading on. */
  readonly text: (bytesMax: number) => Effect.Effect<string, PayloadTooLarge | BadRequest>
}

/** What a handler answers. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array<ArrayBuffer> | null
}

/** Answers one request; never fails. */
export type Handler = (incoming: Incoming) => Effect.Effect<Answer>
