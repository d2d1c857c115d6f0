import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Uuid from "../domain/Uuid.ts"
import type { DatabaseUnavailable, StaleOwner } from "../errors.ts"
import type { Self } from "./Definition.ts"
import { States, type Snapshot } from "./States.ts"
import { UnitOfWork } from "./UnitOfWork.ts"

/** How the state of an actor type is kept. */
export interface Options<S, I> {
  readonly schema: Schema.Schema<S, I>
  /** The state of an actor that has never written one. */
  readonly initial: S
  /** Raised when the schema changes; 1 at first. */
  readonly version?: number
  /**
   * What turns the encoded state of version n into that of n + 1, for n from 1 to `version - 1`: a state written by an
   * older program is brought forward when its actor starts.
   */
  readonly migrations?: ReadonlyArray<(old: unknown) => unknown>
}

/** The state of one activation. */
export interface Handle<S> {
  /** As it was set last. */
  readonly current: S
  /** How often it was written. */
  readonly version: number
  /** Keeps the state; when it fails, `current` stays as it was. StaleOwner: another activation has taken over. */
  readonly set: (next: S) => Effect.Effect<S, StaleOwner | DatabaseUnavailable>
  readonly update: (change: (current: S) => S) => Effect.Effect<S, StaleOwner | DatabaseUnavailable>
}

export interface State<S> {
  /** Takes over the actor and reads its state: once, where the activation begins. */
  readonly open: (self: Self) => Effect.Effect<Handle<S>, DatabaseUnavailable, States>
}

export const make = <S, I>(options: Options<S, I>): State<S> => {
  const version = options.version ?? 1
  const decode = Schema.decodeUnknown(options.schema)
  const encode = Schema.encode(options.schema)

  const read = (snapshot: Snapshot): Effect.Effect<S> => {
    if (snapshot.state === null) return Effect.succeed(options.initial)
    if (snapshot.schemaVersion > version)
      return Effect.dieMessage(`The state has schema version ${snapshot.schemaVersion}, this program knows ${version}`)
    return Effect.suspend(() => {
      const steps = options.migrations?.slice(snapshot.schemaVersion - 1, version - 1) ?? []
      return decode(steps.reduce((state, step) => step(state), snapshot.state))
    }).pipe(Effect.orDie)
  }

  return {
    open: (self) =>
      Effect.gen(function* () {
        const states = yield* States
        const owner = yield* Uuid.v7
        const snapshot = yield* states.claim(self.actor, self.id, owner, version)
        let current = yield* read(snapshot)
        let writes = snapshot.version
        const set = (next: S) =>
          Effect.gen(function* () {
            const state = yield* Effect.orDie(encode(next))
            const write = { actor: self.actor, id: self.id, owner, schemaVersion: version, state }
            const unit = yield* Effect.serviceOption(UnitOfWork)
            if (Option.isSome(unit)) {
              unit.value.stage(write)
              writes++
            } else {
              writes = yield* states.write(write)
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
}
