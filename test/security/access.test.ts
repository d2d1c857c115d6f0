import { afterAll, beforeAll, expect, test } from "bun:test"
import type { GraphQLField, GraphQLInputType, GraphQLSchema, IntrospectionQuery } from "graphql"
import {
  buildClientSchema,
  getIntrospectionQuery,
  getNamedType,
  isCompositeType,
  isInputObjectType,
  isObjectType
} from "graphql"
import * as Ids from "../../src/domain/Ids.ts"
import { operationQueriesMax } from "../../src/graphql/QueryBudget.ts"
import * as operations from "./operations.ts"
import { type Answer, canaries, makeWorld, type World } from "./world.ts"

let world: World
let schema: GraphQLSchema
beforeAll(async () => {
  world = await makeWorld()
  const told = await world.ask(undefined, getIntrospectionQuery())
  schema = buildClientSchema(told.data as unknown as IntrospectionQuery)
}, 90_000)
afterAll(() => world.stop(), 30_000)

/** How an id of somebody else's is tried: the other arguments beside $id, and the type of what it names. */
interface Row {
  readonly args: string
  readonly of: Ids.NodeType
  /** Why anybody may use such an id of others. */
  readonly open?: string
}

const sent = `clientKey: "KEY"`
const moderate = `reason: "why", kind: WARN, ${sent}`

/** Each argument that takes an id. What the schema gets anew has no row, and fails. */
const rows: Readonly<Record<string, Row>> = {
  "Query.node(id): User": { args: "id: $id", of: "User", open: "profiles are public" },
  "Query.node(id): Session": { args: "id: $id", of: "Session" },
  "Query.node(id): Ticket": { args: "id: $id", of: "Ticket" },
  "Query.node(id): Match": { args: "id: $id", of: "Match" },
  "Query.node(id): Interaction": { args: "id: $id", of: "Interaction" },
  "Query.node(id): Message": { args: "id: $id", of: "Message" },
  "Query.node(id): Report": { args: "id: $id", of: "Report" },
  "Query.node(id): ModerationAction": { args: "id: $id", of: "ModerationAction" },
  "Query.node(id): AuditEntry": { args: "id: $id", of: "AuditEntry" },
  "Query.user(id)": { args: "id: $id", of: "User", open: "profiles are public" },
  "Query.interaction(id)": { args: "id: $id", of: "Interaction" },
  "Query.history(with)": { args: "with: $id", of: "User" },
  "Query.searchMessages(interactionId)": { args: `text: "canary", interactionId: $id`, of: "Interaction" },
  "Query.auditLog(target)": { args: "target: $id", of: "User" },
  "Mutation.revokeSession(id)": { args: "id: $id", of: "Session" },
  "Mutation.block(userId)": { args: "userId: $id", of: "User", open: "anybody may be blocked" },
  "Mutation.unblock(userId)": { args: "userId: $id", of: "User", open: "it changes the viewer's own list" },
  "Mutation.sendMessage(input.interactionId)": {
    args: `input: { interactionId: $id, body: "hello", ${sent} }`,
    of: "Interaction"
  },
  "Mutation.sendMessage(input.voiceNoteId)": {
    args: `input: { interactionId: "int_00000000000070008000000000000000", voiceNoteId: $id, ${sent} }`,
    of: "VoiceNote"
  },
  "Mutation.setTyping(interactionId)": { args: "interactionId: $id, typing: true", of: "Interaction" },
  "Mutation.markRead(interactionId)": { args: "interactionId: $id, seq: 1", of: "Interaction" },
  "Mutation.endInteraction(interactionId)": { args: "interactionId: $id", of: "Interaction" },
  "Mutation.report(input.subjectId)": {
    args: `input: { subjectId: $id, reason: SPAM, ${sent} }`,
    of: "User",
    open: "anybody may be reported"
  },
  "Mutation.report(input.messageId)": {
    args: `input: { subjectId: "ADA", messageId: $id, reason: SPAM, ${sent} }`,
    of: "Message"
  },
  "Mutation.report(input.interactionId)": {
    args: `input: { subjectId: "ADA", interactionId: $id, reason: SPAM, ${sent} }`,
    of: "Interaction"
  },
  "Mutation.claimReport(id)": { args: "id: $id", of: "Report" },
  "Mutation.dismissReport(id)": { args: `id: $id, reason: "why"`, of: "Report" },
  "Mutation.moderate(input.subjectId)": { args: `input: { subjectId: $id, ${moderate} }`, of: "User" },
  "Mutation.moderate(input.messageId)": {
    args: `input: { subjectId: "ADA", messageId: $id, ${moderate} }`,
    of: "Message"
  },
  "Mutation.moderate(input.interactionId)": {
    args: `input: { subjectId: "ADA", interactionId: $id, ${moderate} }`,
    of: "Interaction"
  },
  "Mutation.moderate(input.reportId)": {
    args: `input: { subjectId: "ADA", reportId: $id, ${moderate} }`,
    of: "Report"
  },
  "Mutation.revokeAction(id)": { args: `id: $id, reason: "why"`, of: "ModerationAction" },
  "Mutation.endSessions(userId)": { args: "userId: $id", of: "User" },
  "Subscription.interactionEvents(interactionId)": { args: "interactionId: $id", of: "Interaction" }
}

