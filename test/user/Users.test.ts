import { expect } from "bun:test"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import * as QueryCount from "../../src/database/QueryCount.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { isReserved, made } from "../../src/user/Handles.ts"
import { Blocks } from "../../src/user/Blocks.ts"
import { Users } from "../../src/user/Users.ts"
import { it, withLayer } from "../kit/effect.ts"
import * as services from "./services.ts"

it("made-up handles are handles, and none is reserved", () =>
  Effect.gen(function* () {
    for (let n = 0; n < 500; n++) {
      const handle = yield* made
      expect(handle).toMatch(/^[a-z]+_[a-z]+_\d{4}$/)
      expect(handle.length).toBeLessThanOrEqual(24)
      expect(isReserved(handle)).toBe(false)
    }
  }))

it("a reserved name is one behind look-alike digits and underscores too", () =>
  Effect.sync(() => {
    for (const handle of [
      "admin",
      "adm1n",
      "_admin_",
      "4dm1n",
      "mod",
      "moderator",
      "support24",
      "nu11",
      "he1p",
      "admin1"
    ])
      expect([handle, isReserved(handle)]).toEqual([handle, true])
    for (const handle of ["ada", "user_1", "user12", "modest", "adminton", "supportive", "guest_4821", "me_too"])
      expect([handle, isReserved(handle)]).toEqual([handle, false])
  }))

