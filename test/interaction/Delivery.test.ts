import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import type { Message } from "../../src/communication/Message.ts"
import { Conflict, errors } from "../../src/errors.ts"
import { InteractionActor } from "../../src/interaction/InteractionActor.ts"
import * as InteractionEvents from "../../src/interaction/InteractionEvents.ts"
import { withLayer } from "../kit/effect.ts"
import { streamOf } from "../kit/feed.ts"
import * as Postgres from "../kit/Postgres.ts"
import * as Faults from "./Faults.ts"
import * as Talk from "./Talk.ts"

const dice = Faults.fair()
const broadcast = Faults.lossyBroadcast(dice)

/** Two processes of the interaction service on one database, each with its own actors and its own log. */
class Processes extends Context.Tag("test/Processes")<
  Processes,
  ReadonlyArray<{
    readonly ask: Effect.Effect.Success<typeof InteractionActor.client>["ask"]
    readonly subscribe: InteractionEvents.Subscribe
  }>
>() {}

const process_ = Layer.fresh(Talk.layerProcess.pipe(Layer.provide(Faults.layerBreaking(dice))))

const layerProcesses = Layer.scoped(
  Processes,
  Effect.forEach([0, 1], () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(process_)
      const { ask } = yield* Effect.provide(InteractionActor.client, context)
      return { ask, subscribe: yield* Effect.provide(InteractionEvents.make, context) }
    })
  )
)

const layer = layerProcesses.pipe(Layer.provideMerge(Layer.merge(Postgres.layerDatabase, broadcast.layer)))

/** One thing that one of two people does, through one of two processes. */
interface Step {
  readonly process: 0 | 1
  readonly who: 0 | 1
  readonly key: number
  readonly text: number
  /** A client that waits for the answer before its next step. */
  readonly waits: boolean
}

interface Plan {
  readonly seed: number
  readonly steps: ReadonlyArray<Step>
  /** After how many events each of four readers drops its stream, again and again. */
  readonly cuts: ReadonlyArray<ReadonlyArray<number>>
  readonly commitsLost: number
  readonly signalsLost: number
  readonly signalsDoubled: number
}

const bit = fc.constantFrom(0 as const, 1 as const)
const step = fc.record<Step>({
  process: bit,
  who: bit,
  key: fc.nat(12),
  // Mostly the same text for a key, so that resends are resends.
  text: fc.constantFrom(0, 0, 0, 0, 1),
  waits: fc.boolean()
})
const plan = fc.record<Plan>({
  seed: fc.integer(),
  steps: fc.array(step, { maxLength: 40 }),
  cuts: fc.array(fc.array(fc.nat(9), { maxLength: 6 }), { minLength: 4, maxLength: 4 }),
  commitsLost: fc.constantFrom(0, 0.3),
  signalsLost: fc.constantFrom(0, 0.3, 0.9),
  signalsDoubled: fc.constantFrom(0, 0.1)
})

/** Tries again with the same key, as a client does, while the failure says that this may help. */
const retried = <A, E extends { readonly _tag: keyof typeof errors }>(effect: Effect.Effect<A, E>) =>
  Effect.retry(effect, { while: (error) => errors[error._tag].retryable, schedule: Schedule.recurs(50) })

/** A reader that drops its stream after so many events and resumes from the last number it saw. */
const read = (
  subscribe: InteractionEvents.Subscribe,
  talk: Effect.Effect.Success<ReturnType<typeof Talk.between>>,
  who: number,
  cuts: ReadonlyArray<number>
) =>
  Effect.gen(function* () {
    const seen: Array<InteractionEvents.InteractionEvent & { readonly seq: number }> = []
    const position = () => seen.at(-1)?.seq ?? 0
    for (let connection = 0; ; connection++) {
      const take = cuts[connection] ?? Number.MAX_SAFE_INTEGER
      const request = { interactionId: talk.id, viewerId: talk.users[who]!, afterSeq: position() }
      yield* streamOf((wake) => subscribe(request, wake)).pipe(
        Effect.flatMap((stream) =>
          stream.pipe(
            Stream.filter((event) => event._tag !== "CaughtUp" && event._tag !== "Typing"),
            Stream.take(take),
            Stream.runForEach((event) => Effect.sync(() => seen.push(event as never)))
          )
        ),
        Effect.scoped
      )
      if (seen.at(-1)?._tag === "InteractionEnded") return seen
    }
  })

