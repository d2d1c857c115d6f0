/**
 * The contract of the gateway. Clients are written against it: add to it freely, do not rename or remove.
 * A root field without a resolver is absent from the served schema, and so is a field that has arguments or is marked
 * `@resolved` (it is not a property of its parent), and whatever type only they reach (`servedSchema.ts`).
 * `@cacheControl` says for how many seconds an answer with the field may be kept, and for whom (`CachePolicy.ts`).
 * `@vital`, `@send` and `@bulk` say when load is shed (`Priority.ts`): last, late, first. Clients see none of these.
 * Failures are GraphQL errors with extensions { code, retryable, retryAfterMillis?, issues? }; codes: `src/errors.ts`.
 */
export const contract = /* GraphQL */ `
  directive @resolved on FIELD_DEFINITION
  directive @cacheControl(maxAge: Int!, scope: CacheScope = PRIVATE) on FIELD_DEFINITION
  enum CacheScope {
    PUBLIC
    PRIVATE
  }
  directive @vital on FIELD_DEFINITION
  directive @send on FIELD_DEFINITION
  directive @bulk on FIELD_DEFINITION

  "RFC 3339, UTC, milliseconds"
  scalar DateTime
  "Opaque; valid for the field and arguments that returned it"
  scalar Cursor
  "Chosen by the client, 1 to 64 of [A-Za-z0-9_-]; the same key by the same user returns the first result"
  scalar ClientKey

  interface Node {
    id: ID!
  }
  type PageInfo {
    hasNextPage: Boolean!
    hasPreviousPage: Boolean!
    startCursor: Cursor
    endCursor: Cursor
  }

  enum Role {
    USER
    MODERATOR
    ADMIN
  }
  enum Presence {
    ONLINE
    AWAY
    IN_INTERACTION
    OFFLINE
  }

  type User implements Node {
    id: ID!
    "3 to 24 of [a-z0-9_]"
    handle: String!
    displayName: String!
    bio: String
    "lower-case slugs, at most 50"
    interests: [String!]!
    "BCP 47"
    languages: [String!]!
    region: String
    presence: Presence!
    createdAt: DateTime!
  }
  type UserEdge {
    node: User!
    cursor: Cursor!
  }
  type UserConnection {
    edges: [UserEdge!]!
    pageInfo: PageInfo!
  }

  type Session implements Node {
    id: ID!
    createdAt: DateTime!
    lastUsedAt: DateTime!
    expiresAt: DateTime!
    userAgent: String
    current: Boolean!
  }
  type Viewer {
    user: User!
    email: String
    role: Role!
    sessions: [Session!]! @resolved
    blocked(first: Int = 20, after: Cursor): UserConnection!
    ticket: Ticket @resolved
    interactions(active: Boolean, first: Int = 20, after: Cursor): InteractionConnection!
    restrictions: [ModerationAction!]! @resolved
    unreadCount: Int! @resolved
  }

  enum TicketState {
    WAITING
    MATCHED
    CANCELLED
    EXPIRED
  }
  type Ticket implements Node {
    id: ID!
    state: TicketState!
    createdAt: DateTime!
    waitedMillis: Int!
    match: Match
  }
  type Match implements Node {
    id: ID!
    interaction: Interaction! @resolved
    sharedInterests: [String!]!
    score: Float!
    createdAt: DateTime!
  }
  type QueueStats {
    waiting: Int!
    matchesPerMinute: Float!
    waitMillisP50: Int!
    waitMillisP95: Int!
  }

  enum InteractionState {
    ACTIVE
    ENDED
  }
  enum EndReason {
    LEFT
    TIMEOUT
    MODERATED
  }
  type Participant {
    user: User!
    joinedAt: DateTime!
    leftAt: DateTime
    lastReadSeq: Int!
  }
  type Interaction implements Node {
    id: ID!
    state: InteractionState!
    participants: [Participant!]! @resolved
    startedAt: DateTime!
    endedAt: DateTime
    endReason: EndReason
    "number of the newest event; the first is 1, without gaps"
    lastSeq: Int!
    messages(first: Int, after: Cursor, last: Int, before: Cursor): MessageConnection!
    unreadCount: Int! @resolved
  }
  type InteractionEdge {
    node: Interaction!
    cursor: Cursor!
  }
  type InteractionConnection {
    edges: [InteractionEdge!]!
    pageInfo: PageInfo!
  }

  enum MessageState {
    VISIBLE
    HELD
    REMOVED
  }
  type Message implements Node {
    id: ID!
    interactionId: ID!
    seq: Int!
    sender: User @resolved
    body: String
    voiceNote: VoiceNote @resolved
    state: MessageState!
    createdAt: DateTime!
    clientKey: ClientKey!
  }
  type MessageEdge {
    node: Message!
    cursor: Cursor!
  }
  type MessageConnection {
    edges: [MessageEdge!]!
    pageInfo: PageInfo!
  }
  type VoiceNote implements Node {
    id: ID!
    url: String!
    durationMillis: Int!
    bytes: Int!
    mime: String!
    "0 to 100, 64 values"
    waveform: [Int!]!
  }
  "PUT the bytes to putUrl with the session and this content type; then send a message with voiceNoteId"
  type VoiceUpload {
    voiceNoteId: ID!
    putUrl: String!
    mime: String!
    bytesMax: Int!
    durationMillisMax: Int!
    expiresAt: DateTime!
  }
  type SearchHit {
    message: Message!
    "HTML-escaped, matches in <mark>"
    snippet: String!
    rank: Float!
  }
  type SearchHitEdge {
    node: SearchHit!
    cursor: Cursor!
  }
  type SearchHitConnection {
    edges: [SearchHitEdge!]!
    pageInfo: PageInfo!
  }

  enum ReportReason {
    SPAM
    HARASSMENT
    HATE
    SEXUAL
    MINOR_SAFETY
    SELF_HARM
    VIOLENCE
    SCAM
    OTHER
  }
  enum ReportState {
    OPEN
    CLAIMED
    ACTIONED
    DISMISSED
  }
  enum ModerationKind {
    WARN
    MUTE
    SHADOW_BAN
    BAN
    REMOVE_MESSAGE
    RESTORE_MESSAGE
    END_INTERACTION
  }
  enum AppealState {
    OPEN
    UPHELD
    OVERTURNED
  }
  type Report implements Node {
    id: ID!
    reporter: User
    subject: User!
    message: Message
    interactionId: ID
    reason: ReportReason!
    details: String
    state: ReportState!
    priority: Int!
    createdAt: DateTime!
    claimedBy: User
  }
  type ReportEdge {
    node: Report!
    cursor: Cursor!
  }
  type ReportConnection {
    edges: [ReportEdge!]!
    pageInfo: PageInfo!
  }
  type ModerationAction implements Node {
    id: ID!
    kind: ModerationKind!
    reason: String!
    startsAt: DateTime!
    expiresAt: DateTime
    revokedAt: DateTime
    appeal: Appeal @resolved
  }
  type Appeal implements Node {
    id: ID!
    state: AppealState!
    statement: String!
    decidedAt: DateTime
  }
  type AuditEntry implements Node {
    id: ID!
    actor: User
    verb: String!
    target: String!
    at: DateTime!
    hash: String!
  }
  type AuditEdge {
    node: AuditEntry!
    cursor: Cursor!
  }
  type AuditConnection {
    edges: [AuditEdge!]!
    pageInfo: PageInfo!
  }

  type Query {
    node(id: ID!): Node
    viewer: Viewer
    user(id: ID, handle: String): User @cacheControl(maxAge: 60)
    "at most 50; the closest handle, display name or interest first"
    searchUsers(text: String!, first: Int = 20, after: Cursor): UserConnection! @cacheControl(maxAge: 30) @bulk
    interaction(id: ID!): Interaction
    "past and present, newest first"
    history(first: Int = 20, after: Cursor, with: ID): InteractionConnection!
    "only in the viewer's own interactions"
    searchMessages(text: String!, interactionId: ID, first: Int = 20, after: Cursor): SearchHitConnection! @bulk
    queueStats: QueueStats! @cacheControl(maxAge: 1, scope: PUBLIC)
    moderationQueue(state: ReportState = OPEN, first: Int = 20, after: Cursor): ReportConnection! @bulk
    auditLog(target: ID, first: Int = 50, after: Cursor): AuditConnection! @bulk
  }

  type AuthPayload {
    token: String!
    expiresAt: DateTime!
    viewer: Viewer!
  }
  input ProfileInput {
    displayName: String
    bio: String
    languages: [String!]
    region: String
    interests: [String!]
  }
  input JoinQueueInput {
    "the profile's where absent"
    interests: [String!]
    languages: [String!]
    region: String
    clientKey: ClientKey!
  }
  input SendMessageInput {
    interactionId: ID!
    clientKey: ClientKey!
    "1 to 4,000 characters"
    body: String
    voiceNoteId: ID
  }
  input ReportInput {
    subjectId: ID!
    messageId: ID
    interactionId: ID
    reason: ReportReason!
    details: String
    clientKey: ClientKey!
  }
  input ModerateInput {
    subjectId: ID!
    kind: ModerationKind!
    reason: String!
    expiresAt: DateTime
    messageId: ID
    interactionId: ID
    reportId: ID
    clientKey: ClientKey!
  }

  type Mutation {
    signUp(handle: String!, password: String!, email: String, profile: ProfileInput): AuthPayload! @bulk
    signIn(handle: String!, password: String!): AuthPayload! @bulk
    "a throw-away account with a made-up handle"
    signInAsGuest(profile: ProfileInput): AuthPayload! @bulk
    signOut: Boolean! @vital
    "Another session than this one wants the password, or a sign-in of the last 15 minutes"
    revokeSession(id: ID!, password: String): Boolean! @vital
    revokeAllSessions(exceptCurrent: Boolean = true, password: String): Int! @vital
    changePassword(current: String!, next: String!): AuthPayload!
    updateProfile(input: ProfileInput!): User!
    block(userId: ID!): Boolean! @send
    unblock(userId: ID!): Boolean!
    joinQueue(input: JoinQueueInput!): Ticket!
    leaveQueue: Boolean! @send
    sendMessage(input: SendMessageInput!): Message! @send
    startVoiceNote(interactionId: ID!, mime: String!, bytes: Int!): VoiceUpload!
    setTyping(interactionId: ID!, typing: Boolean!): Boolean!
    markRead(interactionId: ID!, seq: Int!): Boolean!
    endInteraction(interactionId: ID!): Interaction! @send
    report(input: ReportInput!): Report! @bulk
    appeal(actionId: ID!, statement: String!): Appeal!
    claimReport(id: ID!): Report! @bulk
    dismissReport(id: ID!, reason: String!): Report! @bulk
    moderate(input: ModerateInput!): ModerationAction!
    revokeAction(id: ID!, reason: String!): ModerationAction!
    "For admins: all sessions of one person, or without userId those of everybody but the viewer; how many"
    endSessions(userId: ID): Int!
    decideAppeal(id: ID!, uphold: Boolean!, note: String!): Appeal!
    "a path to download everything kept about the viewer, JSON Lines, for 24 h"
    exportMyData: String! @bulk
    eraseMe(password: String): Boolean!
  }

  type MessageAdded {
    seq: Int!
    message: Message!
  }
  type MessageChanged {
    seq: Int!
    message: Message!
  }
  type ParticipantLeft {
    seq: Int!
    user: User!
  }
  type InteractionEnded {
    seq: Int!
    interaction: Interaction!
  }
  type Typing {
    user: User!
    typing: Boolean!
  }
  type ReadReceipt {
    user: User!
    seq: Int!
  }
  "sent once after the replay: everything up to seq has been delivered on this stream"
  type CaughtUp {
    seq: Int!
  }
  union InteractionEvent =
    | MessageAdded
    | MessageChanged
    | ParticipantLeft
    | InteractionEnded
    | Typing
    | ReadReceipt
    | CaughtUp

  type TicketUpdated {
    ticket: Ticket!
  }
  type MatchFound {
    match: Match!
  }
  type RestrictionPosted {
    action: ModerationAction!
  }
  type SessionRevoked {
    reason: String!
  }
  union InboxEvent = TicketUpdated | MatchFound | RestrictionPosted | SessionRevoked

  type Subscription {
    "replays from afterSeq, then live: each numbered event once, in order, across reconnects"
    interactionEvents(interactionId: ID!, afterSeq: Int = 0): InteractionEvent!
    "starts with the waiting ticket, or the match whose interaction goes on"
    inbox: InboxEvent!
    queueStats(everyMillis: Int = 1000): QueueStats!
    moderationFeed: Report!
  }
`
