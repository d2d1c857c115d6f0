import * as Effect from "effect/Effect"

/** What turns something that was written at version n into version n + 1. The first one is for version 1. */
export type Migrations<A> = ReadonlyArray<(old: A) => A>

/** The version that a program writes: 1, and one more for each migration. */
export const written = (migrations: ReadonlyArray<unknown>): number => migrations.length + 1

/** What an older program wrote, as this one would. Dies on what a newer one wrote: an older one cannot know it. */
export const forward = <A>(migrations: Migrations<A>, version: number, value: A): Effect.Effect<A> =>
  Effect.suspend(() => {
    const own = written(migrations)
    if (version > own) return Effect.dieMessage(`It has schema version ${version}, this program knows ${own}`)
    return Effect.succeed(migrations.slice(version - 1).reduce((old, step) => step(old), value))
  })
