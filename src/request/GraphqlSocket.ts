import type * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { ExecutionArgs, ExecutionResult } from "graphql"
import { GraphQLError } from "graphql"
import type { Context as WsContext } from "graphql-ws"
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer } from "graphql-ws"
import { LazyScope } from "../actor/local/LazyScope.ts"
import * as Supervised from "../actor/Supervised.ts"
import type { Shape } from "../config/Settings.ts"
import {
  BadRequest,
  DeadlineExceeded,
  Forbidden,
  Overloaded,
  type RateLimited,
  type Restricted,
  type SessionExpired
} from "../errors.ts"
import * as Failures from "../graphql/Failures.ts"
import type { Operations } from "../graphql/Operations.ts"
import { read } from "../graphql/Priority.ts"
import type { RequestContext } from "../graphql/Part.ts"
import type { Operation, Variables } from "../graphql/Prepared.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Admission } from "./Admission.ts"
import * as answers from "./answers.ts"
import * as Client from "./Client.ts"
import type { Gate, Identity } from "./Gate.ts"
import { Handover } from "./Handover.ts"
import * as Host from "./Host.ts"
import type { Answer, Incoming } from "./Incoming.ts"
import * as Parameters from "./Parameters.ts"
import {
  closeCodes,
  expiryCheckInterval,
  initTimeoutMillis,
  operationsPerSocketMax,
  socketsMax
} from "./socketLimits.ts"

/** The other end of a socket, as its runtime gives it. */
export interface Peer {
  /** Resolves when more may be sent. */
  readonly send: (text: string) => Promise<void> | void
  readonly close: (code: number, reason: string) => void
}

/** An upgrade that was let in. */
export interface Admitted {
  /** What the handshake must answer in Sec-WebSocket-Protocol; undefined when the client asks for no such thing. */
  readonly protocol: string | undefined
  readonly address: string
  readonly userAgent: Option.Option<string>
  readonly cookie: string | undefined
}

/** One socket, for the runtime to feed. */
export interface Connection {
  readonly message: (text: string) => void
  readonly closed: (code: number, reason: string) => void
}

export interface Sockets {
  /** Whether this handshake may become a socket. */
  readonly admit: (incoming: Incoming) => Admitted | Answer
  readonly open: (peer: Peer, admitted: Admitted) => Connection
  /** Tells every socket to connect again elsewhere, and lets no more in. */
  readonly drain: Effect.Effect<void>
  readonly size: () => number
}

export interface Dependencies {
  readonly operations: Operations
  readonly gate: Context.Tag.Service<Gate>
  readonly admission: Admission
  readonly http: Shape["http"]
}

/** What is known of one socket. */
interface Open {
  readonly peer: Peer
  readonly admitted: Admitted
  /** Operations that are being answered. */
  fibers: Set<Fiber.RuntimeFiber<unknown, unknown>> | undefined
  /** Waits for the end of the session. */
  watch: Scope.CloseableScope | undefined
  identity: Identity
  token: string | undefined
  state: "open" | "closing" | "closed"
}

type Ctx = WsContext<Record<string, unknown> | undefined, Open>
/** graphql-ws carries these from onSubscribe to execute and subscribe. */
type Args = ExecutionArgs & { readonly operation: Operation; readonly open: Open }

const asErrors = (errors: ReadonlyArray<{ readonly message: string; readonly extensions?: object }>) =>
  errors.map(({ message, extensions }) => new GraphQLError(message, { extensions: { ...extensions } }))

const contextOf = (open: Open): RequestContext => ({
  ...open.identity,
  token: Option.fromNullable(open.token),
  address: open.admitted.address,
  userAgent: open.admitted.userAgent,
  memo: new Map(),
  setSessionCookie: () => {}
})

