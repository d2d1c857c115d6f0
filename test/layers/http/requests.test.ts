import { expect } from "bun:test"
import { createHash } from "node:crypto"
import { Client, fetchExchange } from "@urql/core"
import * as Effect from "effect/Effect"
import * as Http from "../../../layers/Http.ts"
import { withLayer } from "../../kit/effect.ts"
import { Journal, server } from "./fixture.ts"

interface Body {
  readonly data?: Record<string, never> | null
  readonly errors?: ReadonlyArray<{
    readonly message: string
    readonly path?: ReadonlyArray<string | number>
    readonly extensions: {
      readonly code: string
      readonly retryable: boolean
      readonly retryAfterMillis?: number
      readonly issues?: ReadonlyArray<{ readonly path: string; readonly message: string }>
      readonly reference?: string
    }
  }>
}

const send = (init: RequestInit & { readonly search?: string; readonly path?: string }) =>
  Effect.gen(function* () {
    const { url } = yield* Http.Address
    const response = yield* Effect.promise(() => fetch(`${url}${init.path ?? "/graphql"}${init.search ?? ""}`, init))
    const text = yield* Effect.promise(() => response.text())
    const isJson = response.headers.get("content-type")?.includes("json") === true
    return { status: response.status, headers: response.headers, text, body: (isJson ? JSON.parse(text) : {}) as Body }
  })

const post = (query: string, variables?: object, headers: Record<string, string> = {}) =>
  send({
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ query, variables })
  })

const first = (answer: { readonly body: Body }) => answer.body.errors?.[0]

const signIn = Effect.map(
  post("mutation { signInAsGuest { token viewer { user { id handle } } } }"),
  (answer) => answer.body.data as unknown as { readonly signInAsGuest: { readonly token: string } }
)

