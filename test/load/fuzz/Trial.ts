import type { Chance } from "./Chance.ts"
import type { Asked } from "./Grammar.ts"

/** One request, as JSON can hold it: it is printed when it fails, and made smaller. */
export interface Trial {
  readonly via: "post" | "get" | "stream" | "socket"
  readonly headers: Readonly<Record<string, string>>
  /** A body for `post` and `stream`, a query string for `get`, one message for `socket`. */
  readonly text: string
  /** What the text was made of, where it was: its parts can be left out. */
  readonly asked?: Asked
}

const textOf = (via: Trial["via"], { query, variables }: Asked): string => {
  if (via === "get") return new URLSearchParams({ query, variables: JSON.stringify(variables) }).toString()
  const payload = { query, variables }
  return JSON.stringify(via === "socket" ? { id: "1", type: "subscribe", payload } : payload)
}

export const make = (via: Trial["via"], headers: Trial["headers"], asked: Asked): Trial => ({
  via,
  headers,
  asked,
  text: textOf(via, asked)
})

const strangeHeaders: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
  [
    "content-type",
    ["text/plain", "application/json; charset=utf-16", "multipart/form-data", "application/graphql", ""]
  ],
  ["accept", ["*/*", "image/png", "application/graphql-response+json", "text/event-stream", ";q=;;,", "a/b;q=9e9"]],
  ["accept-encoding", ["br", "zstd", "gzip;q=0", "identity;q=0, *;q=0", "x".repeat(500)]],
  ["origin", ["https://evil.example", "null", "http://"]],
  ["cookie", ["connect_session=", "connect_session=x; connect_session=y", "=;=;=", "\u00ff\u00fe"]],
  ["authorization", ["Bearer", "Bearer ", "Bearer x", `Bearer ${"y".repeat(2_000)}`, "Basic Zm9vOmJhcg==", "\u00e9"]],
  ["if-none-match", ["*", 'W/"x"', ",,,"]],
  ["x-forwarded-for", ["127.0.0.1", "::1, evil", "' or 1=1"]],
  ["x-forwarded-proto", ["https", "javascript"]],
  ["sec-fetch-site", ["cross-site"]],
  ["user-agent", ["", "\u001b[31mred", "x".repeat(4_000)]],
  ["x-request-timeout", ["0", "-1", "NaN", "1e99"]]
]

const strangeTexts: ReadonlyArray<string> = [
  "",
  "{",
  "null",
  "[]",
  '"text"',
  "[".repeat(20_000),
  `${'{"query":'.repeat(2_000)}`,
  '{"query":null}',
  '{"query":"{ queueStats { waiting } }","variables":"x"}',
  '{"query":"{ queueStats { waiting } }","operationName":7}',
  '{"query":"{ queueStats { waiting } }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"zz"}}}',
  `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"${"0".repeat(64)}"}}}`,
  '{"__proto__":{"query":"{ queueStats { waiting } }"}}',
  '[{"query":"{ queueStats { waiting } }"}]',
  `{"query":"${"a".repeat(100_000)}"}`,
  '{"query":"\\u0000"}',
  '{"query":"\\ud800"}',
  "\u0000\u0001\u00ff"
]

const strangeMessages: ReadonlyArray<string> = [
  '{"type":"connection_init"}',
  '{"type":"ping"}',
  '{"type":"pong","payload":[]}',
  '{"type":"complete","id":"nothing"}',
  '{"type":"subscribe"}',
  '{"type":"subscribe","id":"","payload":{"query":"{ a }"}}',
  '{"type":"subscribe","id":"1","payload":{}}',
  '{"type":"next","id":"1","payload":{}}',
  '{"type":"__proto__"}',
  `{"type":"subscribe","id":"${"i".repeat(10_000)}","payload":{"query":"{ queueStats { waiting } }"}}`
]

/** A request around an operation: mostly as a client would send it, now and then with something strange. */
export const around = (asked: Asked, token: string | undefined, chance: Chance): Trial => {
  const via = chance.of(["post", "post", "post", "post", "get", "stream", "socket", "socket"] as const)
  const headers: Record<string, string> = { "content-type": "application/json" }
  if (token !== undefined && chance.in(0.9)) headers["authorization"] = `Bearer ${token}`
  if (via === "stream") headers["accept"] = "text/event-stream"
  while (chance.in(0.12)) {
    const [name, values] = chance.of(strangeHeaders)
    headers[name] = chance.of(values)
  }
  if (chance.in(0.04)) {
    return { via, headers, text: chance.of(via === "socket" ? [...strangeMessages, ...strangeTexts] : strangeTexts) }
  }
  return make(via, headers, asked)
}
