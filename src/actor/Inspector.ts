import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type { DatabaseUnavailable } from "../errors.ts"
import { ActorSystem, type DeadLetter, type Stats } from "./ActorSystem.ts"
import { shapeOf } from "./DeadLetters.ts"
import { Inbox } from "./Inbox.ts"
import * as page from "./inspectorPage.ts"
import { Reminders, type Reminder } from "./Reminders.ts"
import * as Supervised from "./Supervised.ts"

/** Reminders that are shown. */
export const remindersMax = 100

/** A quarantined message by the shape of its payload: the payload may hold personal data. */
export interface QuarantinedShape {
  readonly position: number
  readonly actor: string
  readonly id: string
  readonly tag: string
  readonly payloadShape: string
  readonly attempts: number
  readonly failure: string
  readonly acceptedAt: Date
}

/** What `/actors` shows. The parts that live in Postgres are absent without it, or while it is away. */
export interface Report {
  readonly actors: ReadonlyArray<Stats>
  readonly fibers: ReadonlyArray<Supervised.Report>
  readonly deadLetters: ReadonlyArray<DeadLetter>
  readonly quarantined?: ReadonlyArray<QuarantinedShape>
  readonly reminders?: ReadonlyArray<Reminder>
  readonly oldestMessageSeconds?: number
}

/** Who may look and act: the caller's own check, for a session with the role ADMIN or a loopback address. */
export type Allow = (request: Request) => Effect.Effect<boolean>

type Kept = Pick<Report, "quarantined" | "reminders" | "oldestMessageSeconds">

const kept = Effect.gen(function* () {
  const inbox = yield* Effect.serviceOption(Inbox)
  const reminders = yield* Effect.serviceOption(Reminders)
  const none: Effect.Effect<Kept, DatabaseUnavailable> = Effect.succeed({})
  const ofInbox = Option.match(inbox, {
    onNone: () => none,
    onSome: (service) =>
      Effect.zipWith(service.quarantined, service.oldestSeconds, (letters, oldestMessageSeconds) => ({
        oldestMessageSeconds,
        quarantined: letters.map(({ key: _key, payload, ...letter }) => ({ ...letter, payloadShape: shapeOf(payload) }))
      }))
  })
  const ofReminders = Option.match(reminders, {
    onNone: () => none,
    onSome: (service) => Effect.map(service.list(remindersMax), (list) => ({ reminders: list }))
  })
  return Effect.zipWith(Effect.either(ofInbox), Effect.either(ofReminders), (a, b) => ({
    ...Either.getOrElse(a, () => ({})),
    ...Either.getOrElse(b, () => ({}))
  }))
})

export const report: Effect.Effect<Effect.Effect<Report>, never, ActorSystem> = Effect.gen(
  function* () {
    const system = yield* ActorSystem
    const registry = yield* Supervised.Registry
    const inPostgres = yield* kept
    return Effect.all([system.stats, registry.report, system.deadLetters, inPostgres]).pipe(
      Effect.map(([actors, fibers, deadLetters, more]): Report => ({ actors, fibers, deadLetters, ...more }))
    )
  }
)

const json = (value: unknown, status = 200): Response =>
  new Response(JSON.stringify(value), {
    status,
    headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" }
  })

const html = (text: string): Response =>
  new Response(text, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": page.contentSecurityPolicy
    }
  })

/** `/actors/quarantine/17/release` */
const actionForm = /\/quarantine\/(\d{1,15})\/(release|drop)$/

const act = (request: Request, path: string): Effect.Effect<Response, DatabaseUnavailable> =>
  Effect.gen(function* () {
    const [, position, verb] = actionForm.exec(path) ?? []
    const inbox = yield* Effect.serviceOption(Inbox)
    if (position === undefined || Option.isNone(inbox)) return json({ error: "No such thing" }, 404)
    // A form of another site can post, but not with this type: a browser asks us first, and gets no permission.
    if (request.headers.get("content-type") !== "application/json") return json({ error: "Send application/json" }, 415)
    const done = yield* verb === "release" ? inbox.value.release(Number(position)) : inbox.value.drop(Number(position))
    return done ? json({ done }) : json({ error: "No such message" }, 404)
  })

/**
 * The handler of `/actors` and what is below it: JSON, or a page for a browser; POST
 * `/actors/quarantine/POSITION/release` or `/drop` acts on a quarantined message. Whoever is not allowed gets 404, as if
 * there were nothing.
 */
export const handler = (
  allow: Allow
): Effect.Effect<(request: Request) => Promise<Response>, never, ActorSystem> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const current = yield* report
    const answer = (request: Request): Effect.Effect<Response> =>
      Effect.gen(function* () {
        if (!(yield* allow(request))) return json({ error: "No such thing" }, 404)
        const path = new URL(request.url).pathname
        if (request.method === "POST") return yield* act(request, path)
        if (request.method !== "GET") return json({ error: "GET or POST" }, 405)
        const seen = yield* current
        return request.headers.get("accept")?.includes("text/html") === true ? html(page.render(seen)) : json(seen)
      }).pipe(
        Effect.catchTag("DatabaseUnavailable", (failure) => Effect.succeed(json({ error: failure.message }, 503)))
      )
    return (request) => Runtime.runPromise(runtime)(answer(request))
  })
