/** GraphiQL from this server's own copy of its npm packages; see `layers/http/Pages.ts`. */
export const graphiqlPage = (): string => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Real-time Connect: explorer</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="/assets/graphiql.css" />
    <style>
      html, body, #graphiql { height: 100%; margin: 0; }
    </style>
  </head>
  <body>
    <div id="graphiql">Loading…</div>
    <script src="/assets/react.js"></script>
    <script src="/assets/react-dom.js"></script>
    <script src="/assets/graphiql.js"></script>
    <script type="module" src="/assets/connect-graphiql.js"></script>
  </body>
</html>
`

/**
 * Signing in sets the cookie, and everything after that is signed in, subscriptions included. A token in the Headers
 * tab (`{"authorization": "Bearer TOKEN"}`) goes along with sockets too.
 */
export const graphiqlScript = `import { createClient } from "/assets/graphql-ws/client.js"

const query = \`# First: makes an account and signs you in.
mutation SignIn {
  signInAsGuest(profile: { displayName: "Ada", interests: ["chess"] }) {
    expiresAt
    viewer { user { id handle displayName } }
  }
}

# Then this: it waits for the one you are matched with.
subscription Inbox {
  inbox {
    __typename
    ... on MatchFound { match { sharedInterests interaction { id } } }
  }
}

# And this, here and in a second window: a match takes two.
mutation Join {
  joinQueue(input: { clientKey: "first" }) { state }
}
\`

const url = new URL("/graphql", location.href)
const socketUrl = url.href.replace(/^http/, "ws")
const clients = new Map()

const tokenOf = (headers) => {
  const header = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === "authorization")
  return header === undefined ? "" : String(header[1]).replace(/^Bearer +/i, "")
}

const clientOf = (token) => {
  if (!clients.has(token)) {
    const connectionParams = token === "" ? {} : { token }
    const client = createClient({ url: socketUrl, connectionParams, lazy: true, lazyCloseTimeout: 0 })
    // A refused operation is an answer like any other; GraphiQL would throw it where nobody catches it.
    const subscribe = (payload, sink) =>
      client.subscribe(payload, {
        ...sink,
        error: (cause) => {
          if (!Array.isArray(cause)) return sink.error(cause)
          sink.next({ errors: cause })
          sink.complete()
        }
      })
    clients.set(token, { ...client, subscribe })
  }
  return clients.get(token)
}

const fetcher = (parameters, options) =>
  GraphiQL.createFetcher({ url: url.href, wsClient: clientOf(tokenOf(options?.headers)) })(parameters, options)

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: query, shouldPersistHeaders: false })
)
`
