import Pg from "pg"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Ids from "../../src/domain/Ids.ts"
import * as Postgres from "../kit/Postgres.ts"
import { type Server, startServer } from "../kit/server.ts"
import { twoMatched } from "../kit/talk.ts"

/** What must never be seen outside of answers to those whom it belongs to. */
export const canaries = {
  password: "canary-password-of-ada",
  wrongPassword: "canary-password-that-is-wrong",
  nextPassword: "canary-password-that-is-next",
  email: "canary.mail@example.org",
  body: "canary words of a message",
  details: "canary details of a report",
  search: "canary words to search for",
  profile: "canary words of a profile",
  reason: "canary reason of a moderator",
  agent: "canary-browser/1.0",
  address: "203.0.113.77"
} as const

/** What an operation answered. */
export interface Answer {
  readonly data?: Readonly<Record<string, unknown>> | null
  readonly errors?: ReadonlyArray<{ readonly message: string; readonly extensions?: { readonly code?: string } }>
}

export interface World {
  readonly server: Server
  /** Grace's and Ada's talk, and what else is theirs: a global id by type. */
  readonly theirs: Readonly<Record<string, string>>
  readonly tokens: { readonly ada: string; readonly grace: string; readonly eve: string; readonly admin: string }
  /** Asks from the canary's address; of a subscription, what comes first. */
  readonly ask: (token: string | undefined, query: string, variables?: object) => Promise<Answer>
  readonly stop: () => Promise<void>
}

const listenMillis = 400

/** A field that must have been answered. */
const field = <A>(answer: Answer, name: string): A => {
  const value = answer.data?.[name]
  if (value === undefined || value === null) throw new Error(JSON.stringify(answer))
  return value as A
}

/** One server at its most talkative; two who talk, a report, an action, and Eve who has nothing to do with it. */
export const makeWorld = async (): Promise<World> => {
  const scope = Effect.runSync(Scope.make())
  const url = await Effect.runPromise(Scope.extend(Postgres.url, scope))
  const server = await startServer({
    DATABASE_URL: url,
    LOG_LEVEL: "Debug",
    ENABLE_QUERY_LOGGING: "true",
    SLOW_REQUEST_THRESHOLD: "1",
    SLOW_QUERY_THRESHOLD: "1",
    TRUSTED_PROXIES: "127.0.0.1"
  })

  const ask: World["ask"] = async (token, query, variables = {}) => {
    const isStream = query.startsWith("subscription")
    const response = await fetch(`${server.url}/graphql${isStream ? "/stream" : ""}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-forwarded-for": canaries.address,
        "user-agent": canaries.agent,
        ...(isStream ? { accept: "text/event-stream" } : {}),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
      },
      body: JSON.stringify({ query, variables }),
      ...(isStream ? { signal: AbortSignal.timeout(listenMillis) } : {})
    })
    if (!isStream || response.status !== 200) return (await response.json()) as Answer
    let text = ""
    try {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString("utf8")
    } catch {
      // It goes on: what came first is enough.
    }
    return JSON.parse(/^data: (.+)$/m.exec(text)?.[1] ?? "{}") as Answer
  }

  const signUp = async (handle: string): Promise<string> => {
    const answer = await ask(
      undefined,
      `mutation ($handle: String!, $password: String!, $email: String) {
        signUp(handle: $handle, password: $password, email: $email) { token }
      }`,
      { handle, password: canaries.password, email: handle === "eve" ? canaries.email : null }
    )
    return field<{ readonly token: string }>(answer, "signUp").token
  }

  const { interactionId, people } = await twoMatched(server.url)
  const eve = await signUp("eve")
  await signUp("ruth")
  const sql = new Pg.Client({ connectionString: url })
  await sql.connect()
  await sql.query("update users set role = 2 where handle = 'ruth'")
  const signedIn = await ask(
    undefined,
    `mutation ($password: String!) { signIn(handle: "ruth", password: $password) { token } }`,
    {
      password: canaries.password
    }
  )
  const admin = field<{ readonly token: string }>(signedIn, "signIn").token
  const ada = people[0].client.token!
  const input = { interactionId, clientKey: "first", body: canaries.body }
  const sent = await ask(ada, "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { id } }", { input })
  const { id: messageId } = field<{ readonly id: string }>(sent, "sendMessage")
  await ask(ada, "mutation ($input: ReportInput!) { report(input: $input) { id } }", {
    input: { subjectId: people[1].id, interactionId, reason: "SPAM", details: canaries.details, clientKey: "first" }
  })
  await ask(admin, "mutation ($input: ModerateInput!) { moderate(input: $input) { id } }", {
    input: { subjectId: people[0].id, kind: "WARN", reason: "be kind", clientKey: "first" }
  })
  const idOf = async (type: Ids.NodeType, statement: string, values: ReadonlyArray<string> = []): Promise<string> => {
    const { rows } = await sql.query<{ readonly id: string }>(statement, [...values])
    if (rows[0] === undefined) throw new Error(`There is no ${type}`)
    return Ids.toGlobal(type, rows[0].id)
  }
  const uuid = Ids.fromGlobal(people[0].id)!.uuid
  const theirs = {
    User: people[0].id,
    Interaction: interactionId,
    Message: messageId,
    Session: await idOf("Session", "select id from sessions where user_id = $1", [uuid]),
    Ticket: await idOf("Ticket", "select id from tickets where user_id = $1", [uuid]),
    Match: await idOf("Match", "select id from matches"),
    Report: await idOf("Report", "select id from reports"),
    ModerationAction: await idOf("ModerationAction", "select id from moderation_actions"),
    AuditEntry: await idOf("AuditEntry", "select id from audit_log"),
    VoiceNote: Ids.toGlobal("VoiceNote", "00000000-0000-7000-8000-000000000001")
  }
  await sql.end()
  return {
    server,
    theirs,
    tokens: { ada, grace: people[1].client.token!, eve, admin },
    ask,
    stop: async () => {
      for (const person of people) person.leave()
      await server.stop()
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
}
