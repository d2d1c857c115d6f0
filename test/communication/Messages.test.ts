import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as Broadcast from "../../src/broadcast/Broadcast.ts"
import * as CommunicationPart from "../../src/communication/CommunicationPart.ts"
import type { Message } from "../../src/communication/Message.ts"
import * as Messages from "../../src/communication/Messages.ts"
import * as Settings from "../../src/config/Settings.ts"
import * as Ids from "../../src/domain/Ids.ts"
import type { Connection } from "../../src/domain/Page.ts"
import { ContentRejected, RateLimited, Restricted } from "../../src/errors.ts"
import * as Cursor from "../../src/graphql/Cursor.ts"
import type { Part, RequestContext } from "../../src/graphql/Part.ts"
import type { Interaction } from "../../src/interaction/Interaction.ts"
import * as InteractionActor from "../../src/interaction/InteractionActor.ts"
import * as Restrictions from "../../src/moderation/Restrictions.ts"
import * as RateLimiter from "../../src/rate/RateLimiter.ts"
import type { Session } from "../../src/session/Sessions.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import { Users } from "../../src/user/Users.ts"
import { said } from "../history/Talks.ts"
import * as Talk from "../interaction/Talk.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const settings = Settings.layerTest((test) => ({ ...test, rateLimit: { ...test.rateLimit, enabled: true } }))

const layer = Messages.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(Talk.layerProcess, Restrictions.layer, RateLimiter.layer)),
  Layer.provideMerge(
    Layer.mergeAll(
      Postgres.layerDatabase,
      Broadcast.layerLocal,
      StoreMemory.layer,
      settings,
      Cursor.layerSecret("a secret of the tests")
    )
  )
)

const requestOf = (userId: Ids.UserId, role: Session["role"] = "USER"): RequestContext => {
  const now = new Date()
  const session: Session = {
    id: Ids.SessionId.make("s"),
    userId,
    role,
    createdAt: now,
    lastUsedAt: now,
    expiresAt: now,
    userAgent: null
  }
  return {
    session: Option.some(session),
    token: Option.none(),
    address: "127.0.0.1",
    userAgent: Option.none(),
    memo: new Map(),
    setSessionCookie: () => undefined
  }
}

const part = Effect.provideService(CommunicationPart.part, Users, {} as never)

/** A field as graphql calls it: the arguments are decoded first. */
const call = (part: Part, type: string, name: string, parent: unknown, args: unknown, request: RequestContext) => {
  const field = part.types?.[type]?.[name] ?? part.Mutation?.[name]
  if (field === undefined) throw new Error(`${type}.${name} is not resolved`)
  const decoded = field.args === undefined ? Effect.succeed({}) : Schema.decodeUnknown(field.args)(args)
  return Effect.flatMap(decoded, (given) => {
    const resolved = field.resolve(parent as never, given as never, request)
    return Effect.isEffect(resolved) ? (resolved as Effect.Effect<unknown, unknown>) : Effect.succeed(resolved)
  })
}

