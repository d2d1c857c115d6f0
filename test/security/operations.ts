import { canaries } from "./world.ts"

type Who = "ada" | "grace" | "eve" | "admin" | "nobody" | "newcomer"

/** Ids of what is there, and what earlier calls gave. */
export type Kept = Readonly<Record<string, string>>

interface Answered {
  readonly id?: string
  readonly token?: string
  readonly sessions?: ReadonlyArray<{ readonly id: string; readonly current: boolean }>
}

/** One call of an operation that succeeds, and what the calls after it need of its answer. */
export interface Row {
  readonly name: string
  readonly who: Who
  readonly document: string
  readonly variables?: (kept: Kept) => object
  readonly keep?: (answered: Answered) => Kept
}

const person = "{ id handle displayName bio interests languages region presence createdAt }"
const face = "{ id handle displayName }"
const message = `{ id seq sender ${person} body state createdAt clientKey }`
const talk = `{ id state participants { user ${person} joinedAt leftAt lastReadSeq } startedAt endedAt lastSeq unreadCount }`
const page = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
const report = `{ id reporter ${face} subject ${face} message { id body sender ${face} } reason details state priority
  claimedBy ${face} }`
const action = "{ id kind reason startsAt expiresAt revokedAt }"
const auth = "{ token expiresAt viewer { role user { id handle displayName } } }"
const { body, details, email, nextPassword, password, profile, reason, search } = canaries

/** `query (…) { viewer …`: its name is that of the field behind the bracket. */
const row = (who: Who, document: string, variables?: Row["variables"], keep?: Row["keep"]): Row => {
  const [, kind = "query", , field = ""] =
    /^(query|mutation|subscription)?( ?\([^)]*\))? ?\{\s*(\w+)/.exec(document) ?? []
  return {
    name: `${kind.charAt(0).toUpperCase()}${kind.slice(1)}.${field}`,
    who,
    document,
    ...(variables === undefined ? {} : { variables }),
    ...(keep === undefined ? {} : { keep })
  }
}

const idAs =
  (name: string): Row["keep"] =>
  ({ id = "" }) => ({ [name]: id })
const tokenOf: Row["keep"] = ({ token = "" }) => ({ newcomer: token })

const byId = "$id: ID!"
const of = (type: string) => (kept: Kept) => ({ id: kept[type] })

const queries: ReadonlyArray<Row> = [
  ...["User", "Interaction", "Message", "Session"].map((type) =>
    row("ada", `query (${byId}) { node(id: $id) { __typename id } }`, of(type))
  ),
  row("ada", `{ viewer { user ${person} email role sessions { id userAgent current } unreadCount } }`),
  row("ada", `{ viewer { blocked { edges { node ${person} } ${page} } ticket { id state } restrictions ${action} } }`),
  row("ada", `{ viewer { interactions(first: 50) { edges { node ${talk} cursor } ${page} } } }`),
  row("ada", `query (${byId}) { user(id: $id) ${person} }`, of("User")),
  row("ada", `query ($handle: String!) { user(handle: $handle) ${person} }`, () => ({ handle: "eve" })),
  row(
    "ada",
    `query ($text: String!) { searchUsers(text: $text, first: 50) { edges { node ${person} } ${page} } }`,
    () => ({ text: search })
  ),
  row("ada", `query (${byId}) { interaction(id: $id) ${talk} }`, of("Interaction")),
  row(
    "ada",
    `query (${byId}) { interaction(id: $id) { id unreadCount participants { user ${person} lastReadSeq }
      messages(first: 50) { edges { node ${message} cursor } ${page} } } }`,
    of("Interaction")
  ),
  row("ada", `{ history(first: 50) { edges { node ${talk} cursor } ${page} } }`),
  row(
    "ada",
    `query ($text: String!) { searchMessages(text: $text) { edges { node { message ${message} snippet rank } } ${page} } }`,
    () => ({ text: "canary" })
  ),
  row("ada", "{ queueStats { waiting matchesPerMinute waitMillisP50 waitMillisP95 } }"),
  row("admin", `{ moderationQueue(first: 50) { edges { node ${report} cursor } ${page} } }`),
  row("admin", `{ auditLog(first: 50) { edges { node { id actor ${person} verb target at hash } } ${page} } }`)
]

const subscriptions: ReadonlyArray<Row> = [
  row(
    "ada",
    `subscription (${byId}) { interactionEvents(interactionId: $id) {
      __typename ... on MessageAdded { seq message ${message} } ... on CaughtUp { seq } } }`,
    of("Interaction")
  ),
  row("ada", "subscription { inbox { __typename } }"),
  row("ada", "subscription { queueStats { waiting } }")
]

