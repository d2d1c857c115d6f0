import * as SqlClient from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Cache from "../cache/Cache.ts"
import * as Cached from "../cache/Cached.ts"
import { Tags } from "../cache/Tags.ts"
import { Settings } from "../config/Settings.ts"
import * as ReadBatcher from "../database/ReadBatcher.ts"
import { isUniqueViolation, orUnavailable } from "../database/SqlErrors.ts"
import * as Ids from "../domain/Ids.ts"
import { UserId } from "../domain/Ids.ts"
import { connection, type Connection } from "../domain/Page.ts"
import { defaultLanguages } from "../domain/Profile.ts"
import type { DatabaseUnavailable, Overloaded, ValidationFailed } from "../errors.ts"
import { Conflict, Forbidden, InvalidCredentials, NotFound } from "../errors.ts"
import * as CacheTags from "../graphql/CacheTags.ts"
import { Cursor } from "../graphql/Cursor.ts"
import * as Deadline from "../request/Deadline.ts"
import type { Role } from "../session/Sessions.ts"
import * as Handles from "./Handles.ts"
import { needsRehash, Passwords } from "./Passwords.ts"
import { type ProfileInput, User } from "./User.ts"
import { columns, toRole, toUser, type UserRow } from "./UserRow.ts"
import * as UserSearch from "./UserSearch.ts"

/** Who someone is to the system; for the person themselves, never for others. */
export interface Account {
  readonly user: User
  readonly role: Role
  readonly email: string | null
}

/** An account whose password was given. The session that it gets begins by this hash, or not at all. */
export interface Proven extends Account {
  readonly passwordHash: Redacted.Redacted
}

/** The people of the application: profiles (cached), accounts and passwords. */
export class Users extends Context.Tag("@connect/Users")<
  Users,
  {
    /** Those of the ids that exist. From the profile cache; one statement for all that it lacks. */
    readonly byIds: (ids: ReadonlyArray<UserId>) => Effect.Effect<ReadonlyMap<UserId, User>, DatabaseUnavailable>
    readonly byId: (id: UserId) => Effect.Effect<Option.Option<User>, DatabaseUnavailable>
    readonly byHandle: (handle: string) => Effect.Effect<Option.Option<User>, DatabaseUnavailable>
    /** The closest handle, display name or interest first; at most `searchResultsMax` over all pages. */
    readonly search: (search: {
      readonly text: string
      readonly first: number
      readonly after: string | null
    }) => Effect.Effect<Connection<User>, ValidationFailed | DatabaseUnavailable>
    /** Conflict when the handle is taken. */
    readonly create: (account: {
      readonly handle: string
      readonly password: Redacted.Redacted
      readonly email: string | null
      readonly profile: ProfileInput
    }) => Effect.Effect<Account, Conflict | Overloaded | DatabaseUnavailable>
    /** An account without a password and with a made-up handle. */
    readonly createGuest: (profile: ProfileInput) => Effect.Effect<Account, Conflict | DatabaseUnavailable>
    /** The account of this handle and password. Takes as long for an unknown handle as for a wrong password. */
    readonly authenticate: (
      handle: string,
      password: Redacted.Redacted
    ) => Effect.Effect<Proven, InvalidCredentials | Overloaded | DatabaseUnavailable>
    readonly account: (id: UserId) => Effect.Effect<Account, NotFound | DatabaseUnavailable>
    readonly updateProfile: (id: UserId, change: ProfileInput) => Effect.Effect<User, NotFound | DatabaseUnavailable>
    /** Whether it is them at the keyboard. A guest, who has no password, is believed; Forbidden when it was not given. */
    readonly prove: (
      id: UserId,
      password: Redacted.Redacted | undefined
    ) => Effect.Effect<void, InvalidCredentials | Forbidden | Overloaded | DatabaseUnavailable>
    /**
     * If `current` is right, the effect that sets the next password if nobody has changed it meanwhile. It is to be run
     * in the transaction that ends the sessions.
     */
    readonly changePassword: (
      id: UserId,
      current: Redacted.Redacted,
      next: Redacted.Redacted
    ) => Effect.Effect<
      Effect.Effect<void, InvalidCredentials | DatabaseUnavailable>,
      InvalidCredentials | Overloaded | DatabaseUnavailable
    >
  }
>() {}

/** Tries at a made-up handle that nobody has. */
const guestAttemptsMax = 5

/** Profiles and searches kept in this process. */
const profilesNearMax = 10_000
const searchesNearMax = 1_000

