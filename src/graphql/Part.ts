import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { ConnectError, DatabaseUnavailable, Restricted, SessionExpired } from "../errors.ts"
import { Unauthenticated } from "../errors.ts"
import * as Feed from "./Feed.ts"
import type { Session } from "../session/Sessions.ts"

/** What a resolver knows of its request. */
export interface RequestContext {
  /** The session of the request's token; none when the request carries no token. */
  readonly session: Option.Option<Session>
  /** Why the token that came has no session. `viewer` fails with it; signing in works all the same. */
  readonly sessionFailure?: SessionExpired | Restricted | DatabaseUnavailable | undefined
  readonly token: Option.Option<string>
  /** The client's address, a trusted proxy's word for it included. */
  readonly address: string
  readonly userAgent: Option.Option<string>
  /** The span of a trusted proxy that this request belongs to. */
  readonly trace?: Tracer.ExternalSpan | undefined
  /** Per-request values by key: loaders and the like, made on first use. */
  readonly memo: Map<unknown, unknown>
  /** Where the answer may be kept: what it is made of is noted here, such as `user:<uuid>`. */
  readonly tags?: Set<string> | undefined
  /** Sets the session cookie (or clears it with `Option.none()`) on an HTTP answer; nothing on a socket. */
  readonly setSessionCookie: (token: Option.Option<{ readonly value: string; readonly expiresAt: Date }>) => void
}

/** A value, or an Effect of it. Failures of `ConnectError` become GraphQL errors with their code. */
export type Resolved<A> = A | Effect.Effect<A, ConnectError>

/** A field of an object type. `args` are decoded by the field's Schema before `resolve` runs. */
export interface Field {
  readonly args?: Schema.Schema.AnyNoContext
  readonly resolve: (parent: never, args: never, request: RequestContext) => Resolved<unknown>
}

/** A root field of `Subscription`: a feed that is active when the Effect returns; its scope ends with the client's. */
export interface SubscriptionField {
  readonly args?: Schema.Schema.AnyNoContext
  readonly subscribe: (args: never, request: RequestContext, wake: Feed.Wake) => Opening
}

type Opening = Effect.Effect<Feed.Feed<unknown, ConnectError>, ConnectError, Scope.Scope>

/**
 * One service's part of the schema: resolvers by type and field. A root field is served where some part resolves it, and
 * absent otherwise; an object field without a resolver reads the property of the same name. `nodes` finds what
 * `node(id)` asks for, by type.
 */
export interface Part {
  readonly Query?: Readonly<Record<string, Field>>
  readonly Mutation?: Readonly<Record<string, Field>>
  readonly Subscription?: Readonly<Record<string, SubscriptionField>>
  readonly types?: Readonly<Record<string, Readonly<Record<string, Field>>>>
  readonly nodes?: Readonly<Record<string, (uuid: string, request: RequestContext) => Resolved<unknown>>>
}

/** A field with typed arguments. */
export const field = <A, I, P = unknown>(
  args: Schema.Schema<A, I>,
  resolve: (args: A, request: RequestContext, parent: P) => Resolved<unknown>
): Field => ({ args, resolve: (parent: P, decoded: A, request) => resolve(decoded, request, parent) })

/** A field without arguments. */
export const plain = <P>(resolve: (parent: P, request: RequestContext) => Resolved<unknown>): Field => ({
  resolve: (parent: P, _: unknown, request) => resolve(parent, request)
})

/** A subscription with typed arguments: what many wait for at once. `wake` says that there is something to take. */
export const feed = <A, I>(
  args: Schema.Schema<A, I>,
  subscribe: (args: A, request: RequestContext, wake: Feed.Wake) => Opening
): SubscriptionField => ({ args, subscribe })

/** A subscription with typed arguments from a Stream, which keeps a fiber for as long as somebody is subscribed. */
export const subscription = <A, I>(
  args: Schema.Schema<A, I>,
  subscribe: (
    args: A,
    request: RequestContext
  ) => Effect.Effect<Stream.Stream<unknown, ConnectError>, ConnectError, Scope.Scope>
): SubscriptionField =>
  feed(args, (given, request, wake) =>
    Effect.flatMap(subscribe(given, request), (stream) => Feed.fromStream(stream, wake))
  )

/**
 * The viewer's session; SessionExpired for a token that is no good (any more), Restricted for one that a ban ended,
 * Unauthenticated without a token.
 */
export const viewer = (
  request: RequestContext
): Effect.Effect<Session, Unauthenticated | SessionExpired | Restricted | DatabaseUnavailable> =>
  request.session._tag === "Some"
    ? Effect.succeed(request.session.value)
    : Effect.fail(request.sessionFailure ?? new Unauthenticated())

/** What is for the viewer, without a step of a fiber before it. */
export const forViewer = <A, E>(
  request: RequestContext,
  use: (session: Session) => Effect.Effect<A, E>
): Effect.Effect<A, E | Effect.Effect.Error<ReturnType<typeof viewer>>> =>
  request.session._tag === "Some" ? use(request.session.value) : Effect.flatMap(viewer(request), use)

/** A value of this request made once: `memo(request, key, () => …)`. */
export const memo = <A>({ memo: made }: RequestContext, key: unknown, make: () => A): A => {
  const known = made.get(key)
  if (known !== undefined || made.has(key)) return known as A
  const value = make()
  made.set(key, value)
  return value
}
