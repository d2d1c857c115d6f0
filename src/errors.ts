import * as Schema from "effect/Schema"

/**
 * Every failure a caller can act on, once. The tag in UPPER_SNAKE is the GraphQL `extensions.code`.
 * `status` is the HTTP status where the failure ends a whole request; `retryable` says whether the same call may
 * succeed later without a change.
 */
export interface ErrorInfo {
  readonly status: number
  readonly retryable: boolean
}

const Message = { message: Schema.String }

/** The input is not acceptable. Each issue names the argument's path (dotted) and what is wrong with it. */
export class ValidationFailed extends Schema.TaggedError<ValidationFailed>()("ValidationFailed", {
  issues: Schema.Array(Schema.Struct({ path: Schema.String, message: Schema.String }))
}) {
  override get message() {
    return this.issues
      .map((issue) => (issue.path === "" ? issue.message : `${issue.path}: ${issue.message}`))
      .join("; ")
  }
}

/** No document is known by this hash. Clients of automatic persisted queries send it again with the text. */
export class PersistedQueryNotFound extends Schema.TaggedError<PersistedQueryNotFound>()("PersistedQueryNotFound", {}) {
  override get message() {
    return "PersistedQueryNotFound"
  }
}

/** The operation wants a session and the request carries none. */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()("Unauthenticated", {}) {
  override get message() {
    return "Sign in first: send `Authorization: Bearer TOKEN`"
  }
}

/** Handle and password do not go together. Never says which of the two is wrong. */
export class InvalidCredentials extends Schema.TaggedError<InvalidCredentials>()("InvalidCredentials", {}) {
  override get message() {
    return "The handle or the password is wrong"
  }
}

/** The token is unknown, ended, revoked or expired. The client should sign in again. */
export class SessionExpired extends Schema.TaggedError<SessionExpired>()("SessionExpired", {}) {
  override get message() {
    return "The session has ended: sign in again"
  }
}

/** The viewer's role does not allow the operation. */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", Message) {}

/** No such thing, or none that the viewer may see; the two cannot be told apart. `what` is the type's name. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { what: Schema.String }) {
  override get message() {
    return `No such ${this.what}`
  }
}

/** The state of things does not allow it: handle taken, key reused with other content, already waiting. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", Message) {}

/** Too many calls. The next one is accepted after `retryAfterMillis`. `rule` names the limit that was met. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  retryAfterMillis: Schema.Number,
  rule: Schema.optional(Schema.String)
}) {
  override get message() {
    return `Too many requests: try again in ${Math.ceil(this.retryAfterMillis)} ms`
  }
}

/** A moderation action in force forbids it. `expiresAt` is null for one without an end. */
export class Restricted extends Schema.TaggedError<Restricted>()("Restricted", {
  kind: Schema.String,
  expiresAt: Schema.NullOr(Schema.DateFromString)
}) {
  override get message() {
    return this.expiresAt === null
      ? `Restricted by moderation (${this.kind})`
      : `Restricted by moderation (${this.kind}) until ${this.expiresAt.toISOString()}`
  }
}

/** The moderation rules refuse the text. `rule` names the rule, never the word. */
export class ContentRejected extends Schema.TaggedError<ContentRejected>()("ContentRejected", { rule: Schema.String }) {
  override get message() {
    return `The text is not allowed here (${this.rule})`
  }
}

/** The queue holds `capacity` tickets already. */
export class QueueFull extends Schema.TaggedError<QueueFull>()("QueueFull", { capacity: Schema.Number }) {
  override get message() {
    return `The queue is full (${this.capacity} waiting): try again shortly`
  }
}

/** The interaction has ended; only its history can be read. */
export class InteractionEnded extends Schema.TaggedError<InteractionEnded>()("InteractionEnded", {}) {
  override get message() {
    return "The interaction has ended"
  }
}

/** The actor's mailbox is at its bound. */
export class MailboxFull extends Schema.TaggedError<MailboxFull>()("MailboxFull", {
  actor: Schema.String,
  capacity: Schema.Number
}) {
  override get message() {
    return `${this.actor} has ${this.capacity} messages waiting: try again shortly`
  }
}

/** The actor failed more often than its supervision allows and takes no messages until `retryAfterMillis` have passed. */
export class ActorStopped extends Schema.TaggedError<ActorStopped>()("ActorStopped", {
  actor: Schema.String,
  retryAfterMillis: Schema.Number
}) {
  override get message() {
    return `${this.actor} is stopped after repeated failures`
  }
}

