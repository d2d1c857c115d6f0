import { expect } from "bun:test"
import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Actor from "../../src/actor/Actor.ts"
import * as ActorSystem from "../../src/actor/ActorSystem.ts"
import * as Inbox from "../../src/actor/Inbox.ts"
import * as Inspector from "../../src/actor/Inspector.ts"
import * as States from "../../src/actor/States.ts"
import * as Supervised from "../../src/actor/Supervised.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"

const Note = Actor.make("Note", { protocol: [Rpc.make("Write", { payload: { text: Schema.String } })] })

let broken = true

const notes = Note.toLayer(() =>
  Effect.succeed({ Write: () => (broken ? Effect.dieMessage("<script>broken</script>") : Effect.void) })
)

const layer = notes.pipe(
  Layer.provideMerge(Inbox.layer),
  Layer.provideMerge(Layer.mergeAll(ActorSystem.layerTest, Supervised.Registry.layer, States.layerSql)),
  Layer.provideMerge(Postgres.layerDatabase),
  Layer.provide(Logger.remove(Logger.defaultLogger))
)

interface Call {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** What the inspector answers there. */
const call = (target: string, { headers = {}, method = "GET" }: Call = {}, allowed = true) =>
  Effect.gen(function* () {
    const routes = yield* Inspector.routes(() => Effect.succeed(allowed))
    const { pathname, search } = new URL(target, "http://127.0.0.1")
    const { handler } = routes.find(({ path }) => path === pathname)!
    const header = (name: string) => headers[name]
    const answer = yield* handler({ method, path: pathname, search, header, peer: "127.0.0.1", secure: false })
    return { ...answer, body: String(answer.body) }
  })

const post = { method: "POST", headers: { "content-type": "application/json" } }

withLayer("over an inbox in Postgres", layer, (it) => {
  it("whoever is not allowed sees nothing", () =>
    Effect.gen(function* () {
      expect((yield* call("/actors", {}, false)).status).toBe(404)
      expect((yield* call("/actors/drop?position=1", post, false)).status).toBe(404)
    }))

  it("shows types, fibers, and failures by the shape of their payload", () =>
    Effect.gen(function* () {
      broken = true
      const client = yield* Note.client
      yield* Effect.flip(client.ask("a").Write({ text: "a secret" }))
      const { body } = yield* call("/actors")
      const report = JSON.parse(body) as Inspector.Report
      expect(report.actors).toMatchObject([{ actor: "Note", failures: 1 }])
      expect(report.fibers.map(({ name }) => name)).toContain("actor inbox")
      expect(report.deadLetters).toMatchObject([{ tag: "Write", payloadShape: "{text: string}" }])
      expect(body).not.toContain("a secret")
      expect(report.shards).toBeUndefined()
    }))

  it("gives a browser a page in which nothing of a message is markup", () =>
    Effect.gen(function* () {
      const { body, headers } = yield* call("/actors", { headers: { accept: "text/html" } })
      expect(headers["content-type"]).toContain("text/html")
      expect(body).toContain("&#60;script&#62;broken")
      expect(body).not.toContain("<script>broken")
    }))

  it("a quarantined message is released or dropped by a POST of JSON only", () =>
    Effect.gen(function* () {
      const inbox = yield* Inbox.of(Note)
      const service = yield* Inbox.Inbox
      yield* Effect.flip(inbox.ask("b", "1").Write({ text: "poison" }))
      const sql = yield* SqlClient.SqlClient
      yield* sql`update actor_messages set state = 2`
      const [letter] = yield* service.quarantined
      const query = `?position=${letter!.position}`
      expect((yield* call(`/actors/drop${query}`, { method: "POST" })).status).toBe(415)
      expect((yield* call(`/actors/drop${query}`)).status).toBe(405)
      expect((yield* call(`/actors/release${query}`, post)).status).toBe(200)
      expect((yield* call(`/actors/release${query}`, post)).status).toBe(404)
      yield* sql`update actor_messages set state = 2`
      expect((yield* call(`/actors/drop${query}`, post)).status).toBe(200)
      expect(yield* service.quarantined).toEqual([])
    }))
})
