import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Broadcast } from "../../src/broadcast/Broadcast.ts"
import { counted } from "../../src/database/QueryCount.ts"
import { SessionId, type UserId } from "../../src/domain/Ids.ts"
import type { ConnectError } from "../../src/errors.ts"
import { assemble } from "../../src/graphql/assemble.ts"
import type { Field, Part, RequestContext } from "../../src/graphql/Part.ts"
import type { InboxEvent } from "../../src/queuing/Inbox.ts"
import { part } from "../../src/queuing/QueuingPart.ts"
import { inboxTopic, type InboxSignal } from "../../src/queuing/Signal.ts"
import type { Match, Ticket } from "../../src/queuing/Ticket.ts"
import type { Session } from "../../src/session/Sessions.ts"
import { withLayer } from "../kit/effect.ts"
import { streamOf } from "../kit/feed.ts"
import { block, database, emptied, people, process } from "./fixtures.ts"

const session = (userId: UserId): Session => ({
  id: SessionId.make(`session-of-${userId}`),
  userId,
  role: "USER",
  createdAt: new Date(0),
  lastUsedAt: new Date(0),
  expiresAt: new Date(0),
  userAgent: null
})

const request = (userId?: UserId): RequestContext => ({
  session: Option.map(Option.fromNullable(userId), session),
  token: Option.none(),
  address: "127.0.0.1",
  userAgent: Option.none(),
  memo: new Map(),
  setSessionCookie: () => undefined
})

/** Resolves a field as the gateway does: arguments decoded, an Effect run. */
const ask = <A>(field: Field | undefined, parent: unknown, args: unknown, userId?: UserId) =>
  Effect.suspend(() => {
    const decoded = field!.args ? Schema.decodeUnknownSync(field!.args)(args) : args
    const value = field!.resolve(parent as never, decoded as never, request(userId))
    return (Effect.isEffect(value) ? value : Effect.succeed(value)) as Effect.Effect<A, unknown>
  })

const join = (served: Part, userId: UserId, input: object = {}) =>
  ask<Ticket>(served.Mutation!["joinQueue"], undefined, { input: { clientKey: "k", ...input } }, userId)

/** What an inbox shows, one event at a time. */
const inbox = (served: Part, userId: UserId) =>
  Effect.gen(function* () {
    const events = yield* Queue.unbounded<InboxEvent>()
    const { subscribe } = served.Subscription!["inbox"]!
    const stream = yield* streamOf((wake) => subscribe(undefined as never, request(userId), wake))
    const fiber = yield* Effect.forkScoped(
      Stream.runForEach(stream as Stream.Stream<InboxEvent>, (event) => Queue.offer(events, event))
    )
    return { next: Queue.take(events), size: Queue.size(events), fiber }
  })

const alone = <A, E>(
  test: Effect.Effect<A, E, Effect.Effect.Context<typeof part> | Broadcast | SqlClient.SqlClient | Scope.Scope>
) => emptied(Effect.provide(test, process({ interval: Duration.hours(1) })))