const isId = (type: GraphQLInputType): boolean => getNamedType(type).name === "ID"

/** The names of a field's arguments that take an id, those inside of input objects included. */
const idsOf = (field: GraphQLField<unknown, unknown>): ReadonlyArray<string> =>
  field.args.flatMap(({ name, type }) => {
    const named = getNamedType(type)
    if (isId(type)) return [name]
    if (!isInputObjectType(named)) return []
    return Object.values(named.getFields()).flatMap((inner) => (isId(inner.type) ? [`${name}.${inner.name}`] : []))
  })

/** What the schema has of such arguments; `node` once for each type that it finds. */
const wanted = (): ReadonlyArray<string> =>
  Object.values(schema.getTypeMap())
    .filter(isObjectType)
    .flatMap((type) =>
      Object.values(type.getFields()).flatMap((field) =>
        idsOf(field).flatMap((path) => {
          const name = `${type.name}.${field.name}(${path})`
          if (name !== "Query.node(id)") return [name]
          const node = schema.getType("Node")
          return isCompositeType(node) && !isObjectType(node)
            ? schema.getPossibleTypes(node).map((possible) => `${name}: ${possible.name}`)
            : []
        })
      )
    )

let keys = 1_000

const documentOf = (name: string, { args }: Row): string => {
  const [, root = "", field = ""] = /^(\w+)\.(\w+)/.exec(name) ?? []
  const type = (schema.getType(root) as { getFields(): Record<string, GraphQLField<unknown, unknown>> }).getFields()
  const set = isCompositeType(getNamedType(type[field]!.type)) ? " { __typename }" : ""
  const filled = args.replace("KEY", `key-${keys++}`).replace("ADA", world.theirs["User"]!)
  return `${root.toLowerCase()} ($id: ID!) { ${field}(${filled})${set} }`
}

/** An id of this type that nothing has. */
const unknownId = (of: Ids.NodeType): string => Ids.toGlobal(of, "00000000-0000-7000-8000-00000000dead")

/** The answer, whatever the id is that it was asked with. */
const shown = (answer: Answer): unknown =>
  JSON.parse(JSON.stringify(answer).replace(/\b[a-z]{3}_[0-9a-f]{32}\b/g, "ID"))

test("every argument of the schema that takes an id has a row, and no row is left over", () => {
  expect(Object.keys(rows).sort()).toEqual([...wanted()].sort())
})

