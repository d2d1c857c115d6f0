import * as Effect from "effect/Effect"
import type { ActorSystem } from "../../src/actor/ActorSystem.ts"
import * as Inspector from "../../src/actor/Inspector.ts"
import { Settings } from "../../src/config/Settings.ts"
import * as Client from "../../src/request/Client.ts"
import type { Incoming } from "../../src/request/Incoming.ts"
import { Sessions } from "../../src/session/Sessions.ts"

const isLoopback = (address: string): boolean => address === "::1" || /^(::ffff:)?127\./i.test(address)

/**
 * Whether somebody on this machine asks us directly. What a proxy passes on is not, whoever sent it; nor is a page that
 * reached us under a name of its own.
 */
const isLocal = (incoming: Incoming): boolean =>
  isLoopback(incoming.peer) &&
  incoming.header("x-forwarded-for") === undefined &&
  incoming.header("forwarded") === undefined &&
  /^(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d+)?$/i.test(incoming.header("host") ?? "")

/** The inspector's paths, for a session with the role ADMIN and for this machine. */
export const routes: Effect.Effect<
  ReadonlyArray<Inspector.Route>,
  never,
  ActorSystem | Settings | Sessions
> = Effect.gen(function* () {
  const { http } = yield* Settings
  const sessions = yield* Sessions
  return yield* Inspector.routes((incoming) => {
    if (isLocal(incoming)) return Effect.succeed(Client.isOwnOrigin(incoming, http))
    const token = Client.tokenOf(incoming, http)
    if (typeof token !== "string") return Effect.succeed(false)
    return Effect.match(sessions.load(token), { onSuccess: ({ role }) => role === "ADMIN", onFailure: () => false })
  })
})
