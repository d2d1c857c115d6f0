import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Broadcast } from "../broadcast/Broadcast.ts"
import { Settings } from "../config/Settings.ts"
import type { MatchId, TicketId } from "../domain/Ids.ts"
import * as Uuid from "../domain/Uuid.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Bell } from "./Bell.ts"
import { type Avoided, Matchmaker } from "./Matchmaker.ts"
import type { Entrant } from "./Pool.ts"
import { type InboxSignal, inboxTopic, queueTopic, type QueueSignal } from "./Signal.ts"

/** Tickets that widen in one turn of the event loop. */
export const widenPerTurnMax = 500

/** The index of one activation of the queue's actor, and what its fibers share. */
export interface Lobby {
  readonly index: Matchmaker
  readonly sql: SqlClient.SqlClient
  /** Names this activation to the others. */
  readonly self: string
  readonly limits: {
    readonly capacity: number
    readonly ttlMillis: number
    readonly recentMillis: number
    readonly idleMillis: number
    readonly activeMax: number
  }
  /** Rung when there are proposals to claim. */
  readonly proposed: Bell
  /** Rung when a ticket will widen before `armedFor`. */
  readonly alarm: Bell
  armedFor: number | undefined
  /** Ids that came or went while the index is compared with the database: what was read of them is old. */
  changed: Set<string> | undefined
  /** Adds a ticket. It is another process's when `foreign`. */
  readonly enter: (entrant: Entrant, avoid: ReadonlyArray<Avoided>, foreign: boolean) => void
  /** Forgets a ticket that waits no more. One that a proposal holds goes when its claim is settled. */
  readonly withdraw: (ticketId: string) => void
  /** Forgets a ticket whose claim is settled. */
  readonly remove: (ticketId: string) => void
  /** After every change of the index: wakes who has to act on it. */
  readonly stir: () => void
  /** Brings the index to the Clock's time. */
  readonly advance: Effect.Effect<void>
  readonly tell: (userId: string, signal: InboxSignal) => Effect.Effect<void>
  readonly tellOthers: (signal: QueueSignal) => Effect.Effect<void>
}

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const broadcast = yield* Broadcast
  const { interaction, queuing } = yield* Settings
  const [first, second, third] = queuing.widenAfter
  const index = new Matchmaker({
    capacity: queuing.capacity,
    widenAfterMillis: [Duration.toMillis(first), Duration.toMillis(second), Duration.toMillis(third)]
  })
  const waiting = Metrics.queueWaiting

  const note = (ticketId: string): void => {
    lobby.changed?.add(ticketId)
  }

  const lobby: Lobby = {
    index,
    sql,
    self: yield* Uuid.v7,
    limits: {
      capacity: queuing.capacity,
      ttlMillis: Duration.toMillis(queuing.ticketTtl),
      recentMillis: Duration.toMillis(queuing.recentPairs),
      idleMillis: Duration.toMillis(interaction.idle),
      activeMax: queuing.activeInteractionsMax
    },
    proposed: new Bell(),
    alarm: new Bell(),
    armedFor: undefined,
    changed: undefined,
    enter: (entrant, avoid, foreign) => {
      note(entrant.id)
      index.add(entrant, avoid, foreign)
    },
    withdraw: (ticketId) => {
      note(ticketId)
      index.withdraw(ticketId)
    },
    remove: (ticketId) => {
      note(ticketId)
      index.remove(ticketId)
    },
    stir: () => {
      if (index.proposed > 0) lobby.proposed.ring()
      const due = index.nextDueAt
      if (due !== undefined && (lobby.armedFor === undefined || due < lobby.armedFor)) lobby.alarm.ring()
      waiting.unsafeUpdate(index.size, [])
    },
    advance: Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      while (!index.advance(now, widenPerTurnMax)) yield* Effect.yieldNow()
    }),
    tell: (userId, signal) => broadcast.publish(inboxTopic(userId), signal),
    tellOthers: (signal) => broadcast.publish(queueTopic, signal)
  }
  return lobby
})

/** Widens each ticket at the moment it is due. Never ends. */
export const widening = (lobby: Lobby): Effect.Effect<never> =>
  Effect.forever(
    Effect.gen(function* () {
      const due = (lobby.armedFor = lobby.index.nextDueAt)
      if (due === undefined) yield* lobby.alarm.heard
      else {
        const now = yield* Clock.currentTimeMillis
        if (due > now) yield* Effect.raceFirst(Effect.sleep(due - now), lobby.alarm.heard)
      }
      yield* lobby.advance
      lobby.stir()
    })
  )

/** Shows a person what their ticket has become. */
export const tellTicket = (lobby: Lobby, userId: string, ticketId: string): Effect.Effect<void> =>
  lobby.tell(userId, { _tag: "TicketUpdated", ticketId: ticketId as TicketId })

export const tellMatch = (lobby: Lobby, userId: string, matchId: string): Effect.Effect<void> =>
  lobby.tell(userId, { _tag: "MatchFound", matchId: matchId as MatchId })