/** The actor's handler failed with a defect while it processed this message; the message is not retried. */
export class ActorCrashed extends Schema.TaggedError<ActorCrashed>()("ActorCrashed", { actor: Schema.String }) {
  override get message() {
    return `${this.actor} failed on this message`
  }
}

/** Another activation, most likely on another node, has taken the actor over: what this one wrote was not kept. */
export class StaleOwner extends Schema.TaggedError<StaleOwner>()("StaleOwner", {
  actor: Schema.String,
  id: Schema.String
}) {
  override get message() {
    return `${this.actor} is served elsewhere by now`
  }
}

/** No reply within the ask's timeout. Whether the message was processed is unknown. */
export class AskTimeout extends Schema.TaggedError<AskTimeout>()("AskTimeout", {
  actor: Schema.String,
  timeoutMillis: Schema.Number
}) {
  override get message() {
    return `${this.actor} did not answer within ${this.timeoutMillis} ms`
  }
}

/** The store (Redis) did not answer. `operation` names the command. Callers degrade; they do not fail their caller with it. */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  operation: Schema.String,
  cause: Schema.Defect
}) {
  override get message() {
    return `The store did not answer (${this.operation})`
  }
}

/** Postgres is unreachable, out of connections or shutting down. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  cause: Schema.Defect
}) {
  override get message() {
    return "The database is not available: try again shortly"
  }
}

/** The request's time ran out. */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  timeoutMillis: Schema.Number
}) {
  override get message() {
    return `Not done within ${this.timeoutMillis} ms`
  }
}

/** The server sheds load, or is draining. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", { retryAfterMillis: Schema.Number }) {
  override get message() {
    return "The server is busy: try again shortly"
  }
}

/** The body is larger than `bytesMax`. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()("PayloadTooLarge", {
  bytesMax: Schema.Number
}) {
  override get message() {
    return `The body is larger than ${this.bytesMax} bytes`
  }
}

/** The request is not GraphQL over HTTP: no JSON, no query, an unknown operation, a limit of the document exceeded. */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", Message) {}

/** What every error of this file is. */
export type ConnectError =
  | ValidationFailed
  | Unauthenticated
  | InvalidCredentials
  | SessionExpired
  | Forbidden
  | NotFound
  | PersistedQueryNotFound
  | Conflict
  | RateLimited
  | Restricted
  | ContentRejected
  | QueueFull
  | InteractionEnded
  | MailboxFull
  | ActorStopped
  | ActorCrashed
  | StaleOwner
  | AskTimeout
  | StoreUnavailable
  | DatabaseUnavailable
  | DeadlineExceeded
  | Overloaded
  | PayloadTooLarge
  | BadRequest

/** The table: adding an error to the union without a row here does not compile. */
export const errors: { readonly [Tag in ConnectError["_tag"]]: ErrorInfo } = {
  ValidationFailed: { status: 400, retryable: false },
  BadRequest: { status: 400, retryable: false },
  Unauthenticated: { status: 401, retryable: false },
  InvalidCredentials: { status: 401, retryable: false },
  SessionExpired: { status: 401, retryable: false },
  Forbidden: { status: 403, retryable: false },
  Restricted: { status: 403, retryable: false },
  NotFound: { status: 404, retryable: false },
  PersistedQueryNotFound: { status: 404, retryable: false },
  Conflict: { status: 409, retryable: false },
  InteractionEnded: { status: 409, retryable: false },
  PayloadTooLarge: { status: 413, retryable: false },
  ContentRejected: { status: 422, retryable: false },
  RateLimited: { status: 429, retryable: true },
  ActorCrashed: { status: 500, retryable: false },
  QueueFull: { status: 503, retryable: true },
  MailboxFull: { status: 503, retryable: true },
  ActorStopped: { status: 503, retryable: true },
  StaleOwner: { status: 503, retryable: true },
  Overloaded: { status: 503, retryable: true },
  StoreUnavailable: { status: 503, retryable: true },
  DatabaseUnavailable: { status: 503, retryable: true },
  AskTimeout: { status: 504, retryable: true },
  DeadlineExceeded: { status: 504, retryable: true }
}

/** `QueueFull` -> `QUEUE_FULL`. */
export const codeOf = (tag: string): string => tag.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase()

export const isConnectError = (u: unknown): u is ConnectError =>
  typeof u === "object" && u !== null && "_tag" in u && typeof u._tag === "string" && u._tag in errors

/** One issue at one path. */
export const invalid = (path: string, message: string): ValidationFailed =>
  new ValidationFailed({ issues: [{ path, message }] })