withLayer(
  "POST and GET /graphql",
  server((settings) => ({
    ...settings,
    http: { ...settings.http, bodyBytesMax: 32_768, costMax: 400, trustedProxies: ["127.0.0.1"] }
  })),
  (it) => {
    it("answers a query by POST, by GET and again once it is compiled", () =>
      Effect.gen(function* () {
        const query = `{ queueStats { waiting matchesPerMinute } user(handle: "ada") { id createdAt } }`
        const expected = {
          queueStats: { waiting: 3, matchesPerMinute: 0.5 },
          user: { id: "usr_00000000000070008000000000000000", createdAt: "1970-01-01T00:00:00.000Z" }
        }
        for (let i = 0; i < 3; i++) expect((yield* post(query)).body as object).toEqual({ data: expected })
        const got = yield* send({ search: `?query=${encodeURIComponent(query)}` })
        expect(got.body as object).toEqual({ data: expected })
      }))

    it("finds any node by its global id, and refuses what is none", () =>
      Effect.gen(function* () {
        const query = "query ($id: ID!) { node(id: $id) { __typename id ... on User { handle } } }"
        const id = "usr_00000000000070008000000000000001"
        const found = yield* post(query, { id })
        expect(found.body as object).toEqual({ data: { node: { __typename: "User", id, handle: "bob" } } })
        expect(first(yield* post(query, { id: "int_1" }))?.extensions.issues).toEqual([
          { path: "id", message: "is not an id of this server" }
        ])
      }))

    it("loads of all resolvers of a level are one batch", () =>
      Effect.gen(function* () {
        const { signInAsGuest } = yield* signIn
        const journal = yield* Journal
        journal.batches.length = 0
        const answer = yield* post(
          "{ viewer { user { handle } blocked(first: 3) { edges { node { handle } } } } }",
          undefined,
          { authorization: `Bearer ${signInAsGuest.token}` }
        )
        expect(answer.body.errors).toBeUndefined()
        expect(journal.batches.map((batch) => batch.length)).toEqual([3])
      }))

    it("without a token an operation that needs a viewer is UNAUTHENTICATED, with a dead one SESSION_EXPIRED", () =>
      Effect.gen(function* () {
        const query = "{ viewer { role } queueStats { waiting } }"
        const anonymous = yield* post(query)
        expect(anonymous.status).toBe(200)
        expect(first(anonymous)?.extensions).toEqual({ code: "UNAUTHENTICATED", retryable: false })
        expect(anonymous.body.data?.["queueStats"]).toEqual({ waiting: 3 } as never)
        const dead = { authorization: "Bearer nothing" }
        expect(first(yield* post(query, undefined, dead))?.extensions.code).toBe("SESSION_EXPIRED")
        const again = yield* post("mutation { signInAsGuest { token } }", undefined, dead)
        expect(again.body.errors).toBeUndefined()
      }))

    it("the cookie signs in the same origin and nobody else", () =>
      Effect.gen(function* () {
        const { url } = yield* Http.Address
        const signed = yield* post("mutation { signInAsGuest { token } }")
        const set = signed.headers.get("set-cookie") ?? ""
        expect(set).toMatch(/^connect_session=[^;]+; Path=\/; HttpOnly; SameSite=Lax; Expires=[^;]+$/)
        const cookie = set.split(";")[0]!
        const ask = (headers: Record<string, string>) => post("{ viewer { role } }", undefined, { cookie, ...headers })
        expect((yield* ask({ origin: url })).body as object).toEqual({ data: { viewer: { role: "USER" } } })
        expect((yield* ask({})).body as object).toEqual({ data: { viewer: { role: "USER" } } })
        const foreign = yield* ask({ origin: "https://evil.example" })
        expect([foreign.status, first(foreign)?.extensions.code]).toEqual([403, "FORBIDDEN"])
        expect((yield* ask({ "sec-fetch-site": "cross-site" })).status).toBe(403)
        const out = yield* post("mutation { signOut }", undefined, { cookie, origin: url })
        expect(out.headers.get("set-cookie")).toContain("connect_session=; ")
        expect(first(yield* ask({ origin: url }))?.extensions.code).toBe("SESSION_EXPIRED")
      }))

    it("arguments that their Schema refuses are VALIDATION_FAILED with the paths", () =>
      Effect.gen(function* () {
        const answer = yield* post(`{ user(handle: "${"x".repeat(25)}") { id } }`)
        expect(first(answer)).toMatchObject({
          message: "handle: is too long",
          path: ["user"],
          extensions: { code: "VALIDATION_FAILED", issues: [{ path: "handle", message: "is too long" }] }
        })
        const typed = yield* post("query ($id: ID!) { user(id: $id) { id } }", { id: { no: "id" } })
        expect(first(typed)?.extensions.code).toBe("VALIDATION_FAILED")
        const unknown = yield* post("{ user { nothing } }")
        expect(first(unknown)?.extensions.code).toBe("VALIDATION_FAILED")
        const missing = yield* post(`{ user(handle: "zed") { id } }`)
        expect(first(missing)).toMatchObject({ message: "No such User", extensions: { code: "NOT_FOUND" } })
      }))

    it("a defect is INTERNAL with a reference and without its details", () =>
      Effect.gen(function* () {
        const answer = yield* post(`mutation { block(userId: "x") }`)
        expect(first(answer)?.extensions.code).toBe("INTERNAL")
        expect(first(answer)?.extensions.reference).toMatch(/^[0-9a-f-]{36}$/)
        expect(answer.text).not.toContain("cellar")
      }))

    it("says what is wrong with a request that is not GraphQL over HTTP", () =>
      Effect.gen(function* () {
        const json = { "content-type": "application/json" }
        const cases: ReadonlyArray<readonly [init: RequestInit & { search?: string }, status: number, says: RegExp]> = [
          [{ method: "POST", headers: json, body: "{" }, 400, /not JSON/],
          [{ method: "POST", headers: json, body: "" }, 400, /empty/],
          [{ method: "POST", headers: json, body: "[]" }, 400, /Batches/],
          [{ method: "POST", headers: json, body: "3" }, 400, /JSON object/],
          [{ method: "POST", headers: json, body: `{"query":1}` }, 400, /`query`/],
          [{ method: "POST", headers: json, body: `{"query":"{a}","variables":[]}` }, 400, /`variables`/],
          [{ method: "POST", headers: json, body: `{"query":"{a}","operationName":1}` }, 400, /`operationName`/],
          [{ method: "POST", headers: { "content-type": "text/plain" }, body: "{}" }, 415, /application\/json/],
          [
            { method: "POST", headers: { "content-type": "application/json; charset=utf-16" }, body: "{}" },
            415,
            /UTF-8/
          ],
          [{ method: "PUT", headers: json, body: "{}" }, 405, /GET, POST/],
          [{ method: "GET", search: "?query=mutation%7BsignOut%7D" }, 405, /POST/],
          [{ method: "GET", search: "?query=%7Ba%7D&variables=%7B" }, 400, /`variables` is not JSON/],
          [{ method: "GET", search: "?query=subscription%7Binbox%7B__typename%7D%7D" }, 400, /WebSocket/],
          [{ method: "GET", headers: { accept: "image/png" } }, 406, /Accept/],
          [{ method: "POST", headers: json, body: `{"query":"${"x".repeat(33_000)}"}` }, 413, /32768 bytes/]
        ]
        for (const [init, status, says] of cases) {
          const answer = yield* send(init)
          expect([answer.status, first(answer)?.message]).toEqual([status, expect.stringMatching(says)])
        }
        const charset = yield* send({
          method: "POST",
          headers: { "content-type": 'application/json; charset="UTF-8"' },
          body: `{"query":"{ queueStats { waiting } }"}`
        })
        expect(charset.status).toBe(200)
      }))

    it("a body of unknown length is counted while it comes", () =>
      Effect.gen(function* () {
        let sent = 0
        const body = new ReadableStream({
          pull: (controller) => {
            sent += 1_024
            controller.enqueue(new Uint8Array(1_024).fill(32))
            if (sent > 1_048_576) controller.close()
          }
        })
        const answer = yield* send({ method: "POST", headers: { "content-type": "application/json" }, body })
        expect([answer.status, first(answer)?.extensions.code]).toEqual([413, "PAYLOAD_TOO_LARGE"])
      }))

    it("documents above a limit are refused before they are validated", () =>
      Effect.gen(function* () {
        const deep = `{ viewer ${"{ user ".repeat(11)}{ id }${" }".repeat(11)} }`
        const aliases = `{ ${Array.from({ length: 16 }, (_, i) => `a${i}: queueStats { waiting }`).join(" ")} }`
        const directives = `{ queueStats { waiting ${"@skip(if: false) ".repeat(51)} } }`
        const tokens = `{ ${"queueStats { waiting } ".repeat(501)} }`
        for (const [query, says] of [
          [deep, /levels deep/],
          [aliases, /aliases/],
          [directives, /directives/],
          [tokens, /token/]
        ] as const) {
          const answer = yield* post(query)
          expect([first(answer)?.extensions.code, first(answer)?.message]).toEqual([
            "BAD_REQUEST",
            expect.stringMatching(says)
          ])
        }
      }))

    it("an operation that may cost too much with its variables does not run", () =>
      Effect.gen(function* () {
        const query = "query ($n: Int) { viewer { blocked(first: $n) { edges { node { id handle } } } } }"
        expect(first(yield* post(query, { n: 5 }))?.extensions.code).toBe("UNAUTHENTICATED")
        const answer = yield* post(query, { n: 60 })
        expect([answer.status, first(answer)?.extensions.code]).toEqual([200, "BAD_REQUEST"])
        expect(first(answer)?.message).toMatch(/^The operation costs \d+, at most 400 is allowed/)
      }))

    it("names the operation that runs, and refuses one that is not there", () =>
      Effect.gen(function* () {
        const query = "query A { queueStats { waiting } } query B { queueStats { waitMillisP50 } }"
        const ask = (operationName?: string) =>
          send({
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ query, operationName })
          })
        expect((yield* ask("B")).body as object).toEqual({ data: { queueStats: { waitMillisP50: 10 } } })
        expect(first(yield* ask("C"))?.message).toContain(`"C"`)
        expect(first(yield* ask())?.message).toContain("operationName")
      }))

    it("tells the quota, and refuses an address without one before any work", () =>
      Effect.gen(function* () {
        const allowed = yield* post("{ queueStats { waiting } }")
        expect(allowed.headers.get("ratelimit")).toBe(`"ip";r=4;t=1`)
        expect(allowed.headers.get("ratelimit-policy")).toBe(`"ip";q=600;w=60;burst=200`)
        const limited = yield* post("{", undefined, { "x-forwarded-for": "198.51.100.1, 203.0.113.9" })
        expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "2"])
        expect(limited.headers.get("ratelimit")).toBe(`"ip";r=0;t=22`)
        expect(limited.headers.get("ratelimit-policy")).toBe(allowed.headers.get("ratelimit-policy"))
        expect(first(limited)?.extensions).toEqual({ code: "RATE_LIMITED", retryable: true, retryAfterMillis: 1_500 })
      }))

    it("every answer forbids to guess its type, to frame it and to keep it", () =>
      Effect.gen(function* () {
        const { headers } = yield* post("{ queueStats { waiting } }", undefined, { "x-forwarded-proto": "https" })
        expect(headers.get("x-content-type-options")).toBe("nosniff")
        expect(headers.get("cache-control")).toBe("no-store")
        expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'")
        expect(headers.get("strict-transport-security")).toContain("max-age")
      }))

    it("every answer with a body says its type, and its charset where it is text; none leads elsewhere", () =>
      Effect.gen(function* () {
        const asked: ReadonlyArray<Parameters<typeof send>[0]> = [
          ...["/", "/graphiql", "/assets/graphiql.js", "/assets/graphiql.css", "/metrics", "/health", "/nowhere"].map(
            (path) => ({ path })
          ),
          { search: "?query=%7Bnothing%7D" },
          { method: "POST", body: "{" },
          { method: "DELETE" },
          { method: "POST", headers: { "content-type": "application/json" }, body: "{" },
          { path: "/graphql/stream", method: "POST", headers: { "content-type": "application/json" }, body: "{" }
        ]
        for (const one of asked) {
          const { headers, status, text } = yield* send({ ...one, redirect: "manual" })
          expect(status < 300 || status >= 400).toBe(true)
          expect(text).not.toBe("")
          expect(headers.get("content-type")).toMatch(
            /^(text\/.+; charset=utf-8|application\/[\w+-]+(; charset=utf-8)?)$/
          )
        }
      }))

    it("a document that is known by its hash need not be sent again", () =>
      Effect.gen(function* () {
        const query = "{ queueStats { waitMillisP95 } }"
        const sha256Hash = createHash("sha256").update(query).digest("hex")
        const extensions = { persistedQuery: { version: 1, sha256Hash } }
        const ask = (body: object) =>
          send({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
        expect(first(yield* ask({ extensions }))?.extensions.code).toBe("PERSISTED_QUERY_NOT_FOUND")
        const expected = { data: { queueStats: { waitMillisP95: 20 } } }
        expect((yield* ask({ query, extensions })).body as object).toEqual(expected)
        expect((yield* ask({ extensions })).body as object).toEqual(expected)
        const got = yield* send({ search: `?extensions=${encodeURIComponent(JSON.stringify(extensions))}` })
        expect(got.body as object).toEqual(expected)
        expect(first(yield* ask({ extensions: { persistedQuery: { version: 2, sha256Hash } } }))?.extensions.code).toBe(
          "BAD_REQUEST"
        )
      }))

    it("answers above 1 KB are compressed as the client likes best", () =>
      Effect.gen(function* () {
        const { url } = yield* Http.Address
        const query = "{ __schema { types { name description fields { name } } } }"
        const ask = (encoding: string, text = query) =>
          Effect.promise(async () => {
            const response = await fetch(`${url}/graphql`, {
              method: "POST",
              headers: { "content-type": "application/json", "accept-encoding": encoding },
              body: JSON.stringify({ query: text })
            })
            return { response, text: await response.text() }
          })
        const plainText = (yield* ask("identity")).text
        for (const encoding of ["zstd", "br", "gzip"]) {
          const { response, text } = yield* ask(`${encoding}, deflate;q=0.1`)
          expect([encoding, response.headers.get("content-encoding"), text === plainText]).toEqual([
            encoding,
            encoding,
            true
          ])
          expect(response.headers.get("vary")).toContain("accept-encoding")
        }
        const short = yield* ask("gzip", "{ queueStats { waiting } }")
        expect(short.response.headers.get("content-encoding")).toBeNull()
      }))

    it("urql queries and mutates", () =>
      Effect.gen(function* () {
        const { url } = yield* Http.Address
        const client = new Client({ url: `${url}/graphql`, exchanges: [fetchExchange], preferGetMethod: false })
        const stats = yield* Effect.promise(() => client.query("{ queueStats { waiting } }", {}).toPromise())
        expect(stats.data).toEqual({ queueStats: { waiting: 3 } })
        const signed = yield* Effect.promise(() =>
          client.mutation("mutation { signInAsGuest { token } }", {}).toPromise()
        )
        expect(signed.data?.signInAsGuest.token).toStartWith("token-")
        const failed = yield* Effect.promise(() => client.query("{ viewer { role } }", {}).toPromise())
        expect(failed.error?.graphQLErrors[0]?.extensions["code"]).toBe("UNAUTHENTICATED")
      }))

    it("pages, probes and assets are where they should be, and nothing else is", () =>
      Effect.gen(function* () {
        const get = (path: string) => send({ path })
        expect((yield* get("/")).text).toContain("signInAsGuest")
        expect((yield* get("/graphiql")).text).toContain("/assets/graphiql.js")
        for (const name of ["graphiql.js", "graphiql.css", "react.js", "react-dom.js", "connect-graphiql.js"]) {
          const asset = yield* get(`/assets/${name}`)
          expect([name, asset.status, asset.text.length > 500]).toEqual([name, 200, true])
        }
        const shared = /common-[\w-]+\.js/.exec((yield* get("/assets/graphql-ws/client.js")).text)?.[0]
        expect((yield* get(`/assets/graphql-ws/${shared}`)).status).toBe(200)
        for (const path of ["/assets/../package.json", "/assets/toString", "/nowhere", "/graphql/nowhere"]) {
          expect((yield* get(path)).status).toBe(404)
        }
        for (const path of ["/health", "/health/live", "/health/ready", "/metrics"]) {
          expect((yield* get(path)).status).toBe(200)
        }
        expect((yield* get("/metrics")).text).toContain(`connect_requests_total{operation="query",code="ok"}`)
      }))
  }
)