withLayer("messages", layer, (it) => {
  it("are refused from someone who is muted, and by the limit of messages a minute", () =>
    Effect.gen(function* () {
      const { ada, bob, id } = yield* Talk.between()
      const messages = yield* Messages.Messages
      const sql = yield* SqlClient.SqlClient
      const action = yield* Ids.make(Ids.ModerationActionId)
      yield* sql`insert into moderation_actions (id, actor_id, subject_id, kind, reason, client_key, starts_at)
        values (${action}::uuid, ${bob}::uuid, ${ada}::uuid, 'MUTE', 'spam', 'k', now() - interval '1 minute')`
      const send = (userId: Ids.UserId, n: number) =>
        messages.send({ userId, interactionId: id, clientKey: `k${n}`, body: `number ${n}` })
      expect(yield* Effect.flip(send(ada, 0))).toBeInstanceOf(Restricted)
      const burst = RateLimiter.rules.sendMessage.burst
      const answers = yield* Effect.forEach(Array.from({ length: 2 * burst }), (_, n) => Effect.either(send(bob, n)), {
        concurrency: "unbounded"
      })
      expect(answers.filter(Either.isRight).length).toBeGreaterThanOrEqual(burst)
      const refused = answers.flatMap((answer) => (Either.isLeft(answer) ? [answer.left] : []))
      expect(refused.length).toBeGreaterThan(0)
      for (const error of refused) expect(error).toBeInstanceOf(RateLimited)
    }))

  it("of people are plain text to the rules and to the database, to the byte", () =>
    Effect.gen(function* () {
      const messages = yield* Messages.Messages
      const texts = [
        "'; drop table messages; --",
        "{a,b}",
        '["a"]',
        "\\x00 \\u0000",
        " padded ",
        "a\nb\tc",
        "👩‍👩‍👧 é é",
        "null"
      ]
      for (const [n, body] of [...texts, ...fc.sample(fc.string({ unit: "grapheme", minLength: 1 }), 20)].entries()) {
        if (body.trim() === "" || body.includes("\u0000")) continue
        const { ada, id } = yield* Talk.between()
        const sent = yield* Effect.either(messages.send({ userId: ada, interactionId: id, clientKey: `k${n}`, body }))
        if (Either.isLeft(sent)) {
          expect(sent.left).toBeInstanceOf(ContentRejected)
          continue
        }
        const found = yield* messages.find(sent.right.id, ada)
        expect(Option.getOrThrow(found)).toEqual(sent.right)
        expect(sent.right.body).toBe(body)
      }
    }))

  it("are read in pages of any size from both ends, each once and in order", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      yield* said(
        id,
        ada,
        Array.from({ length: 17 }, (_, n) => `number ${n + 1}`)
      )
      const served = yield* part
      const page = (args: object) =>
        call(served, "Interaction", "messages", { id } as Interaction, args, requestOf(ada)) as Effect.Effect<
          Connection<Message>,
          unknown
        >
      const seqs = ({ edges }: Connection<Message>) => edges.map(({ node }) => node.seq)
      const all = Array.from({ length: 17 }, (_, n) => n + 1)
      for (const size of [1, 3, 16, 17, 50]) {
        const forward: Array<number> = []
        let after: string | null = null
        do {
          const found: Connection<Message> = yield* page({ first: size, after })
          forward.push(...seqs(found))
          expect(found.pageInfo.hasPreviousPage).toBe(after !== null)
          after = found.pageInfo.hasNextPage ? found.pageInfo.endCursor : null
        } while (after !== null)
        expect(forward).toEqual(all)
        const backward: Array<number> = []
        let before: string | null = null
        do {
          const found: Connection<Message> = yield* page({ last: size, before })
          backward.unshift(...seqs(found))
          expect(found.pageInfo.hasNextPage).toBe(before !== null)
          before = found.pageInfo.hasPreviousPage ? found.pageInfo.startCursor : null
        } while (before !== null)
        expect(backward).toEqual(all)
      }
      expect(seqs(yield* page({}))).toEqual(all)
      for (const wrong of [{ first: 51 }, { first: -1 }, { first: 1, last: 1 }, { first: 1, after: "AAAA" }]) {
        expect(Either.isLeft(yield* Effect.either(page(wrong)))).toBe(true)
      }
    }))

  it("of an interaction that has ended are kept, until a moderator's decision changes one", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      yield* said(id, ada, ["first", "second"])
      const sql = yield* SqlClient.SqlClient
      yield* sql`update interactions set state = 1, ended_at = now(), end_reason = 0 where id = ${id}::uuid`
      const served = yield* part
      const page = Effect.suspend(() =>
        Effect.map(
          call(served, "Interaction", "messages", { id, state: "ENDED" } as Interaction, {}, requestOf(ada)),
          (found) => (found as Connection<Message>).edges.map(({ node }) => node)
        )
      )
      const [first] = yield* page
      expect(first?.state).toBe("VISIBLE")
      // What nobody told the cache of is not seen: the page is kept.
      yield* sql`update messages set body = 'other' where interaction_id = ${id}::uuid`
      expect((yield* page).map(({ body }) => body)).toEqual(["first", "second"])
      const actor = (yield* InteractionActor.InteractionActor.client).ask(id)
      yield* actor.Change({ messageId: first!.id, state: "REMOVED" })
      expect((yield* page).map(({ body, state }) => [body, state])).toEqual([
        ["other", "REMOVED"],
        ["other", "VISIBLE"]
      ])
      // A decision that had been written before its process ended is told again.
      yield* sql`update messages set body = 'another' where interaction_id = ${id}::uuid`
      yield* actor.Change({ messageId: first!.id, state: "REMOVED" })
      expect((yield* page).map(({ body }) => body)).toEqual(["another", "another"])
    }))

  it("of interactions that have ended are what was asked for, when many windows are asked for at once", () =>
    Effect.gen(function* () {
      const messages = yield* Messages.Messages
      const { ada, id } = yield* Talk.between()
      yield* said(id, ada, ["1", "2", "3", "4", "5"])
      const windows = [null, 1, 2, 3].flatMap((from) =>
        [false, true].flatMap((backward) => [1, 2, 3].map((limit) => ({ backward, from, limit })))
      )
      const shown = (read: Messages.Windows) =>
        Effect.forEach(windows, (window) => Effect.map(read([id], window), (found) => found.get(id)), {
          concurrency: "unbounded"
        })
      expect(yield* shown(messages.endedWindows)).toEqual(yield* shown(messages.windows))
    }))

  it("that are held are read by their sender and by moderators; removed ones by moderators only", () =>
    Effect.gen(function* () {
      const { ada, bob, id } = yield* Talk.between()
      yield* said(id, ada, ["held", "removed"])
      const sql = yield* SqlClient.SqlClient
      yield* sql`update messages set state = seq where interaction_id = ${id}::uuid`
      const messages = yield* Messages.Messages
      const window = { backward: false, limit: 2, from: null }
      const found = (yield* messages.windows([id], window)).get(id)?.messages ?? []
      const served = yield* part
      const bodies = (request: RequestContext) =>
        Effect.forEach(found, (message) => call(served, "Message", "body", message, {}, request))
      expect(yield* bodies(requestOf(ada))).toEqual(["held", null])
      expect(yield* bodies(requestOf(bob))).toEqual([null, null])
      expect(yield* bodies(requestOf(yield* Talk.person, "MODERATOR"))).toEqual(["held", "removed"])
    }))

  it("need a body, and cannot be voice notes yet", () =>
    Effect.gen(function* () {
      const { ada, id } = yield* Talk.between()
      const served = yield* part
      const send = (more: object) => {
        const input = { interactionId: Ids.toGlobal("Interaction", id), clientKey: "k", ...more }
        return Effect.flip(call(served, "Mutation", "sendMessage", {}, { input }, requestOf(ada)))
      }
      expect(String(yield* send({}))).toContain("is missing")
      expect(String(yield* send({ body: " " }))).toContain("is blank")
      expect(String(yield* send({ body: "x".repeat(4_001) }))).toContain("longer than 4000")
      expect(String(yield* send({ voiceNoteId: "vox_1" }))).toContain("voice notes are not available yet")
    }))
})