const about =
  (clientKey: string, more: (kept: Kept) => object): Row["variables"] =>
  (kept) => ({
    input: {
      subjectId: kept["User"],
      interactionId: kept["Interaction"],
      reason: "SPAM",
      details,
      clientKey,
      ...more(kept)
    }
  })

const reporting = `mutation ($input: ReportInput!) { report(input: $input) ${report} }`
const signingIn = `mutation ($p: String!) { signIn(handle: "newcomer", password: $p) ${auth} }`

const mutations: ReadonlyArray<Row> = [
  row("ada", `mutation ($input: ProfileInput!) { updateProfile(input: $input) ${person} }`, () => ({
    input: { bio: profile }
  })),
  row("ada", `mutation (${byId}) { block(userId: $id) }`, of("Eve")),
  row("ada", `mutation (${byId}) { unblock(userId: $id) }`, of("Eve")),
  row(
    "eve",
    `mutation ($input: JoinQueueInput!) { joinQueue(input: $input) { id state waitedMillis match { id } } }`,
    () => ({
      input: { interests: ["none-of-theirs"], clientKey: "all" }
    })
  ),
  row("eve", "mutation { leaveQueue }"),
  row("ada", `mutation ($input: SendMessageInput!) { sendMessage(input: $input) ${message} }`, (kept) => ({
    input: { interactionId: kept["Interaction"], clientKey: "all", body }
  })),
  row("ada", `mutation (${byId}) { setTyping(interactionId: $id, typing: true) }`, of("Interaction")),
  row("ada", `mutation (${byId}) { markRead(interactionId: $id, seq: 1) }`, of("Interaction")),
  row(
    "grace",
    reporting,
    about("all1", (kept) => ({ messageId: kept["Message"] })),
    idAs("Report1")
  ),
  row(
    "grace",
    reporting,
    about("all2", () => ({})),
    idAs("Report2")
  ),
  row("admin", `mutation (${byId}) { claimReport(id: $id) ${report} }`, of("Report1")),
  row("admin", `mutation (${byId}, $why: String!) { dismissReport(id: $id, reason: $why) ${report} }`, (kept) => ({
    id: kept["Report1"],
    why: reason
  })),
  row(
    "admin",
    `mutation ($input: ModerateInput!) { moderate(input: $input) ${action} }`,
    ({ Report2: reportId, User: subjectId }) => ({
      input: { subjectId, reportId, kind: "MUTE", reason, clientKey: "all" }
    }),
    idAs("Action")
  ),
  row("admin", `mutation (${byId}, $why: String!) { revokeAction(id: $id, reason: $why) ${action} }`, (kept) => ({
    id: kept["Action"],
    why: reason
  })),
  row("ada", `mutation (${byId}) { endInteraction(interactionId: $id) ${talk} }`, of("Interaction")),
  row("nobody", `mutation ($profile: ProfileInput) { signInAsGuest(profile: $profile) ${auth} }`, () => ({
    profile: { bio: profile }
  })),
  row(
    "nobody",
    `mutation ($p: String!, $e: String, $profile: ProfileInput) {
      signUp(handle: "newcomer", password: $p, email: $e, profile: $profile) ${auth} }`,
    () => ({ p: password, e: email, profile: { bio: profile } })
  ),
  row("nobody", signingIn, () => ({ p: password }), tokenOf),
  row("newcomer", "{ viewer { sessions { id current } } }", undefined, ({ sessions = [] }) => ({
    Other: sessions.find(({ current }) => !current)?.id ?? ""
  })),
  row("newcomer", `mutation (${byId}, $p: String) { revokeSession(id: $id, password: $p) }`, (kept) => ({
    id: kept["Other"],
    p: password
  })),
  row("newcomer", "mutation ($p: String) { revokeAllSessions(password: $p) }", () => ({ p: password })),
  row(
    "newcomer",
    `mutation ($p: String!, $n: String!) { changePassword(current: $p, next: $n) ${auth} }`,
    () => ({ p: password, n: nextPassword }),
    tokenOf
  ),
  row("newcomer", "mutation { signOut }"),
  row("admin", `mutation (${byId}) { endSessions(userId: $id) }`, of("Eve"))
]

/** A call of each operation, in an order in which each succeeds. */
export const rows: ReadonlyArray<Row> = [...queries, ...subscriptions, ...mutations]
