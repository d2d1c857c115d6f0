import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as fc from "fast-check"
import { Tags } from "../../src/cache/Tags.ts"
import * as TagsModule from "../../src/cache/Tags.ts"
import * as Settings from "../../src/config/Settings.ts"
import type { SessionId, UserId } from "../../src/domain/Ids.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { Unauthenticated } from "../../src/errors.ts"
import { assemble } from "../../src/graphql/assemble.ts"
import * as CacheTags from "../../src/graphql/CacheTags.ts"
import * as Operations from "../../src/graphql/Operations.ts"
import type { Part } from "../../src/graphql/Part.ts"
import { field, plain, viewer } from "../../src/graphql/Part.ts"
import * as Admission from "../../src/request/Admission.ts"
import * as GraphqlHttp from "../../src/request/GraphqlHttp.ts"
import type { Answer, Handler, Incoming } from "../../src/request/Incoming.ts"
import { WithBody } from "../../src/request/Incoming.ts"
import * as ResponseCache from "../../src/request/ResponseCache.ts"
import type { Session } from "../../src/session/Session.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { it } from "../kit/effect.ts"

const uuid = (n: number) => `00000000-0000-7000-8000-00000000000${n}`
const people = [0, 1, 2].map(uuid)

/** What stands in the database, and how often a resolver looked. */
const state = { version: 0, reads: 0 }

/** Each sees everybody in words of their own, so that an answer shows whose it is. */
const person = (id: string, of: Session) => ({
  id,
  handle: `seen_by_${of.userId}_${of.role}`,
  displayName: `version ${state.version}`,
  interests: [],
  languages: [],
  bio: null,
  region: null,
  createdAt: new Date(0)
})

const part: Part = {
  Query: {
    viewer: plain((_, request) => Option.getOrNull(request.session)),
    queueStats: plain(() => {
      state.reads++
      return { waiting: 7, matchesPerMinute: 1, waitMillisP50: 1, waitMillisP95: 1 }
    }),
    user: field(
      Schema.Struct({
        id: Schema.optional(Schema.NullOr(Ids.Global("User", Ids.UserId))),
        handle: Schema.optional(Schema.NullOr(Schema.String))
      }),
      ({ id }, request) =>
        Effect.flatMap(viewer(request), (session) => {
          state.reads++
          const found = id != null && people.includes(id) ? person(id, session) : null
          return Effect.as(Effect.yieldNow(), found)
        })
    ),
    searchUsers: field(
      Schema.Struct({
        text: Schema.String,
        first: Schema.Int,
        after: Schema.optional(Schema.NullOr(Schema.String))
      }),
      ({ first }, request) =>
        Effect.map(viewer(request), (session) => ({
          edges: people.slice(0, first).map((id) => ({ node: person(id, session), cursor: `${id} ${session.userId}` })),
          pageInfo: { hasNextPage: false, hasPreviousPage: false, startCursor: session.userId, endCursor: null }
        }))
    )
  },
  types: {
    User: { presence: plain((_: unknown, request) => (Option.isSome(request.session) ? "ONLINE" : "OFFLINE")) },
    Viewer: {
      user: plain((session: Session) => person(session.userId, session)),
      email: plain((session: Session) => `${session.userId}@example.org`)
    }
  }
}

const sessionOf = (token: string | undefined): Option.Option<Session> => {
  if (token === undefined) return Option.none()
  const [n = "", role = ""] = token.split(".")
  return Option.some({
    id: uuid(8) as SessionId,
    userId: uuid(Number(n)) as UserId,
    role: role as Session["role"],
    createdAt: new Date(0),
    lastUsedAt: new Date(0),
    expiresAt: new Date(8e15),
    userAgent: null
  })
}

const handlers = Effect.gen(function* () {
  const settings = yield* Settings.Settings
  const gate = {
    enter: (_: string, token: string | undefined) =>
      token === "gone"
        ? Effect.succeed({ identity: { session: Option.none() }, quotas: [] })
        : Effect.succeed({ identity: { session: sessionOf(token) }, quotas: [] }),
    again: () => Effect.succeed([]),
    identify: () => Effect.succeed({ session: Option.none() }),
    whenEnded: () => Effect.void
  }
  const operations = Operations.make(assemble([part]), settings)
  const responses = yield* ResponseCache.make({ ttlMillis: 300_000 })
  const admission = yield* Admission.make(settings.overload)
  const make = (kept: Option.Option<ResponseCache.ResponseCache>) =>
    GraphqlHttp.make({ operations, gate, admission, http: settings.http, responses: kept })
  return { kept: yield* make(Option.some(responses)), plain: yield* make(Option.none()), responses }
})