test("the id of what is somebody else's is answered as one that nothing has", async () => {
  const different: Array<object> = []
  for (const [name, row] of Object.entries(rows)) {
    if (row.open !== undefined) continue
    const ask = (id: string) => world.ask(world.tokens.eve, documentOf(name, row), { id })
    const [theirs, unknown] = [await ask(world.theirs[row.of]!), await ask(unknownId(row.of))]
    const nothing = theirs.errors !== undefined || /:null|Connection/.test(JSON.stringify(theirs.data))
    if (!Bun.deepEquals(shown(theirs), shown(unknown)) || !nothing) different.push({ name, theirs, unknown })
  }
  expect(different).toEqual([])
})

/** Before anything is looked up: nobody is there, or the arguments are none. */
const early = ["UNAUTHENTICATED", "VALIDATION_FAILED"]

test("without a session no such operation looks anything up, but for what is public", async () => {
  const answered: Array<object> = []
  for (const [name, row] of Object.entries(rows)) {
    if (row.open === "profiles are public") continue
    const answer = await world.ask(undefined, documentOf(name, row), { id: world.theirs[row.of] })
    if (!early.includes(answer.errors?.[0]?.extensions?.code ?? "")) answered.push({ name, answer })
  }
  expect(answered).toEqual([])
})

test("what is theirs is there for those whom it belongs to", async () => {
  const { ada, admin } = world.tokens
  for (const [of, token] of [
    ["Interaction", ada],
    ["Message", ada],
    ["Session", ada],
    ["Report", admin]
  ] as const) {
    const answer = await world.ask(token, "query ($id: ID!) { node(id: $id) { __typename } }", { id: world.theirs[of] })
    expect(answer).toEqual({ data: { node: { __typename: of } } })
  }
})

/** Each root field with one argument that does not fit at all, and holds a secret. */
const misfits = (): ReadonlyArray<readonly [query: string, variables: object]> =>
  [schema.getQueryType(), schema.getMutationType()].flatMap((root) =>
    Object.values(root?.getFields() ?? {}).flatMap((field) => {
      const set = isCompositeType(getNamedType(field.type)) ? " { __typename }" : ""
      const kind = root === schema.getMutationType() ? "mutation" : "query"
      const declared = field.args.map(({ name, type }) => `$${name}: ${String(type)}`).join(", ")
      const given = field.args.map(({ name }) => `${name}: $${name}`).join(", ")
      return field.args.flatMap(({ name }) =>
        [
          canaries.body,
          { [name]: canaries.body, password: canaries.password },
          [canaries.email],
          canaries.body.repeat(300)
        ].map((value) => [`${kind} (${declared}) { ${field.name}(${given})${set} }`, { [name]: value }] as const)
      )
    })
  )

const rootFields = (): ReadonlyArray<string> =>
  [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((root) =>
    Object.keys(root?.getFields() ?? {}).map((field) => `${root?.name}.${field}`)
  )

/** What the server has counted so far. */
const counted = async (name: string): Promise<number> => {
  const text = await (await fetch(`${world.server.url}/metrics`)).text()
  return [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))].reduce(
    (sum, [, n]) => sum + Number(n),
    0
  )
}

/** The statements of one call: as counted for it, or, of a subscription's begin, all that ran meanwhile, at best. */
const statementsOf = async (one: operations.Row, call: () => Promise<Answer>): Promise<readonly [number, Answer]> => {
  const isStream = one.name.startsWith("Subscription.")
  const metric = isStream ? "connect_database_queries_total" : "connect_request_database_queries_sum"
  let [least, answer]: [number, Answer] = [Infinity, {}]
  for (let n = 0; n < (isStream ? 8 : 1) && least > operationQueriesMax; n++) {
    const before = await counted(metric)
    answer = await call()
    least = Math.min(least, (await counted(metric)) - before)
  }
  return [least, answer]
}

