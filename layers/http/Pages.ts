import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import type { Shape } from "../../src/config/Settings.ts"
import * as answers from "../../src/request/answers.ts"
import type { Answer, Handler } from "../../src/request/Incoming.ts"
import { graphiqlPage, graphiqlScript } from "../../web/graphiql.ts"
import { landingPage } from "../../web/landing.ts"

/** Our pages run our scripts only, from this server; GraphiQL's editor sets styles by itself. */
const pageHeaders = {
  ...answers.securityHeaders,
  "content-security-policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "cache-control": "no-cache"
}

const html = (body: string): Answer => ({
  status: 200,
  headers: { ...pageHeaders, "content-type": "text/html; charset=utf-8" },
  body
})

const page =
  (make: (origin: string) => string): Handler =>
  (incoming) =>
    Effect.succeed(
      incoming.method === "GET" || incoming.method === "HEAD"
        ? html(make(`http://${incoming.header("host") ?? "127.0.0.1"}`))
        : answers.methodNotAllowed("GET, HEAD")
    )

/** `/` says what this is; `/graphiql` is there while the settings allow the explorer. */
export const routes = (
  name: string,
  { explorer }: Shape["http"]
): ReadonlyArray<{ readonly path: string; readonly handler: Handler }> => [
  { path: "/", handler: page((origin) => landingPage({ name, origin, explorer })) },
  ...(explorer ? [{ path: "/graphiql", handler: page(graphiqlPage) }] : [])
]

/** Files of npm packages that GraphiQL needs, by the name under `/assets/`. Nothing else can be asked for. */
const files: Readonly<Record<string, readonly [pkg: string, file: string]>> = {
  "graphiql.js": ["graphiql", "graphiql.min.js"],
  "graphiql.css": ["graphiql", "graphiql.min.css"],
  "react.js": ["react", "umd/react.production.min.js"],
  "react-dom.js": ["react-dom", "umd/react-dom.production.min.js"]
}

const folderOf = (pkg: string): string => {
  const { resolve } = createRequire(import.meta.url)
  return pkg === "graphql-ws" ? dirname(resolve("graphql-ws")) : dirname(resolve(`${pkg}/package.json`))
}

/** graphql-ws comes as modules: its client and the part it shares with the server, whose name changes. */
const locate = (name: string): string | undefined => {
  const file = Object.hasOwn(files, name) ? files[name] : undefined
  if (file !== undefined) return join(folderOf(file[0]), file[1])
  const part = /^graphql-ws\/(client|common-[\w-]{1,32})\.js$/.exec(name)?.[1]
  return part === undefined ? undefined : join(folderOf("graphql-ws"), `${part}.js`)
}

const typeOf = (name: string): string => (name.endsWith(".css") ? "text/css" : "text/javascript")

const asset = (name: string, body: string | Uint8Array<ArrayBuffer>): Answer => ({
  status: 200,
  headers: {
    ...answers.securityHeaders,
    "content-type": `${typeOf(name)}; charset=utf-8`,
    "cache-control": "public, max-age=86400"
  },
  body
})

/** `/assets/…` while the settings allow the explorer; nothing is found otherwise. */
export const assets = ({ explorer }: Shape["http"]): Handler => {
  const nothing = Effect.succeed(answers.notFound)
  return ({ path, method }) => {
    if (!explorer || method !== "GET" || !path.startsWith("/assets/")) return nothing
    const name = path.slice("/assets/".length)
    if (name === "connect-graphiql.js") return Effect.succeed(asset(name, graphiqlScript))
    const file = locate(name)
    if (file === undefined) return nothing
    return Effect.tryPromise(() => readFile(file)).pipe(
      Effect.map((bytes) => asset(name, new Uint8Array(bytes))),
      Effect.catchAll(() => nothing)
    )
  }
}