const incoming = (method: string, search: string, headers: Readonly<Record<string, string>>): Incoming => ({
  method,
  path: "/graphql",
  search,
  header: (name) => ({ "content-type": "application/json", host: "a", ...headers })[name],
  peer: "127.0.0.1",
  secure: false
})

const answered = (handler: Handler, of: Incoming, body = ""): Effect.Effect<Answer> => {
  const outcome = handler(of)
  const reply = outcome instanceof WithBody ? outcome.next(body) : outcome
  return Effect.isEffect(reply) ? reply : Effect.succeed(reply)
}

const bearer = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` }

const post = (handler: Handler, token: string | undefined, query: string, variables: object = {}) =>
  answered(handler, incoming("POST", "", bearer(token)), JSON.stringify({ query, variables }))

const get = (handler: Handler, query: string, headers: Readonly<Record<string, string>> = {}) =>
  answered(handler, incoming("GET", `?query=${encodeURIComponent(query)}`, headers))

/** Which of several errors are told of what is null anyway depends on whether the document is compiled yet. */
const said = ({ body }: Answer): unknown => {
  const { data, errors } = JSON.parse(String(body)) as { readonly data: unknown; readonly errors?: unknown }
  return { data, failed: errors !== undefined }
}

const layer = Layer.mergeAll(Settings.layerTest(), Layer.provide(TagsModule.layer, StoreMemory.layer))

const keptFields = fc.subarray(["id", "handle", "displayName", "bio", "interests", "__typename"], { minLength: 1 })
const userFields = fc.oneof(
  { weight: 5, arbitrary: keptFields },
  { weight: 1, arbitrary: keptFields.map((names) => [...names, "presence"]) }
)
const userSelection = fc.oneof(
  userFields.map((names) => `{ ${names.join(" ")} }`),
  userFields.map((names) => `{ ...F } fragment F on User { ${names.join(" ")} }`)
)

/** A query, with its fragment at the end where it has one. */
const operation = fc
  .array(
    fc.oneof(
      fc.tuple(fc.constant("user(id: $id)"), userSelection),
      fc.tuple(
        fc.constantFrom('searchUsers(text: "a", first: 2)'),
        fc.constantFrom(
          "{ edges { node { handle displayName } } }",
          "{ edges { cursor node { id presence } } }",
          "{ pageInfo { startCursor } }"
        )
      ),
      fc.tuple(fc.constant("queueStats"), fc.constant("{ waiting }")),
      fc.tuple(fc.constant("viewer"), fc.constantFrom("{ email }", "{ user { handle } }", "{ role }"))
    ),
    { minLength: 1, maxLength: 2 }
  )
  .map((roots) => {
    const fragments: Array<string> = []
    const fields = roots.map(([root, selection], n) => {
      const [own = "", fragment] = selection.split(" fragment F")
      if (fragment !== undefined) fragments.push(`fragment F${n}${fragment}`)
      return `r${n}: ${root} ${fragment === undefined ? own : own.replace("...F", `...F${n}`)}`
    })
    return `query ($id: ID) { ${fields.join(" ")} } ${fragments.join(" ")}`
  })

const tokens = ["0.USER", "1.USER", "1.MODERATOR", undefined]
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ token: fc.constantFrom(...tokens), which: fc.nat(1), id: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.constant("a profile changes" as const) }
)
/** Few questions and many who ask them, so that answers would be found by the wrong one if they could. */
const day = fc.tuple(fc.tuple(operation, operation), fc.array(step, { minLength: 8, maxLength: 20 }))

it("whatever is asked, in whatever order, nobody is told what somebody else was, or what is no longer so", () =>
  Effect.gen(function* () {
    const { kept, plain: bare } = yield* handlers
    const tags = yield* Tags
    const asked = fc.asyncProperty(day, async ([queries, steps]) => {
      for (const one of steps) {
        if (one === "a profile changes") {
          state.version++
          await Effect.runPromise(tags.invalidate(...people.map(CacheTags.user)))
          continue
        }
        const variables = { id: Ids.toGlobal("User", uuid(one.id)) }
        const query = queries[one.which]!
        const given = await Effect.runPromise(post(kept, one.token, query, variables))
        const expected = await Effect.runPromise(post(bare, one.token, query, variables))
        expect(said(given)).toEqual(said(expected))
      }
    })
    yield* Effect.promise(() => fc.assert(asked, { numRuns: 60 }))
  }).pipe(Effect.provide(layer)))

const someone = `{ user(id: "${Ids.toGlobal("User", uuid(2))}") { handle displayName } }`

it("an answer is read once for its viewer, until its time is over", () =>
  Effect.gen(function* () {
    const { kept } = yield* handlers
    state.reads = 0
    for (let n = 0; n < 3; n++) yield* post(kept, "0.USER", someone)
    expect(state.reads).toBe(1)
    yield* TestClock.adjust("61 seconds")
    yield* post(kept, "0.USER", someone)
    expect(state.reads).toBe(2)
  }).pipe(Effect.provide(layer)))

it("an answer that was being made while its subject changed is not kept", () =>
  Effect.gen(function* () {
    const { kept, responses } = yield* handlers
    const tags = yield* Tags
    const made = yield* Effect.fork(post(kept, "0.USER", someone))
    yield* Effect.yieldNow()
    yield* tags.invalidate(CacheTags.user(uuid(2)))
    yield* made.await
    expect(responses.stats().entries).toBe(0)
  }).pipe(Effect.provide(layer)))

it("answers with errors, and of fields that say nothing of their life, are not kept", () =>
  Effect.gen(function* () {
    const { kept, responses } = yield* handlers
    const failed = yield* post(kept, undefined, someone)
    expect(String(failed.body)).toContain(new Unauthenticated().message.slice(0, 10))
    yield* post(kept, "0.USER", "{ viewer { role } }")
    yield* post(kept, "0.USER", `{ user(id: "${Ids.toGlobal("User", uuid(2))}") { presence } }`)
    expect(responses.stats().entries).toBe(0)
  }).pipe(Effect.provide(layer)))

it("a public answer to a GET may be kept by anybody, a private one only asked about again", () =>
  Effect.gen(function* () {
    const { kept } = yield* handlers
    const stats = yield* get(kept, "{ queueStats { waiting } }")
    expect(stats.headers["cache-control"]).toBe("public, max-age=1")
    // What is left of a second is a second to caches, who know no less: none would ever keep it.
    yield* TestClock.adjust("900 millis")
    expect((yield* get(kept, "{ queueStats { waiting } }")).headers["cache-control"]).toBe("public, max-age=1")
    expect(stats.headers["vary"]).toBe("accept, accept-encoding")
    const own = yield* get(kept, someone, bearer("0.USER"))
    expect(own.headers["cache-control"]).toBe("private, no-cache")
    expect(own.headers["vary"]).toContain("authorization")
    const etag = own.headers["etag"]!
    const again = yield* get(kept, someone, { ...bearer("0.USER"), "if-none-match": `"other", ${etag}` })
    expect([again.status, again.body]).toEqual([304, null])
    const other = yield* get(kept, someone, { ...bearer("1.USER"), "if-none-match": etag })
    expect(other.status).toBe(200)
    const posted = yield* post(kept, "0.USER", someone)
    expect([posted.headers["cache-control"], posted.headers["etag"]]).toEqual(["no-store", undefined])
    expect((yield* get(kept, "{ viewer { role } }", bearer("0.USER"))).headers["cache-control"]).toBe("no-store")
  }).pipe(Effect.provide(layer)))

it("the cache is bounded in bytes, with what is used most", () =>
  Effect.gen(function* () {
    const { responses } = yield* handlers
    const text = "x".repeat(100_000)
    const evictions = Effect.map(
      Metric.value(Metrics.series(Metrics.cacheEvictions, "response")),
      (state) => (state as { readonly count: number }).count
    )
    const before = yield* evictions
    for (let n = 0; n < 1_000; n++) {
      const slot = { key: `key ${n}`, maxAgeMillis: 60_000, begun: 0, tags: new Set([`user:${n}`]) }
      responses.keep(slot, text, 0)
      expect(responses.find("key 0", 0)).toBeDefined()
    }
    expect(responses.stats().bytes).toBeLessThanOrEqual(ResponseCache.bytesMax)
    expect(responses.find("key 1", 0)).toBeUndefined()
    expect((yield* evictions) - before).toBe(1_000 - responses.stats().entries)
  }).pipe(Effect.provide(layer)))

const slotOf = (key: string, ...tags: ReadonlyArray<string>): ResponseCache.Slot => ({
  key,
  maxAgeMillis: 60_000,
  begun: 0,
  tags: new Set(tags)
})

it("what an answer is found and forgotten by counts as well as its text, and goes with it", () =>
  Effect.gen(function* () {
    const { responses } = yield* handlers
    const tags = Array.from({ length: 1_000 }, (_, n) => CacheTags.user(uuid(n % 10) + n))
    responses.keep(slotOf("k".repeat(10_000), ...tags), "short", 0)
    expect(responses.stats().bytes).toBeGreaterThan(10_000 + tags.join("").length)
    yield* (yield* Tags).invalidate(tags[7]!)
    expect(responses.stats()).toEqual({ entries: 0, bytes: 0 })
  }).pipe(Effect.provide(layer)))

it("a question of megabytes is not kept, however short its answer", () =>
  Effect.gen(function* () {
    const { responses } = yield* handlers
    responses.keep(slotOf("short"), "x".repeat(ResponseCache.answerBytesMax + 1), 0)
    responses.keep(slotOf("k".repeat(ResponseCache.answerBytesMax), "user:1"), "short", 0)
    expect(responses.stats()).toEqual({ entries: 0, bytes: 0 })
  }).pipe(Effect.provide(layer)))

it("compressed forms count, are made once, and go with their answer", () =>
  Effect.gen(function* () {
    const { responses } = yield* handlers
    const kept = responses.keep(slotOf("key", "user:1"), "x".repeat(10_000), 0)
    const { bytes } = responses.stats()
    const gzip = kept.in("gzip")
    expect(kept.in("gzip")).toBe(gzip)
    expect(responses.stats().bytes).toBe(bytes + gzip.byteLength)
    expect(responses.find("key", 60_000)).toBeUndefined()
    expect(responses.stats()).toEqual({ entries: 0, bytes: 0 })
  }).pipe(Effect.provide(layer)))

it("an answer read before more changes than are remembered is not kept", () =>
  Effect.gen(function* () {
    const { responses } = yield* handlers
    const tags = yield* Tags
    const operation = { cachePolicy: { maxAgeSeconds: 60, scope: "PUBLIC" } } as never
    const before = responses.begin(operation, "before")
    before.tags.add("user:1")
    const unchanged = responses.begin(operation, "unchanged")
    unchanged.tags.add("user:2")
    yield* tags.invalidate("user:1")
    for (let n = 0; n < 10; n++)
      yield* tags.invalidate(...Array.from({ length: ResponseCache.changesMax / 10 }, (_, m) => `other:${n}:${m}`))
    responses.keep(before, "as it was", 0)
    // Nobody knows any more whether this one has changed.
    responses.keep(unchanged, "as it was", 0)
    expect(responses.stats().entries).toBe(0)
    const after = responses.begin(operation, "after")
    after.tags.add("user:1")
    responses.keep(after, "as it is", 0)
    expect(responses.stats().entries).toBe(1)
  }).pipe(Effect.provide(layer)))

it("an answer lives as long as it says, at most as long as all do, and shortly when nobody tells of its change", () =>
  Effect.gen(function* () {
    const responses = yield* ResponseCache.make({ ttlMillis: 1_000 })
    responses.keep(slotOf("told", "user:1"), "text", 0)
    expect(responses.find("told", 999)).toBeDefined()
    expect(responses.find("told", 1_000)).toBeUndefined()
    const { responses: longer } = yield* handlers
    longer.keep(slotOf("untold, for long"), "text", 0)
    longer.keep({ ...slotOf("untold"), maxAgeMillis: ResponseCache.untoldMillisMax }, "text", 0)
    expect(longer.find("untold, for long", 0)).toBeUndefined()
    expect(longer.find("untold", ResponseCache.untoldMillisMax - 1)).toBeDefined()
  }).pipe(Effect.provide(layer)))

it("when anything may have changed nothing is kept, and what was begun before is not either", () =>
  Effect.gen(function* () {
    let told: TagsModule.OnInvalidated = () => undefined
    const tags = {
      ...(yield* Tags),
      follow: (follower: TagsModule.OnInvalidated) => Effect.sync(() => void (told = follower))
    }
    const responses = yield* Effect.provideService(ResponseCache.make({ ttlMillis: 60_000 }), Tags, tags)
    const operation = { cachePolicy: { maxAgeSeconds: 60, scope: "PUBLIC" } } as never
    responses.keep(slotOf("kept", "user:1"), "text", 0)
    const begun = responses.begin(operation, "begun")
    begun.tags.add("user:1")
    told(undefined)
    responses.keep(begun, "text", 0)
    expect(responses.stats()).toEqual({ entries: 0, bytes: 0 })
  }).pipe(Effect.provide(layer)))
