import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as StoreLayer from "../layers/Store.ts"
import * as Broadcast from "../src/broadcast/Broadcast.ts"
import * as Settings from "../src/config/Settings.ts"
import { StartupError } from "../src/config/StartupError.ts"
import type { UserId } from "../src/domain/Ids.ts"
import * as Cursor from "../src/graphql/Cursor.ts"
import * as Audit from "../src/moderation/Audit.ts"
import { Role } from "../src/session/Session.ts"
import * as Sessions from "../src/session/Sessions.ts"
import { Store } from "../src/store/Store.ts"
import { isMain } from "./isMain.ts"
import * as Tool from "./tool.ts"

const roles = Role.literals

const help = `Changes a user's role.

  bun run role HANDLE ${roles.join("|")}

Works on DATABASE_URL where it is set, otherwise on the embedded database in DATA_DIR (.data), whether its server is
running or not. The user's sessions end, so that the next sign-in has the new role.`

const broadcast = Layer.unwrapEffect(
  Effect.map(Store, ({ backend }) => (backend === "redis" ? Broadcast.layerStore : Broadcast.layerLocal))
)

const services = Layer.mergeAll(Sessions.layer, Audit.layer).pipe(
  Layer.provide(Layer.mergeAll(broadcast, Cursor.layer)),
  Layer.provideMerge(Layer.mergeAll(Tool.database, StoreLayer.layer))
)

const noSuchUser = (handle: string) =>
  new StartupError({ what: "No such user", where: handle, fix: "Give the handle as it was signed up, without @." })

/** Changes the role and ends the user's sessions; says what it did. */
const change = (handle: string, role: Role) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { append } = yield* Audit.Audit
    const [user] = yield* sql<{ id: UserId; role: number }>`select id, role from users where handle = ${handle}`
    if (user === undefined) return yield* noSuchUser(handle)
    const before = roles[user.role] ?? "USER"
    if (before === role) return `${handle} is ${role} already.`
    yield* sql.withTransaction(
      Effect.zipRight(
        sql`update users set role = ${roles.indexOf(role)}, updated_at = now() where id = ${user.id}`,
        append({ actorId: null, verb: "user.role", target: `user:${user.id}`, details: { from: before, to: role } })
      )
    )
    const ended = yield* Effect.flatMap(Sessions.Sessions, ({ revokeAll }) => revokeAll(user.id, "role_changed"))
    return (
      `${handle} was ${before} and is ${role} now.\n` +
      (ended === 0 ? "There was no session to end." : `${ended} session(s) ended; a running server sees it at once.`)
    )
  })

/** The words after the program's name, read. */
const parse = (args: ReadonlyArray<string>): Effect.Effect<{ handle: string; role: Role }, StartupError> => {
  const [handle = "", word = "", ...rest] = args
  const role = roles.find((known) => known === word.toUpperCase())
  return handle === "" || role === undefined || rest.length > 0
    ? new StartupError({ what: "That is not how it is used", where: args.join(" ") || "(no words)", fix: help })
    : Effect.succeed({ handle: handle.replace(/^@/, "").toLowerCase(), role })
}

const program = (args: ReadonlyArray<string>) =>
  args.some((word) => word === "--help" || word === "-h")
    ? Tool.print(process.stdout, help)
    : Effect.flatMap(parse(args), ({ handle, role }) =>
        change(handle, role).pipe(Effect.provide(Layer.provideMerge(services, Settings.layer)))
      ).pipe(
        Effect.flatMap((text) => Tool.print(process.stdout, text)),
        Tool.saying
      )

if (isMain(import.meta))
  NodeRuntime.runMain(program(process.argv.slice(2)), { disableErrorReporting: true, disablePrettyLogger: true })