withLayer("Users", services.layer, (test) => {
  test("a profile is what was given, with defaults for the rest", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { user, role, email } = yield* users.create({
        handle: "ada",
        password: Redacted.make("correct horse"),
        email: "ada@example.org",
        profile: { interests: ["chess", "go"] }
      })
      expect(user).toMatchObject({ handle: "ada", displayName: "ada", languages: ["en"], interests: ["chess", "go"] })
      expect([role, email]).toEqual(["USER", "ada@example.org"])
      expect(Option.getOrThrow(yield* users.byHandle("ada"))).toEqual(user)
      expect(JSON.stringify(user)).not.toContain("example.org")
    }))

  test("a handle that is taken is a Conflict, for one of several at once too", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const results = yield* Effect.forEach(
        [1, 2, 3, 4],
        () =>
          Effect.either(
            users.create({ handle: "only_one", password: Redacted.make("correct horse"), email: null, profile: {} })
          ),
        { concurrency: "unbounded" }
      )
      expect(results.filter((result) => result._tag === "Right").length).toBe(1)
      expect(results.flatMap((result) => (result._tag === "Left" ? [result.left._tag] : []))).toEqual([
        "Conflict",
        "Conflict",
        "Conflict"
      ])
    }))

  test("an update changes what it names, null clears, and every reader sees it at once", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { user } = yield* services.person({ bio: "hello", region: "eu-west", interests: ["chess"] })
      yield* users.byIds([user.id])
      const changed = yield* users.updateProfile(user.id, { displayName: "Ada", bio: null })
      expect(changed).toMatchObject({ displayName: "Ada", bio: null, region: "eu-west", interests: ["chess"] })
      expect((yield* users.byIds([user.id])).get(user.id)).toEqual(changed)
      expect((yield* users.updateProfile(user.id, { interests: [] })).interests).toEqual([])
    }))

  test("readers see the profile as the database has it, though whoever changed it went away in the middle", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const sql = yield* SqlClient.SqlClient
      const { user } = yield* services.person()
      for (let moment = 0; moment < 60; moment++) {
        yield* users.byId(user.id)
        const changing = yield* Effect.fork(users.updateProfile(user.id, { bio: `${moment}` }))
        // Some of these moments lie between the answer of the database and the end.
        for (let turn = 0; turn < moment; turn++)
          yield* Effect.async((resume) => void setImmediate(() => resume(Effect.void)))
        yield* Fiber.interrupt(changing)
        // Behind whatever is still on its way.
        const [row] = yield* sql<{ bio: string | null }>`
          select bio from users where id = ${user.id}::uuid for update`
        expect(Option.getOrThrow(yield* users.byId(user.id)).bio).toBe(row!.bio)
      }
    }))

  test("ids of nobody are absent", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { user } = yield* services.person()
      const nobody = yield* Ids.make(Ids.UserId)
      const found = yield* users.byIds([nobody, user.id])
      expect([...found.keys()]).toEqual([user.id])
    }))

  test("an unknown handle, a guest and a wrong password are told alike, and each costs a verification", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { user } = yield* services.person()
      const guest = yield* users.createGuest({})
      services.verified.length = 0
      for (const handle of [user.handle, "nobody_here", guest.user.handle, "Not A Handle", "%"]) {
        const failure = yield* Effect.flip(users.authenticate(handle, Redacted.make("wrong password")))
        expect(failure._tag).toBe("InvalidCredentials")
      }
      expect(services.verified).toEqual(["real", "dummy", "dummy", "dummy", "dummy"])
      expect((yield* users.authenticate(user.handle, Redacted.make("correct horse"))).user.id).toBe(user.id)
    }))

  test("a password is changed by who knows it, once", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { user } = yield* services.person()
      const next = Redacted.make("battery staple")
      const change = (current: string) => Effect.flatten(users.changePassword(user.id, Redacted.make(current), next))
      expect((yield* Effect.flip(change("guess work")))._tag).toBe("InvalidCredentials")
      yield* change("correct horse")
      yield* users.authenticate(user.handle, next)
      expect((yield* Effect.flip(users.authenticate(user.handle, Redacted.make("correct horse"))))._tag).toBe(
        "InvalidCredentials"
      )
    }))

  test("a hash of an older cost is renewed when its owner signs in", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const sql = yield* SqlClient.SqlClient
      const { user } = yield* services.person()
      yield* sql`update users set password_hash = '$argon2id$v=19$m=4096,t=3,p=1$correct horse' where id = ${user.id}`
      yield* users.authenticate(user.handle, Redacted.make("correct horse"))
      const [row] = yield* sql<{ hash: string }>`select password_hash as hash from users where id = ${user.id}`
      expect(row!.hash).toStartWith("$argon2id$v=19$m=19456,t=2,p=1$")
    }))

  test("a profile and a search are read from the database once, and a profile again when it has changed", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { user } = yield* services.person({ interests: ["falconry"] })
      const id = user.id as Ids.UserId
      const queries = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.map(QueryCount.counted(effect), ([, count]) => count.queries)
      const profile = queries(users.byId(id))
      expect([yield* profile, yield* profile]).toEqual([1, 0])
      const search = queries(users.search({ text: "falconry", first: 5, after: null }))
      expect([yield* search, yield* search]).toEqual([1, 0])
      yield* users.updateProfile(id, { bio: "Has a hawk" })
      expect([yield* profile, yield* profile]).toEqual([1, 0])
    }))

  test("search puts the closest first, by handle, display name or interest", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const make = (handle: string, displayName: string, interests: ReadonlyArray<string> = []) =>
        users.create({
          handle,
          password: Redacted.make("correct horse"),
          email: null,
          profile: { displayName, interests }
        })
      yield* make("zebrafinch", "Someone")
      yield* make("zebra", "Zebra")
      yield* make("my_zebra", "Someone else")
      yield* make("striped", "Zebra crossing")
      yield* make("unrelated", "Nobody")
      yield* make("fan", "Fan", ["zebra"])
      const found = yield* users.search({ text: " ZEBRA ", first: 50, after: null })
      const handles = found.edges.map(({ node }) => node.handle)
      expect(handles.slice(0, 2).toSorted()).toEqual(["fan", "zebra"])
      expect(handles.toSorted()).toEqual(["fan", "my_zebra", "striped", "zebra", "zebrafinch"])
    }))

  test("search finds a name as it was written, in any script and however its accents are composed", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const names = [
        "Дмитрий Иванов",
        "Γιώργος",
        "İpek Işık",
        "Élodie",
        "山田太郎",
        "प्रिया शर्मा",
        "محمد علي",
        "สมชาย ใจดี"
      ]
      for (const displayName of names) {
        const { user } = yield* services.person({ displayName })
        for (const text of [displayName, displayName.normalize("NFD"), ` ${displayName.split(" ").at(-1)!} `]) {
          const found = yield* users.search({ text, first: 5, after: null })
          expect([text, found.edges.map(({ node }) => node.id)]).toEqual([text, [user.id]])
        }
      }
    }))

  test("pages of a search join to the whole, without repeats", () =>
    Effect.gen(function* () {
      const users = yield* Users
      for (let n = 0; n < 7; n++) yield* services.person({ displayName: `Quokka number ${n}` })
      const whole = yield* users.search({ text: "quokka", first: 50, after: null })
      const pages: Array<string> = []
      let after: string | null = null
      for (let n = 0; n < 10; n++) {
        const page: typeof whole = yield* users.search({ text: "quokka", first: 3, after })
        pages.push(...page.edges.map(({ node }) => node.id))
        after = page.pageInfo.endCursor
        if (!page.pageInfo.hasNextPage) break
      }
      expect(pages).toEqual(whole.edges.map(({ node }) => node.id))
      expect(pages.length).toBe(7)
      expect((yield* Effect.flip(users.search({ text: "quokka", first: 3, after: "forged" })))._tag).toBe(
        "ValidationFailed"
      )
      const other = yield* Effect.flip(users.search({ text: "other", first: 3, after: whole.edges[0]!.cursor }))
      expect(other._tag).toBe("ValidationFailed")
    }))

  test("no search text breaks the search, and signs of patterns mean themselves", () =>
    Effect.gen(function* () {
      const users = yield* Users
      yield* services.person({ displayName: "100% wool_y" })
      expect(
        (yield* users.search({ text: "%", first: 5, after: null })).edges.map((edge) => edge.node.displayName)
      ).toEqual(["100% wool_y"])
      const texts = fc.sample(fc.string({ unit: "binary", minLength: 1, maxLength: 100 }), { numRuns: 20, seed: 7 })
      for (const text of ["_", "\\", "'; drop table users; --", "%%%", "a:*&b", ...texts]) {
        if (text.includes("\u0000") || /[\ud800-\udfff]/.test(text)) continue
        yield* users.search({ text, first: 5, after: null })
      }
    }))

  test("a block works both ways, is made once, and lists the newest first", () =>
    Effect.gen(function* () {
      const blocks = yield* Blocks
      const [a, b, c] = [yield* services.person(), yield* services.person(), yield* services.person()]
      expect(yield* blocks.block(a.user.id, b.user.id)).toBe(true)
      expect(yield* blocks.block(a.user.id, b.user.id)).toBe(false)
      yield* blocks.block(a.user.id, c.user.id)
      expect(yield* blocks.isBlocked(b.user.id, a.user.id)).toBe(true)
      expect(yield* blocks.isBlocked(b.user.id, c.user.id)).toBe(false)
      const first = yield* blocks.page({ blocker: a.user.id, first: 1, after: null })
      const second = yield* blocks.page({ blocker: a.user.id, first: 1, after: first.pageInfo.endCursor })
      expect([...first.edges, ...second.edges].map(({ node }) => node)).toEqual([c.user.id, b.user.id])
      expect([first.pageInfo.hasNextPage, second.pageInfo.hasNextPage]).toEqual([true, false])
      expect(yield* blocks.unblock(a.user.id, b.user.id)).toBe(true)
      expect(yield* blocks.unblock(a.user.id, b.user.id)).toBe(false)
      expect((yield* Effect.flip(blocks.block(a.user.id, a.user.id)))._tag).toBe("ValidationFailed")
      expect((yield* Effect.flip(blocks.block(a.user.id, yield* Ids.make(Ids.UserId))))._tag).toBe("NotFound")
    }))
})
