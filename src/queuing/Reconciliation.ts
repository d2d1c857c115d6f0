import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { orUnavailable } from "../database/SqlErrors.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { withdrawn } from "./Admission.ts"
import * as Digest from "./Digest.ts"
import { type Lobby, tellMatch } from "./Lobby.ts"
import * as TicketTable from "./TicketTable.ts"

/** Matches made within this time before the start are announced again: the process may have ended in between. */
export const announceMillis = 60_000

const expire = (lobby: Lobby) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const until = new Date(now - lobby.limits.ttlMillis)
    for (;;) {
      const rows = yield* TicketTable.expire(lobby.sql, until, new Date(now))
      yield* withdrawn(lobby, new Map(rows.map(({ id, userId }) => [userId, id])), "expired")
      if (rows.length < TicketTable.rowsMax) return
    }
  })

/** Takes in what the database has and the index lacks, and drops what the database has no more. */
const align = (lobby: Lobby) =>
  Effect.gen(function* () {
    const { index, sql } = lobby
    const changed = (lobby.changed = new Set())
    const granules = new Set(index.differing(yield* Digest.ofDatabase(sql)))
    if (granules.size === 0) return
    const there = yield* Digest.idsIn(sql, [...granules])
    const known = new Set(there)
    for (const { id, createdAt, held } of index.tickets())
      if (!held && granules.has(Digest.granuleOf(createdAt)) && !known.has(id) && !changed.has(id)) index.withdraw(id)
    const missing = there.filter((id) => !index.has(id) && !changed.has(id))
    for (let at = 0; at < missing.length && !index.isFull; at += TicketTable.rowsMax) {
      const now = new Date(yield* Clock.currentTimeMillis)
      const ids = missing.slice(at, at + TicketTable.rowsMax)
      const rows = yield* TicketTable.load(sql, ids, now, lobby.limits.recentMillis)
      yield* lobby.advance
      for (const { entrant, avoid } of rows) if (!changed.has(entrant.id)) index.add(entrant, avoid)
      lobby.stir()
    }
  }).pipe(
    Effect.ensuring(
      Effect.sync(() => {
        lobby.changed = undefined
      })
    )
  )

/**
 * One pass over the queue: expires what is too old, agrees with the database, widens what is due and looks for partners
 * of tickets that other processes should have matched.
 */
export const pass = (lobby: Lobby): Effect.Effect<void, DatabaseUnavailable> =>
  Effect.gen(function* () {
    const began = yield* Clock.currentTimeMillis
    yield* expire(lobby)
    yield* align(lobby)
    yield* lobby.advance
    lobby.index.sweep()
    lobby.stir()
    Metrics.queuePassSeconds.unsafeUpdate(((yield* Clock.currentTimeMillis) - began) / 1_000, [])
  }).pipe(orUnavailable)

/** Announces the newest matches again: to those who have seen them it changes nothing. */
export const announce = (lobby: Lobby): Effect.Effect<void, DatabaseUnavailable> =>
  Effect.gen(function* () {
    const since = new Date((yield* Clock.currentTimeMillis) - announceMillis)
    const rows = yield* lobby.sql<{ readonly matchId: string; readonly userId: string }>`
select m.id as "matchId", t.user_id as "userId"
from (select id from matches where created_at > ${since}::timestamptz order by created_at desc
      limit ${TicketTable.rowsMax}) m
join match_tickets k on k.match_id = m.id join tickets t on t.id = k.ticket_id`
    yield* Effect.forEach(rows, ({ matchId, userId }) => tellMatch(lobby, userId, matchId), { discard: true })
  }).pipe(orUnavailable)
