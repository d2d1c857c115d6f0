import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { BadRequest, type DatabaseUnavailable, NotFound } from "../errors.ts"
import * as answers from "../request/answers.ts"
import type { Answer, Incoming } from "../request/Incoming.ts"
import { ActorSystem, type DeadLetter, type Placement, type Stats } from "./ActorSystem.ts"
import { shapeOf } from "./local/DeadLetters.ts"
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
  /** How many shards each node of the cluster has; absent without one. */
  readonly shards?: ReadonlyArray<Placement>
  readonly quarantined?: ReadonlyArray<QuarantinedShape>
  readonly reminders?: ReadonlyArray<Reminder>
  readonly oldestMessageSeconds?: number
}

/** Who may look and act: the caller's own check, for a session with the role ADMIN or a loopback address. */
export type Allow = (incoming: Incoming) => Effect.Effect<boolean>

/** A path of the inspector, with what answers there. */
export interface Route {
  readonly path: string
  readonly handler: (incoming: Incoming) => Effect.Effect<Answer>
}

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

const makeReport = Effect.gen(function* () {
  const system = yield* ActorSystem
  const registry = yield* Supervised.Registry
  const inPostgres = yield* kept
  return Effect.all([system.stats, registry.report, system.deadLetters, system.placement, inPostgres]).pipe(
    Effect.map(([actors, fibers, deadLetters, shards, more]): Report => ({
      actors,
      fibers,
      deadLetters,
      ...(shards.length === 0 ? {} : { shards }),
      ...more
    }))
  )
})

const html = (text: string): Answer => ({
  status: 200,
  headers: {
    ...answers.securityHeaders,
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": page.contentSecurityPolicy
  },
  body: text
})

const noSuchMessage = answers.failure(new NotFound({ what: "Message" }))

/** `/actors/release?position=17` */
const positionOf = ({ search }: Incoming): number | undefined => {
  const [, digits] = /^\?position=(\d{1,15})$/.exec(search) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** What is done with a quarantined message. */
type Deed = (position: number) => Effect.Effect<boolean, DatabaseUnavailable>

const act = (deed: Deed) => (incoming: Incoming) => {
  if (incoming.method !== "POST") return Effect.succeed(answers.methodNotAllowed("POST"))
  // A form of another site can post, but not with this type: a browser asks us first, and gets no permission.
  if (incoming.header("content-type") !== "application/json")
    return Effect.succeed(answers.failure(new BadRequest({ message: "Send application/json" }), { status: 415 }))
  const position = positionOf(incoming)
  if (position === undefined) return Effect.succeed(noSuchMessage)
  return Effect.map(deed(position), (done) => (done ? answers.json(200, { done }) : noSuchMessage))
}

const show = (current: Effect.Effect<Report>) => (incoming: Incoming) =>
  incoming.method === "GET"
    ? Effect.zipWith(current, Clock.currentTimeMillis, (report, now) =>
        incoming.header("accept")?.includes("text/html") === true
          ? html(page.render(report, new Date(now)))
          : answers.json(200, report)
      )
    : Effect.succeed(answers.methodNotAllowed("GET"))

/**
 * `/actors`: JSON, or a page for a browser. POST `/actors/release?position=N` and `/actors/drop?position=N` act on a
 * quarantined message. Whoever is not allowed gets 404, as if there were nothing.
 */
export const routes = (allow: Allow): Effect.Effect<ReadonlyArray<Route>, never, ActorSystem> =>
  Effect.gen(function* () {
    const current = yield* makeReport
    const inbox = yield* Effect.serviceOption(Inbox)
    const deeds: ReadonlyArray<readonly [string, Deed]> = Option.isNone(inbox)
      ? []
      : [
          ["/actors/release", inbox.value.release],
          ["/actors/drop", inbox.value.drop]
        ]
    const guarded =
      (answer: (incoming: Incoming) => Effect.Effect<Answer, DatabaseUnavailable>): Route["handler"] =>
      (incoming) =>
        Effect.flatMap(allow(incoming), (allowed) =>
          allowed
            ? Effect.catchAll(answer(incoming), (error) => Effect.succeed(answers.failure(error)))
            : Effect.succeed(answers.notFound)
        )
    return [
      { path: "/actors", handler: guarded(show(current)) },
      ...deeds.map(([path, deed]) => ({ path, handler: guarded(act(deed)) }))
    ]
  })