withLayer("the queue's part of the schema", database, (it) => {
  it("fits the contract", () => Effect.map(part, (served) => assemble([served])).pipe(alone))

  it("shows both people their match, each with the shared interests and the interaction", () =>
    Effect.gen(function* () {
      const served = yield* part
      const [ada, bob] = (yield* people(2, { interests: ["chess", "go"] })) as [UserId, UserId]
      const inboxes = [yield* inbox(served, ada), yield* inbox(served, bob)]
      const ticket = yield* join(served, ada)
      yield* join(served, bob, { interests: ["go"], languages: ["en-GB"] })
      const shown = yield* Effect.forEach(inboxes, ({ next }) => next)
      expect(shown.map(({ _tag }) => _tag)).toEqual(["MatchFound", "MatchFound"])
      const { match } = shown[0] as InboxEvent & { readonly _tag: "MatchFound" }
      expect(match).toMatchObject({ sharedInterests: ["go"], level: 0 })
      expect(shown[1]).toEqual(shown[0]!)
      const interaction = yield* ask(served.types!["Match"]!["interaction"], match, {}, ada)
      expect(interaction).toMatchObject({ id: match.interactionId, state: "ACTIVE", lastSeq: 0 })
      const mine = yield* ask<Ticket>(served.types!["Viewer"]!["ticket"], session(ada), {}, ada)
      expect(mine).toMatchObject({ id: ticket.id, state: "MATCHED" })
      expect((yield* ask<Match>(served.types!["Ticket"]!["match"], mine, {}, ada)).id).toBe(match.id)
      expect(yield* ask<number>(served.types!["Ticket"]!["waitedMillis"], mine, {}, ada)).toBe(
        mine.endedAt!.getTime() - mine.createdAt.getTime()
      )
    }).pipe(alone))

  it("begins an inbox with the ticket that waits, or the match that goes on, and nothing else", () =>
    Effect.gen(function* () {
      const served = yield* part
      const sql = yield* SqlClient.SqlClient
      const [ada, bob] = (yield* people(2)) as [UserId, UserId]
      const ticket = yield* join(served, ada)
      const first = yield* inbox(served, ada)
      expect(yield* first.next).toMatchObject({ _tag: "TicketUpdated", ticket: { id: ticket.id, state: "WAITING" } })
      yield* join(served, bob)
      expect((yield* first.next)._tag).toBe("MatchFound")
      const again = yield* inbox(served, ada)
      expect((yield* again.next)._tag).toBe("MatchFound")
      yield* sql`update interactions set state = 1`
      const late = yield* inbox(served, ada)
      yield* Effect.flatMap(Broadcast, (broadcast) =>
        broadcast.publish(inboxTopic(ada), { _tag: "TicketUpdated", ticketId: ticket.id } satisfies InboxSignal)
      )
      expect((yield* late.next)._tag).toBe("TicketUpdated")
    }).pipe(alone))

  it("shows a match once, however often it is announced, and what is another's never", () =>
    Effect.gen(function* () {
      const served = yield* part
      const broadcast = yield* Broadcast
      const [ada, bob, eve] = (yield* people(3)) as [UserId, UserId, UserId]
      const [mine, hers] = [yield* inbox(served, ada), yield* inbox(served, eve)]
      const ticket = yield* join(served, ada)
      yield* join(served, bob)
      const { match } = (yield* mine.next) as InboxEvent & { readonly _tag: "MatchFound" }
      for (const userId of [ada, eve]) {
        yield* broadcast.publish(inboxTopic(userId), { _tag: "MatchFound", matchId: match.id })
        yield* broadcast.publish(inboxTopic(userId), { _tag: "TicketUpdated", ticketId: ticket.id })
        yield* broadcast.publish(inboxTopic(userId), { _tag: "SessionRevoked", reason: "signed_out" })
      }
      expect([(yield* mine.next)._tag, (yield* mine.next)._tag]).toEqual(["TicketUpdated", "SessionRevoked"])
      expect((yield* hers.next)._tag).toBe("SessionRevoked")
    }).pipe(alone))

  it("ends an inbox with the session, and only those of the sessions that ended", () =>
    Effect.gen(function* () {
      const served = yield* part
      const broadcast = yield* Broadcast
      const [ada] = (yield* people(1)) as [UserId]
      const mine = yield* inbox(served, ada)
      const revoked = (sessionIds: ReadonlyArray<string>) =>
        broadcast.publish(inboxTopic(ada), { _tag: "SessionRevoked", reason: "revoked", sessionIds })
      yield* revoked(["another"])
      yield* revoked([session(ada).id])
      expect(yield* mine.next).toEqual({ _tag: "SessionRevoked", reason: "revoked" })
      yield* mine.fiber
      expect(yield* mine.size).toBe(0)
    }).pipe(alone))

  it("posts a restriction to the person it is about", () =>
    Effect.gen(function* () {
      const served = yield* part
      const broadcast = yield* Broadcast
      const sql = yield* SqlClient.SqlClient
      const [ada] = (yield* people(1)) as [UserId]
      const mine = yield* inbox(served, ada)
      const [row] = yield* sql<{ readonly id: string }>`
        insert into moderation_actions (id, subject_id, kind, reason, client_key, starts_at)
        values (gen_random_uuid(), ${ada}::uuid, 'MUTE', 'spam', 'k', now()) returning id`
      yield* broadcast.publish(inboxTopic(ada), { _tag: "RestrictionPosted", actionId: row!.id })
      expect(yield* mine.next).toMatchObject({ _tag: "RestrictionPosted", action: { kind: "MUTE", reason: "spam" } })
    }).pipe(alone))

  it("gives tickets and matches by id to their owners alone", () =>
    Effect.gen(function* () {
      const served = yield* part
      const [ada, bob, eve] = (yield* people(3)) as [UserId, UserId, UserId]
      const mine = yield* inbox(served, ada)
      const ticket = yield* join(served, ada)
      yield* join(served, bob)
      const { match } = (yield* mine.next) as InboxEvent & { readonly _tag: "MatchFound" }
      const node = (type: string, id: string, userId?: UserId) =>
        Effect.match(
          served.nodes![type]!(id, request(userId)) as Effect.Effect<{ readonly id: string }, ConnectError>,
          {
            onFailure: ({ _tag }) => _tag as string,
            onSuccess: (found) => found.id
          }
        )
      expect<string>(yield* node("Ticket", ticket.id, ada)).toBe(ticket.id)
      const [found, { queries }] = yield* counted(node("Match", match.id, bob))
      // Both were shown theirs a moment ago, and a match never changes.
      expect<[string, number]>([found, queries]).toEqual([match.id, 0])
      expect(yield* node("Ticket", ticket.id, bob)).toBe("NotFound")
      expect(yield* node("Match", match.id, eve)).toBe("NotFound")
      expect(yield* node("Match", match.id)).toBe("Unauthenticated")
    }).pipe(alone))

  it("tells a person who leaves, on every device", () =>
    Effect.gen(function* () {
      const served = yield* part
      const [ada, bob] = (yield* people(2)) as [UserId, UserId]
      yield* block(ada, bob)
      yield* join(served, ada)
      const mine = yield* inbox(served, ada)
      yield* mine.next
      expect(yield* ask(served.Mutation!["leaveQueue"], undefined, {}, ada)).toBe(true)
      expect(yield* mine.next).toMatchObject({ _tag: "TicketUpdated", ticket: { state: "CANCELLED" } })
      expect(yield* ask(served.Query!["queueStats"], undefined, {})).toMatchObject({ waiting: 0 })
    }).pipe(alone))

  it("reports the figures of the queue again and again, at a bounded pace", () =>
    Effect.gen(function* () {
      const served = yield* part
      const { args, subscribe } = served.Subscription!["queueStats"]!
      const every = (everyMillis: unknown) => Schema.decodeUnknownEither(args!)({ everyMillis })
      expect([every(249), every(60_001), every(1.5)].map(Either.isLeft)).toEqual([true, true, true])
      const stream = yield* streamOf((wake) => subscribe({ everyMillis: 250 } as never, request(), wake))
      const reports = yield* Stream.runCollect(Stream.take(stream, 2))
      expect([...reports]).toMatchObject([{ waiting: 0 }, { waiting: 0 }])
    }).pipe(alone))
})
