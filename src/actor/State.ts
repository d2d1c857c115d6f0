import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Uuid from "../domain/Uuid.ts"
import type { DatabaseUnavailable } from "../errors.ts"
import type { Self } from "./Definition.ts"
import * as SchemaVersion from "./durable/SchemaVersion.ts"
import { States, type Snapshot } from "./States.ts"
import { UnitOfWork } from "./durable/UnitOfWork.ts"

/** How the state of an actor type is kept. */
export interface Options<S, I> {
  readonly schema: Schema.Schema<S, I>
  /** The state of an actor that has never written one. */
  readonly initial: NoInfer<S>
  /**
   * Each change of the schema adds what turns the encoded state of before into that of after: a state that an older
   * program has written is brought forward when its actor starts.
   */
  readonly migrations?: SchemaVersion.Migrations<unknown>
}

/** The state of one activation. */
export interface Handle<S> {
  /** As it was set last. */
  readonly current: S
  /** How often it was written. */
  readonly version: number
  /**
   * Keeps the state; when that fails, `current` stays as it was. When another activation has taken the actor over, it
   * dies with StaleOwner: this one ends, and the caller is told to try again.
   */
  readonly set: (next: S) => Effect.Effect<S, DatabaseUnavailable>
  readonly update: (change: (current: S) => S) => Effect.Effect<S, DatabaseUnavailable>
}

/** Takes over an actor and reads its state: once, where an activation begins. */
export const opener = <S, I>(
  options: Options<S, I>
): ((self: Self) => Effect.Effect<Handle<S>, DatabaseUnavailable, States>) => {
  const migrations = options.migrations ?? []
  const schemaVersion = SchemaVersion.written(migrations)
  const decode = Schema.decodeUnknown(options.schema)
  const encode = Schema.encode(options.schema)

  const read = (snapshot: Snapshot): Effect.Effect<S> =>
    snapshot.state === null
      ? Effect.succeed(options.initial)
      : SchemaVersion.forward(migrations, snapshot.schemaVersion, snapshot.state).pipe(
          Effect.flatMap(decode),
          Effect.orDie
        )

  return (self) =>
    Effect.gen(function* () {
      const states = yield* States
      const owner = yield* Uuid.v7
      const snapshot = yield* states.claim(self.actor, self.id, owner, schemaVersion)
      let current = yield* read(snapshot)
      let writes = snapshot.version
      const set = (next: S) =>
        Effect.gen(function* () {
          const state = yield* Effect.orDie(encode(next))
          const write = { actor: self.actor, id: self.id, owner, schemaVersion, state }
          const unit = yield* Effect.serviceOption(UnitOfWork)
          if (Option.isSome(unit)) {
            unit.value.stage(write)
            writes++
          } else {
            writes = yield* Effect.catchTag(states.write(write), "StaleOwner", Effect.die)
          }
          return (current = next)
        })
      return {
        get current() {
          return current
        },
        get version() {
          return writes
        },
        set,
        update: (change) => Effect.suspend(() => set(change(current)))
      }
    })
}