test("each operation of the schema succeeds with at most five statements, and none is left out", async () => {
  expect([...new Set(operations.rows.map(({ name }) => name))].sort()).toEqual([...rootFields()].sort())
  const eve = await world.ask(world.tokens.eve, "{ viewer { user { id } } }")
  const { user } = eve.data!["viewer"] as { readonly user: { readonly id: string } }
  let kept: operations.Kept = { ...world.theirs, ...world.tokens, Eve: user.id }
  const measured: Array<string> = []
  const failed: Array<object> = []
  for (const one of operations.rows) {
    const [statements, answer] = await statementsOf(one, () =>
      world.ask(kept[one.who], one.document, one.variables?.(kept))
    )
    const value = answer.data?.[one.name.split(".")[1]!]
    if (answer.errors !== undefined || value === undefined) failed.push({ name: one.name, answer })
    else kept = { ...kept, ...one.keep?.(value as object) }
    measured.push(`${one.name} ${statements}`)
  }
  expect(failed).toEqual([])
  expect(measured.filter((text) => Number(text.split(" ")[1]) > operationQueriesMax)).toEqual([])
}, 60_000)

test("no log, metric, health report or error has a password, a token, an address or anybody's words", async () => {
  const { ask, server, theirs, tokens } = world
  const secrets = [...Object.values(canaries), ...Object.values(tokens)]
  const found = new Set<string>()
  const look = (where: string, text: string): void => {
    for (const secret of secrets) if (text.includes(secret)) found.add(`${where}: ${secret}`)
  }
  const tried = async (token: string | undefined, query: string, variables: object): Promise<void> => {
    const { errors } = await ask(token, query, variables)
    look(`errors of ${query.slice(0, 200)}`, JSON.stringify(errors ?? []))
    look("log", server.output())
  }
  const { ada, eve } = tokens
  const send = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { id body } }"
  const message = { interactionId: theirs["Interaction"], clientKey: "again", body: canaries.body }
  const operations: ReadonlyArray<readonly [token: string | undefined, query: string, variables?: object]> = [
    [eve, "{ viewer { email user { id } sessions { id userAgent } } }"],
    [
      undefined,
      'mutation ($p: String!) { signIn(handle: "eve", password: $p) { token } }',
      { p: canaries.wrongPassword }
    ],
    [
      undefined,
      'mutation ($p: String!, $e: String) { signUp(handle: "eve", password: $p, email: $e) { token } }',
      { p: canaries.password, e: canaries.email }
    ],
    [
      undefined,
      'mutation ($p: String!, $e: String) { signUp(handle: "eve2", password: $p, email: $e) { token } }',
      { p: canaries.password, e: canaries.email }
    ],
    [eve, "mutation ($p: String!) { changePassword(current: $p, next: $p) { token } }", { p: canaries.wrongPassword }],
    [`${eve}x`, "{ viewer { role } }"],
    [ada, send, { input: message }],
    [ada, send, { input: { ...message, body: canaries.details } }],
    [ada, send, { input: { ...message, body: canaries.body.repeat(200) } }],
    [eve, send, { input: message }],
    [
      ada,
      "query ($id: ID!) { interaction(id: $id) { messages { edges { node { body } } } } }",
      { id: theirs["Interaction"] }
    ],
    [
      ada,
      "query ($text: String!) { searchMessages(text: $text) { edges { node { snippet } } } }",
      { text: canaries.search }
    ],
    [ada, "query ($text: String!) { searchUsers(text: $text) { edges { cursor } } }", { text: canaries.search }],
    [
      eve,
      "subscription ($id: ID!) { interactionEvents(interactionId: $id) { __typename } }",
      { id: theirs["Interaction"] }
    ],
    [ada, `{ history(after: "${canaries.search}") { edges { cursor } } }`],
    [ada, `mutation { sendMessage(input: "${canaries.body}") { id } }`],
    [ada, `{ "${canaries.body}" }`],
    [tokens.admin, "{ moderationQueue { edges { node { details } } } auditLog { edges { node { verb target } } } }"]
  ]
  for (const [token, query, variables] of operations) await tried(token, query, variables ?? {})
  for (const [query, variables] of misfits()) await tried(ada, query, variables)
  for (const path of ["/metrics", "/health?history", "/actors"]) {
    look(path, await (await fetch(`${server.url}${path}`)).text())
  }
  look("log", server.output())
  expect([...found]).toEqual([])
  expect(server.output().length).toBeGreaterThan(10_000)
}, 60_000)
