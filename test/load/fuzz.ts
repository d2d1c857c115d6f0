import { parseArgs } from "node:util"
import type { GraphQLSchema, IntrospectionQuery } from "graphql"
import { buildClientSchema, buildSchema, getIntrospectionQuery } from "graphql"
import { contract } from "../../src/graphql/contract.ts"
import { Client, GraphqlFailure } from "../kit/Client.ts"
import { runCommand } from "../kit/command.ts"
import { startServer } from "../kit/server.ts"
import { Fuzzer } from "./fuzz/Fuzzer.ts"
import { Misuse, runTool, whole } from "./tool.ts"

const help = `Sends generated requests to a server: valid ones of its schema and ones that are nearly so, over HTTP, streams
of events and WebSockets, signed in or not.

  bun run fuzz [--seconds N] [--seed S] [--url URL]

  --seconds N  how long, 60 by default
  --seed S     what the requests are made of; printed. What comes back decides too: ids of answers are used again
  --url URL    a running server on this machine; without it, one is started on an empty data folder

A finding is a crash, an answer that does not come, a 5xx that is not meant (503 OVERLOADED, 504 DEADLINE_EXCEEDED), an
answer without JSON, an error without a code or with INTERNAL, and a text that shows the server's insides. It is printed
as the smallest request that still does it. The last line of the output is one JSON object. Exits with 1 on a finding.
`

const password = "correct horse battery staple"

/** An admin of the server that we started: the role is given as an operator gives it. */
const makeAdmin = async (url: string, dataDir: string): Promise<() => Promise<string>> => {
  const handle = "fuzz_admin"
  const client = new Client(url)
  await client.once(
    "mutation($handle: String!, $password: String!) { signUp(handle: $handle, password: $password) { token } }",
    {
      handle,
      password
    }
  )
  const { code, stderr } = await runCommand([process.execPath, "services/role.ts", handle, "ADMIN"], {
    DATA_DIR: dataDir
  })
  if (code !== 0) throw new Error(`no admin: ${stderr}`)
  return async () => {
    const signed = await client.once<{ readonly signIn: { readonly token: string } }>(
      "mutation($handle: String!, $password: String!) { signIn(handle: $handle, password: $password) { token } }",
      { handle, password }
    )
    return signed.signIn.token
  }
}

/** What the server says that it serves; the contract where it says nothing. */
const schemaOf = async (url: string): Promise<GraphQLSchema> => {
  const query = getIntrospectionQuery()
  const told = await new Client(url).once<IntrospectionQuery>(query).catch((error: unknown) => {
    if (error instanceof GraphqlFailure) return undefined
    throw error
  })
  return told === undefined ? buildSchema(contract) : buildClientSchema(told)
}

const isLoopback = (url: string): boolean => /^(127(\.\d+){3}|localhost|\[::1\])$/.test(new URL(url).hostname)

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string" },
      seed: { type: "string" },
      url: { type: "string" },
      help: { type: "boolean", short: "h" }
    }
  })
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  const seconds = whole("seconds", values.seconds, 60, 0)
  const seed = whole("seed", values.seed, Date.now() % 2_147_483_647, 0)
  if (values.url !== undefined && !isLoopback(values.url))
    throw new Misuse(`--url ${values.url} is not on this machine`)
  process.stderr.write(`seed ${seed}\n`)
  const env = {
    NODE_ENV: "production",
    ENABLE_RATE_LIMIT: "false",
    ENABLE_GRAPHIQL: "true",
    QUEUE_INTERVAL: "100",
    CONCURRENCY_DELAY: "1000"
  }
  const server = values.url === undefined ? await startServer(env) : undefined
  const url = (values.url ?? server!.url).replace(/\/$/, "")
  const admin = server === undefined ? undefined : await makeAdmin(url, server.dataDir)
  const fuzzer = new Fuzzer(url, await schemaOf(url), seed, admin)
  const progress = setInterval(
    () => process.stderr.write(`${fuzzer.requests} requests, ${fuzzer.findings.length} findings\n`),
    5_000
  )
  const begun = performance.now()
  await fuzzer.run(seconds)
  clearInterval(progress)
  const alive = await fetch(`${url}/health/live`)
    .then(({ ok }) => ok)
    .catch(() => false)
  const errors = (server?.output() ?? "").split("\n").filter((line) => line.includes('"logLevel":"ERROR"'))
  await server?.stop()
  for (const { what, trial, shrinks } of fuzzer.findings) {
    process.stdout.write(
      `\n${what}, after ${shrinks} shrinks:\n${JSON.stringify(trial, undefined, 2).slice(0, 4_000)}\n`
    )
  }
  for (const line of errors.slice(0, 5))
    process.stdout.write(`\nThe server logged an error:\n${line.slice(0, 4_000)}\n`)
  if (!alive) process.stdout.write("\nThe server does not answer any more.\n")
  const { byCode, byWay, findings, requests } = fuzzer
  const summary = {
    seed,
    requests,
    byWay,
    byCode,
    findings: findings.length,
    errorsLogged: errors.length,
    alive,
    seconds: Math.round((performance.now() - begun) / 100) / 10
  }
  process.stdout.write(`${JSON.stringify(summary)}\n`)
  return findings.length === 0 && errors.length === 0 && alive ? 0 : 1
}

await runTool("fuzz", main)