/** The sockets of this process. Their fibers end with the scope. */
export const make = (dependencies: Dependencies): Effect.Effect<Sockets, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { operations, gate, admission, http } = dependencies
    const runFork = Runtime.runFork(yield* Effect.runtime<never>())
    const sockets = new Set<Open>()
    let isDraining = false
    const hostRefusal = Host.refusal(http)

    const close = (open: Open, code: number, reason: string): void => {
      if (open.state !== "open") return
      open.state = "closing"
      Metrics.series(Metrics.socketsClosed, String(code)).unsafeUpdate(1, [])
      open.peer.close(code, reason)
    }

    /** Runs for a socket: ends when the socket does. */
    const fork = <A>(open: Open, effect: Effect.Effect<A, unknown>): Fiber.RuntimeFiber<A, unknown> => {
      const fiber = runFork(effect)
      const fibers = (open.fibers ??= new Set())
      fibers.add(fiber)
      fiber.addObserver(() => {
        fibers.delete(fiber)
        if (fibers.size === 0) open.fibers = undefined
      })
      return fiber
    }

    const promised = <A>(open: Open, effect: Effect.Effect<A, unknown>): Promise<A> =>
      new Promise((resolve, reject) => {
        fork(open, effect).addObserver((exit) => {
          if (Exit.isSuccess(exit)) resolve(exit.value)
          else reject(Failures.fromCause(exit.cause))
        })
      })

    const closedBy = (open: Open) => (reason: string) =>
      close(open, closeCodes.forbidden, `The session has ended: ${reason}`)

    /** Without a fiber: most sockets wait for most of their time. */
    const watch = (open: Open): void => {
      if (Option.isNone(open.identity.session)) return
      open.watch = LazyScope.make()
      fork(open, Scope.extend(gate.whenEnded(open.identity.session.value, closedBy(open)), open.watch))
    }

    /** One more operation of the socket, or its first message: it is charged, and a use of the session. */
    const enter = (open: Open): Effect.Effect<Identity["sessionFailure"], RateLimited> =>
      Effect.map(gate.enter(open.admitted.address, open.token), ({ identity }) => {
        if (identity.sessionFailure?._tag !== "DatabaseUnavailable") open.identity = identity
        return identity.sessionFailure
      })

    /** The session that connection_init names; false when the socket is closed for want of one. */
    const connect = (open: Open, payload: Record<string, unknown> | undefined): Effect.Effect<boolean> => {
      const given = payload?.["token"]
      open.token = typeof given === "string" && given !== "" ? given : open.admitted.cookie
      return Effect.map(Effect.merge(enter(open)), (failure) => {
        if (failure === undefined) watch(open)
        else if (failure._tag === "DatabaseUnavailable" || failure._tag === "RateLimited")
          close(open, closeCodes.tryLater, failure.message)
        else close(open, closeCodes.unauthorized, failure.message)
        return failure === undefined
      })
    }

    /** Why an operation may not begin. Its session is not looked for again while the database is away. */
    const refusal = (open: Open): Effect.Effect<RateLimited | SessionExpired | Restricted | undefined> =>
      Effect.map(Effect.merge(enter(open)), (failure) => {
        if (failure === undefined || failure._tag === "DatabaseUnavailable") return undefined
        if (failure._tag !== "RateLimited") close(open, closeCodes.forbidden, failure.message)
        return failure
      })

    const answerOf = (open: Open, operation: Operation, variables: Variables): Effect.Effect<ExecutionResult> =>
      admission.run(operation, operations.run(operation, variables, contextOf(open))).pipe(
        Effect.timeoutFail({
          duration: http.requestTimeout,
          onTimeout: () => new DeadlineExceeded({ timeoutMillis: Duration.toMillis(http.requestTimeout) })
        }),
        Effect.catchAll((error) => Effect.succeed({ errors: asErrors([Failures.format(error)]) }))
      )

    const server = makeServer<Record<string, unknown> | undefined, Open>({
      connectionInitWaitTimeout: initTimeoutMillis,
      onConnect: (ctx) => promised(ctx.extra, connect(ctx.extra, ctx.connectionParams)),
      onSubscribe: async (ctx: Ctx, _id, payload) => {
        const open = ctx.extra
        const refused = Object.keys(ctx.subscriptions).length > operationsPerSocketMax
        const message = `This socket has ${operationsPerSocketMax} operations in progress already`
        if (refused) return asErrors([Failures.format(new BadRequest({ message }))])
        const failure = await promised(open, refusal(open))
        if (failure !== undefined) return asErrors([Failures.format(failure)])
        const asked = Parameters.fromRecord({ ...payload, variables: undefined })
        if (asked instanceof BadRequest) return asErrors([Failures.format(asked)])
        const overloaded = admission.refusal(operations.priorityOf(asked))
        if (overloaded !== undefined) return asErrors([Failures.format(overloaded)])
        const operation = operations.find({ ...asked, variables: payload.variables ?? {} })
        if ("errors" in operation) return asErrors(operation.errors)
        const args: Args = {
          schema: operation.schema,
          document: operation.document,
          operationName: payload.operationName,
          variableValues: payload.variables,
          operation,
          open
        }
        return args
      },
      execute: (args) => {
        const { operation, open, variableValues } = args as Args
        return promised(open, answerOf(open, operation, variableValues ?? {}))
      },
      subscribe: (args) => {
        const { operation, open, variableValues } = args as Args
        return new Handover(runFork, (reader) =>
          operations.subscribe(operation, variableValues ?? {}, contextOf(open), reader)
        )
      },
      // Results are formatted already.
      onNext: (_ctx, _id, _payload, _args, result) => result as never
    })

    const open = (peer: Peer, admitted: Admitted): Connection => {
      const socket: Open = {
        peer,
        admitted,
        fibers: undefined,
        watch: undefined,
        identity: { session: Option.none() },
        token: undefined,
        state: "open"
      }
      sockets.add(socket)
      Metrics.series(Metrics.socketsOpen, "ws").unsafeModify(1, [])
      let handle: (text: string) => Promise<void> = () => Promise.resolve()
      const ended = server.opened(
        {
          protocol: admitted.protocol ?? "",
          send: (text) => (socket.state === "open" ? peer.send(text) : undefined),
          close: (code = 1000, reason = "") => close(socket, code, reason),
          onMessage: (take) => {
            handle = take
          }
        },
        socket
      )
      const crashed = (error: unknown): void => {
        if (socket.state !== "open") return
        if (isMisuse(error)) return close(socket, closeCodes.badRequest, error.message)
        runFork(Effect.logError("A socket failed", error))
        close(socket, closeCodes.internal, "Something went wrong here")
      }
      return {
        message: (text) => void handle(text).catch(crashed),
        closed: (code, reason) => {
          if (socket.state === "closed") return
          socket.state = "closed"
          sockets.delete(socket)
          Metrics.series(Metrics.socketsOpen, "ws").unsafeModify(-1, [])
          ended(code, reason).catch(crashed)
          for (const fiber of socket.fibers ?? []) fiber.unsafeInterruptAsFork(fiber.id())
          if (socket.watch !== undefined) runFork(Scope.close(socket.watch, Exit.void))
        }
      }
    }

    const admit = (incoming: Incoming): Admitted | Answer => {
      if (isDraining || sockets.size >= socketsMax) return answers.failure(new Overloaded({ retryAfterMillis: 1_000 }))
      const overloaded = admission.refusal(read)
      if (overloaded !== undefined) return answers.failure(overloaded)
      const refused = hostRefusal(incoming)
      if (refused !== undefined) return refused
      // Browsers send Origin with every handshake and let any page open a socket: only ours may.
      if (incoming.header("origin") !== undefined && !Client.isOwnOrigin(incoming, http)) {
        return answers.failure(new Forbidden({ message: "Sockets are not accepted from this origin" }))
      }
      const offered = (incoming.header("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim())
      return {
        protocol: offered.includes(GRAPHQL_TRANSPORT_WS_PROTOCOL) ? GRAPHQL_TRANSPORT_WS_PROTOCOL : undefined,
        address: Client.addressOf(incoming, http),
        userAgent: Client.userAgentOf(incoming),
        cookie: Client.cookieToken(incoming)
      }
    }

    /** A session that runs out while its socket is open: extended by other use of it, or over. */
    const checkExpiry = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      for (const socket of sockets) {
        const session = Option.getOrUndefined(socket.identity.session)
        if (session === undefined || session.expiresAt.getTime() > now) continue
        const identity = yield* gate.identify(socket.token)
        if (Option.isSome(identity.session)) socket.identity = identity
        else if (identity.sessionFailure?._tag !== "DatabaseUnavailable")
          close(socket, closeCodes.forbidden, "The session has ended: expired")
      }
    })
    yield* Supervised.fork({
      name: "socket expiry",
      effect: Effect.repeat(checkExpiry, Schedule.spaced(expiryCheckInterval))
    })

    return {
      admit,
      open,
      drain: Effect.sync(() => {
        isDraining = true
        for (const socket of sockets) close(socket, closeCodes.restart, "The server restarts: connect again")
      }),
      size: () => sockets.size
    }
  })

/** graphql-ws throws at messages that only a server sends; so the client is told. */
const isMisuse = (error: unknown): error is Error =>
  error instanceof Error && /^Unexpected message of type \w{1,32} received$/.test(error.message)