withLayer(
  "a server without the explorer",
  server((settings) => ({ ...settings, http: { ...settings.http, explorer: false } })),
  (it) => {
    it("does not answer introspection, suggest names or serve GraphiQL", () =>
      Effect.gen(function* () {
        expect(first(yield* post("{ __schema { queryType { name } } }"))?.extensions.code).toBe("VALIDATION_FAILED")
        expect(first(yield* post("{ queueStat { waiting } }"))?.message).toBe(
          `Cannot query field "queueStat" on type "Query".`
        )
        expect((yield* send({ path: "/graphiql" })).status).toBe(404)
        expect((yield* send({ path: "/assets/graphiql.js" })).status).toBe(404)
      }))
  }
)

withLayer(
  "a server with an allowed origin",
  server((settings) => ({ ...settings, http: { ...settings.http, allowedOrigins: ["https://app.example"] } })),
  (it) => {
    it("lets that origin read answers, and no other", () =>
      Effect.gen(function* () {
        const ask = (origin: string) => post("{ queueStats { waiting } }", undefined, { origin })
        const allowed = yield* ask("https://app.example")
        expect(allowed.headers.get("access-control-allow-origin")).toBe("https://app.example")
        expect((yield* ask("https://evil.example")).headers.get("access-control-allow-origin")).toBeNull()
        const preflight = yield* send({ method: "OPTIONS", headers: { origin: "https://app.example" } })
        expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([204, "GET, POST"])
      }))
  }
)
