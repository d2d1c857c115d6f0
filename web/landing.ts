const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

/** What `/` shows: what this is, where things are, and one line to paste. */
export const landingPage = (about: {
  readonly name: string
  readonly origin: string
  readonly explorer: boolean
}): string => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Real-time Connect</title>
    <link rel="icon" href="data:," />
    <style>
      :root { color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif; }
      body { max-width: 42rem; margin: 10vh auto; padding: 0 1.25rem; }
      h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 0.5rem; letter-spacing: -0.02em; }
      p.lead { font-size: 1.15rem; margin: 0 0 2rem; opacity: 0.8; }
      dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.4rem 1.5rem; }
      dt a { font-weight: 600; }
      dd { margin: 0; opacity: 0.8; }
      pre { padding: 1rem; border-radius: 0.5rem; white-space: pre-wrap; overflow-wrap: anywhere; background: rgb(128 128 128 / 0.15); }
      footer { margin-top: 3rem; font-size: 0.875rem; opacity: 0.65; }
    </style>
  </head>
  <body>
    <h1>Real-time Connect</h1>
    <p class="lead">People queue with what they like, are matched, and talk. This is its API.</p>
    <dl>
      ${about.explorer ? `<dt><a href="/graphiql">/graphiql</a></dt><dd>try every operation in the browser</dd>` : ""}
      <dt><code>/graphql</code></dt><dd>queries and mutations by POST, subscriptions by WebSocket</dd>
      <dt><a href="/health">/health</a></dt><dd>the checks and their outcomes</dd>
      <dt><a href="/metrics">/metrics</a></dt><dd>figures for Prometheus</dd>
    </dl>
    <p>Sign up from a terminal:</p>
    <pre><code>${escape(firstQuery(about.origin))}</code></pre>
    <footer>Program: ${escape(about.name)}</footer>
  </body>
</html>
`

/** One line for a terminal: signs in as a guest and shows who that is. */
export const firstQuery = (origin: string): string =>
  `curl -s ${origin}/graphql -H 'content-type: application/json' ` +
  `-d '{"query":"mutation { signInAsGuest { token viewer { user { handle } } } }"}'`