const run = ({ commitsLost, cuts, seed, signalsDoubled, signalsLost, steps }: Plan) =>
  Effect.gen(function* () {
    Object.assign(dice, { next: Faults.chance(seed), commitsLost, signalsLost, signalsDoubled })
    const processes = yield* Processes
    const sql = yield* SqlClient.SqlClient
    const talk = yield* Talk.between()
    const readers = yield* Effect.forEach(cuts, (own, n) =>
      Effect.forkScoped(read(processes[n % 2]!.subscribe, talk, n >> 1, own))
    )
    const answers: Array<{ readonly step: Step; readonly answer: Either.Either<Message, unknown> }> = []
    const perform = (one: Step) =>
      retried(
        processes[one.process]!.ask(talk.id).Send({
          userId: talk.users[one.who]!,
          clientKey: `k${one.key}`,
          body: `key ${one.key} text ${one.text}`,
          state: "VISIBLE"
        })
      ).pipe(
        Effect.either,
        Effect.map((answer) => answers.push({ step: one, answer }))
      )
    const sending = yield* Effect.forEach(steps, (one) =>
      one.waits ? Effect.as(perform(one), undefined) : Effect.forkScoped(perform(one))
    )
    for (const fiber of sending) if (fiber !== undefined) yield* fiber
    yield* retried(processes[seed & 1]!.ask(talk.id).Leave({ userId: talk.ada }))
    yield* broadcast.gap

    const stored = yield* sql<{
      readonly seq: number
      readonly kind: number
      readonly id: string | null
      readonly body: string | null
    }>`
select e.seq, e.kind, m.id, m.body from events e left join messages m on m.id = e.message_id
where e.interaction_id = ${talk.id}::uuid order by e.seq`
    const [row] = yield* sql<{ readonly lastSeq: number; readonly messages: number }>`
select last_seq as "lastSeq", (select count(*)::int from messages where interaction_id = i.id) as messages
from interactions i where id = ${talk.id}::uuid`

    // Numbers from 1 without gaps, and no message without its event.
    expect(stored.map(({ seq }) => seq)).toEqual(stored.map((_, n) => n + 1))
    expect(row).toEqual({ lastSeq: stored.length, messages: stored.length - 2 })

    // What was acknowledged is stored under that number; one key is one message, and another text a conflict.
    const firstOf = new Map<string, Message>()
    expect(answers.length).toBe(steps.length)
    for (const { answer, step } of answers) {
      const name = `${step.who} ${step.key}`
      if (Either.isLeft(answer)) {
        expect(answer.left).toBeInstanceOf(Conflict)
        continue
      }
      const message = answer.right
      expect(firstOf.get(name)?.id ?? message.id).toBe(message.id)
      firstOf.set(name, message)
      expect(message.body).toBe(`key ${step.key} text ${step.text}`)
      expect(stored[message.seq - 1]).toMatchObject({ kind: 1, id: message.id, body: message.body! })
    }
    expect(firstOf.size).toBe(stored.length - 2)

    // Every reader saw exactly that, in that order, whatever was lost or doubled on the way.
    for (const reader of readers) {
      const seen = yield* reader
      expect(seen.map(({ seq }) => seq)).toEqual(stored.map(({ seq }) => seq))
      expect(seen.map((event) => ("message" in event ? event.message.body : null))).toEqual(
        stored.map(({ body }) => body)
      )
    }
  }).pipe(Effect.scoped, Effect.timeout("20 seconds"))

withLayer(
  "two processes on one database, with commits and signals that get lost",
  layer,
  (it) => {
    it("number without gaps, store what they acknowledge, and show every reader the same", () =>
      Effect.gen(function* () {
        const runtime = yield* Effect.runtime<Processes | SqlClient.SqlClient>()
        const property = fc.asyncProperty(plan, (one) => Runtime.runPromise(runtime)(run(one)))
        yield* Effect.promise(() => fc.assert(property, { numRuns: 25 }))
      }))
  },
  60_000
)
