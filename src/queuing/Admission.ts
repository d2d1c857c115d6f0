import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import type { TicketId, UserId } from "../domain/Ids.ts"
import { Conflict, type DatabaseUnavailable, NotFound, QueueFull } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as GroupCommit from "./GroupCommit.ts"
import { type Lobby, tellTicket } from "./Lobby.ts"
import type { Entrant } from "./Pool.ts"
import { Ticket } from "./Ticket.ts"
import * as TicketTable from "./TicketTable.ts"

/** Joins and leaves of one batch at most. */
export const admissionsMax = 256

/** Times a join is tried that other processes' joins and leaves of the same person get in the way of. */
export const racesMax = 5

export interface JoinRequest extends Entrant {
  readonly clientKey: string
}

export type JoinFailure = Conflict | QueueFull | NotFound | DatabaseUnavailable

interface Join {
  readonly _tag: "Join"
  readonly userId: string
  readonly request: JoinRequest
  races: number
}

interface Leave {
  readonly _tag: "Leave"
  readonly userId: string
}

type Done = Ticket | boolean
type Result = Exit.Exit<Done, JoinFailure> | typeof GroupCommit.again

export interface Admission {
  readonly join: (request: JoinRequest) => Effect.Effect<Ticket, JoinFailure>
  /** True when a ticket was waiting and is cancelled now. */
  readonly leave: (userId: string) => Effect.Effect<boolean, DatabaseUnavailable>
}

const outcome = (name: string): void => Metrics.series(Metrics.queueJoins, name).unsafeUpdate(1, [])

const refuse = (name: string, error: JoinFailure): Result => {
  outcome(name)
  return Exit.fail(error)
}

const toTicket = (request: JoinRequest): Ticket =>
  new Ticket(
    {
      id: request.id as TicketId,
      userId: request.userId as UserId,
      state: "WAITING",
      interests: request.interests,
      languages: request.languages,
      region: request.region,
      createdAt: new Date(request.createdAt),
      endedAt: null
    },
    { disableValidation: true }
  )

const settle = (lobby: Lobby, join: Join, joined: TicketTable.Joined): Result => {
  switch (joined._tag) {
    case "Made":
      outcome("accepted")
      lobby.enter(join.request, joined.avoid, false)
      return Exit.succeed(toTicket(join.request))
    case "SameKey":
      outcome("repeated")
      return Exit.succeed(joined.ticket)
    case "Waiting":
      return refuse(
        "waiting",
        new Conflict({ message: `Already waiting with ticket ${Ids.toGlobal("Ticket", joined.ticketId)}` })
      )
    case "Busy":
      return refuse("busy", new Conflict({ message: `Already in ${joined.active} interactions: end one first` }))
    case "NoUser":
      return refuse("gone", new NotFound({ what: "User" }))
    case "NoRoom":
      // Others in front of it in the batch may have needed no room.
      if (!lobby.index.isFull) return GroupCommit.again
      return refuse("full", new QueueFull({ capacity: lobby.limits.capacity }))
    case "Raced":
      if (++join.races < racesMax) return GroupCommit.again
      return refuse("raced", new Conflict({ message: "Joined or left elsewhere at the same moment: try again" }))
  }
}

const joinAll = (lobby: Lobby, joins: ReadonlyArray<Join>) =>
  Effect.gen(function* () {
    if (joins.length === 0) return []
    const { index, limits, self, sql } = lobby
    const now = new Date(yield* Clock.currentTimeMillis)
    const room = limits.capacity - index.size
    const drafts = joins.map(({ request }, at) => ({ ...request, room: at < room }))
    const joined = yield* orUnavailable(TicketTable.join(sql, drafts, { now, ...limits }))
    yield* lobby.advance
    const results = joins.map((join, at) => settle(lobby, join, joined[at]!))
    lobby.stir()
    const tickets = joins.flatMap(({ request }, at) => {
      const made = joined[at]!
      if (made._tag !== "Made") return []
      const { id, userId, interests, languages, region, createdAt } = request
      const avoid = made.avoid.map(
        (other) => [other.userId, Number.isFinite(other.until) ? other.until : null] as const
      )
      return [{ id, userId, interests, languages, region, createdAt, avoid }]
    })
    if (tickets.length > 0) yield* lobby.tellOthers({ _tag: "TicketsJoined", from: self, tickets })
    return results
  })

const leaveAll = (lobby: Lobby, leaves: ReadonlyArray<Leave>) =>
  Effect.gen(function* () {
    if (leaves.length === 0) return []
    const now = new Date(yield* Clock.currentTimeMillis)
    const users = leaves.map(({ userId }) => userId)
    const cancelled = yield* orUnavailable(TicketTable.cancel(lobby.sql, users, now))
    yield* withdrawn(lobby, cancelled, "cancelled")
    return leaves.map(({ userId }) => Exit.succeed(cancelled.has(userId)))
  })

/** Takes tickets (by user) that have ended without a match out of the index and tells whom it concerns. */
export const withdrawn = (
  lobby: Lobby,
  tickets: ReadonlyMap<string, string>,
  reason: "cancelled" | "expired" | "banned"
): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (tickets.size === 0) return
    for (const ticketId of tickets.values()) lobby.withdraw(ticketId)
    lobby.stir()
    Metrics.series(Metrics.queueLeft, reason).unsafeUpdate(tickets.size, [])
    yield* Effect.forEach(tickets, ([userId, ticketId]) => tellTicket(lobby, userId, ticketId), { discard: true })
    yield* lobby.tellOthers({ _tag: "TicketsGone", from: lobby.self, ticketIds: [...tickets.values()] })
  })

type Item = Join | Leave

const run = (lobby: Lobby, items: ReadonlyArray<Item>): Effect.Effect<ReadonlyArray<Result>, DatabaseUnavailable> =>
  Effect.gen(function* () {
    const left = yield* leaveAll(
      lobby,
      items.filter((item) => item._tag === "Leave")
    )
    const joined = yield* joinAll(
      lobby,
      items.filter((item) => item._tag === "Join")
    )
    const [nextLeft, nextJoined] = [left.values(), joined.values()]
    return items.map((item): Result => (item._tag === "Leave" ? nextLeft : nextJoined).next().value!)
  })

/** One by one when the batch fails for a reason that is not the database's condition, so that one harms no other. */
const runSeparately = (lobby: Lobby, items: ReadonlyArray<Item>) =>
  Effect.catchAllDefect(run(lobby, items), (defect) =>
    items.length === 1
      ? Effect.die(defect)
      : Effect.forEach(items, (item) =>
          Effect.map(Effect.exit(run(lobby, [item])), (exit): Result =>
            Exit.isSuccess(exit) ? exit.value[0]! : Exit.failCause(exit.cause)
          )
        )
  )

/** The way in and out: what arrives while one statement runs shares the next. A person's calls keep their order. */
export const make = (lobby: Lobby): Effect.Effect<Admission, never, Scope.Scope> =>
  Effect.map(
    GroupCommit.make<Item, Done, JoinFailure>({
      name: "queue admission",
      sizeMax: admissionsMax,
      key: ({ userId }) => userId,
      run: (items) => runSeparately(lobby, items)
    }),
    (submit): Admission => ({
      join: (request) =>
        submit({ _tag: "Join", userId: request.userId, request, races: 0 }) as Effect.Effect<Ticket, JoinFailure>,
      leave: (userId) => submit({ _tag: "Leave", userId }) as Effect.Effect<boolean, DatabaseUnavailable>
    })
  )