/** Profiles and searches past their time are shown for so long when the database cannot say better. */
export const staleWithoutDatabase = "5 minutes"

interface AccountRow extends UserRow {
  readonly role: number
  readonly email: string | null
}

const toAccount = (row: AccountRow): Account => ({ user: toUser(row), role: toRole(row.role), email: row.email })

const toProven = (row: AccountRow & { readonly hash: string }): Proven => ({
  ...toAccount(row),
  passwordHash: Redacted.make(row.hash)
})

export const layer = Layer.scoped(
  Users,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const passwords = yield* Passwords
    const cursor = yield* Cursor
    const tags = yield* Tags
    const settings = yield* Settings
    const row = columns(sql)
    const accountRow = sql`${row}, users.role, users.email`

    const reads = yield* ReadBatcher.make({
      name: "user",
      statement: (ids: ReadonlyArray<UserId>) =>
        orUnavailable(sql<UserRow>`select ${row} from users where users.id = any(${ids}::uuid[])`),
      key: (found) => found.id as UserId
    })

    const profiles = yield* Cache.make({
      name: "profile",
      key: (id: UserId) => id,
      schema: User,
      ttl: settings.user.profileCacheTtl,
      near: { entriesMax: profilesNearMax, ttl: "1 minute" },
      refreshAt: 0.8,
      grace: staleWithoutDatabase,
      lookupMany: (ids: ReadonlyArray<UserId>) =>
        Effect.map(reads.loadMany(ids), (found) => new Map(Array.from(found, ([id, one]) => [id, toUser(one)])))
    })

    const searches = yield* Cached.method(
      {
        name: "user_search",
        key: (text) => text,
        schema: Schema.Array(UserId),
        ttl: settings.user.searchCacheTtl,
        near: { entriesMax: searchesNearMax, ttl: "1 minute" },
        refreshAt: 0.8,
        grace: staleWithoutDatabase
      },
      (text: string) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Deadline.locally(UserSearch.closest(sql, text), now + UserSearch.searchMillisMax)
        ).pipe(
          Effect.map((ids) => ids.map((id) => UserId.make(id))),
          orUnavailable
        )
    )

    const insert = (handle: string, hash: string | null, email: string | null, profile: ProfileInput) =>
      Effect.gen(function* () {
        const id = yield* Ids.make(UserId)
        const now = new Date(yield* Clock.currentTimeMillis)
        const rows = yield* sql<AccountRow>`
          insert into users (id, handle, display_name, bio, interests, languages, region, email, password_hash,
                             created_at, updated_at)
          values (${id}, ${handle}, ${profile.displayName ?? handle}, ${profile.bio ?? null},
                  ${profile.interests ?? []}::text[], ${profile.languages ?? defaultLanguages}::text[],
                  ${profile.region ?? null}, ${email}, ${hash}, ${now}, ${now})
          returning ${accountRow}`
        return toAccount(rows[0]!)
      }).pipe(
        Effect.catchIf(
          (error) => isUniqueViolation(error, "users_handle_key"),
          () => Effect.fail(new Conflict({ message: "The handle is taken" }))
        ),
        orUnavailable
      )

    const secret = (where: Fragment) =>
      sql<AccountRow & { readonly hash: string | null }>`
        select ${accountRow}, users.password_hash as hash from users where ${where}`.pipe(
        Effect.map((rows) => rows[0]),
        orUnavailable
      )

    /** Sets the hash if it is still the one that was read; false when someone else changed it. */
    const replaceHash = (id: string, from: string, to: string) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        const rows = yield* sql`update users set password_hash = ${to}, updated_at = ${now}
                                where id = ${id} and password_hash = ${from} returning id`
        return rows.length === 1
      }).pipe(orUnavailable)

    /** The row whose password this is. A row without a password costs as much time as a wrong password. */
    const proven = <R extends { readonly hash: string | null }>(found: R | undefined, password: Redacted.Redacted) =>
      Effect.gen(function* () {
        if (found === undefined || found.hash === null) {
          yield* passwords.dummyVerify(password)
          return yield* new InvalidCredentials()
        }
        if (!(yield* passwords.verify(password, found.hash))) return yield* new InvalidCredentials()
        return { ...found, hash: found.hash }
      })

    const byPassword = (handle: string, password: Redacted.Redacted) =>
      Effect.flatMap(secret(sql`users.handle = ${handle}`), (found) => proven(found, password))

    const byIds = (ids: ReadonlyArray<UserId>) =>
      Effect.map(profiles.getMany(ids), (found) => found as ReadonlyMap<UserId, User>)

    return {
      byIds,
      byId: (id) => profiles.get(id),
      byHandle: (handle) =>
        sql<UserRow>`select ${row} from users where users.handle = ${handle}`.pipe(
          Effect.map((rows) => Option.map(Option.fromNullable(rows[0]), toUser)),
          orUnavailable
        ),

      search: Effect.fn("Users.search")(function* ({ text, first, after }) {
        const normal = UserSearch.normalise(text)
        const args = { text: normal }
        const at = yield* cursor.decode<readonly [position: number, id: string]>("searchUsers", args, after)
        const ids = yield* searches(normal)
        // The list may have been renewed since the cursor was given: then its person says where to go on, if still there.
        const start = Option.match(at, {
          onNone: () => 0,
          onSome: ([position, id]) => {
            const found = ids.findIndex((other) => other === id)
            return (found === -1 ? position : found) + 1
          }
        })
        const page = ids.slice(start, start + first)
        const people = yield* byIds(page)
        const edges = page.flatMap((id, index) => {
          const node = people.get(id)
          return node ? [{ node, cursor: cursor.encode("searchUsers", args, [start + index, id]) }] : []
        })
        return connection(edges, { hasNextPage: start + first < ids.length, hasPreviousPage: start > 0 })
      }),

      create: Effect.fn("Users.create")(function* ({ handle, password, email, profile }) {
        const taken = yield* orUnavailable(sql`select 1 from users where handle = ${handle}`)
        if (taken.length > 0) return yield* new Conflict({ message: "The handle is taken" })
        return yield* insert(handle, yield* passwords.hash(password), email, profile)
      }),

      createGuest: Effect.fn("Users.createGuest")(function* (profile) {
        return yield* Effect.flatMap(Handles.made, (handle) => insert(handle, null, null, profile)).pipe(
          Effect.retry({ times: guestAttemptsMax - 1, while: (error) => error._tag === "Conflict" })
        )
      }),

      authenticate: Effect.fn("Users.authenticate")(function* (handle, password) {
        const found = yield* byPassword(handle, password)
        if (!needsRehash(found.hash)) return toProven(found)
        const hash = yield* passwords.hash(password)
        if (yield* replaceHash(found.id, found.hash, hash)) return toProven({ ...found, hash })
        // Another sign-in has renewed it, or it is not the password any more.
        return toProven(yield* byPassword(handle, password))
      }),

      account: Effect.fn("Users.account")(function* (id) {
        const rows = yield* orUnavailable(sql<AccountRow>`select ${accountRow} from users where users.id = ${id}`)
        return rows[0] ? toAccount(rows[0]) : yield* new NotFound({ what: "User" })
      }),

      updateProfile: Effect.fn("Users.updateProfile")(function* (id, change) {
        const now = new Date(yield* Clock.currentTimeMillis)
        const written = sql<UserRow>`
          update users set
            display_name = coalesce(${change.displayName ?? null}::text, display_name),
            bio = case when ${change.bio !== undefined}::boolean then ${change.bio ?? null}::text else bio end,
            interests = coalesce(${change.interests ?? null}::text[], interests),
            languages = coalesce(${change.languages ?? null}::text[], languages),
            region = case when ${change.region !== undefined}::boolean then ${change.region ?? null}::text else region end,
            updated_at = ${now}
          where users.id = ${id}
          returning ${row}`
        // A transaction is over when its caller goes on, or goes away: whatever became of it, readers look after that.
        const forgotten = Effect.zipRight(profiles.invalidate(id), tags.invalidate(CacheTags.user(id)))
        const rows = yield* Effect.ensuring(orUnavailable(sql.withTransaction(written)), forgotten)
        if (rows[0] === undefined) return yield* new NotFound({ what: "User" })
        return toUser(rows[0])
      }),

      prove: Effect.fn("Users.prove")(function* (id, password) {
        const found = yield* secret(sql`users.id = ${id}`)
        if (found !== undefined && found.hash === null) return
        if (password === undefined) return yield* new Forbidden({ message: "Give your password, or sign in again" })
        yield* proven(found, password)
      }),

      changePassword: Effect.fn("Users.changePassword")(function* (id, current, next) {
        const found = yield* proven(yield* secret(sql`users.id = ${id}`), current)
        const hash = yield* passwords.hash(next)
        return Effect.filterOrFail(
          replaceHash(id, found.hash, hash),
          (changed) => changed,
          () => new InvalidCredentials()
        ).pipe(Effect.asVoid)
      })
    }
  })
)
