import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Client, GraphqlFailure } from "../kit/Client.ts"
import { type Server, startServer } from "../kit/server.ts"
import { twoMatched } from "../kit/talk.ts"

let server: Server
beforeAll(async () => {
  server = await startServer({ QUEUE_CAPACITY: "2", BODY_LIMIT: "20000" })
}, 60_000)
afterAll(() => server.stop(), 30_000)

const guest = async (): Promise<Client> => {
  const client = new Client(server.url)
  const { signInAsGuest } = await client.once<{ readonly signInAsGuest: { readonly token: string } }>(
    "mutation { signInAsGuest { token } }"
  )
  client.token = signInAsGuest.token
  return client
}

/** The code of the failure that the call ends with. */
const failure = (call: Promise<unknown>): Promise<GraphqlFailure> =>
  call.then(
    (data) => {
      throw new Error(`accepted: ${JSON.stringify(data)}`)
    },
    (error: unknown) => {
      if (error instanceof GraphqlFailure) return error
      throw error
    }
  )

describe("bad input gets a typed error", () => {
  const cases: Readonly<Record<string, readonly [code: string, query: string, variables?: Record<string, unknown>]>> = {
    "an unknown field": ["VALIDATION_FAILED", "{ viewer { shoeSize } }"],
    "an unknown operation": ["VALIDATION_FAILED", "mutation { appeal(actionId: 1, statement: 2) { id } }"],
    "a query that does not parse": ["BAD_REQUEST", "{ viewer {"],
    "a wrong type": [
      "VALIDATION_FAILED",
      "query($first: Int) { history(first: $first) { edges { cursor } } }",
      { first: "ten" }
    ],
    "a page that is too large": ["VALIDATION_FAILED", "{ history(first: 101) { edges { cursor } } }"],
    "a negative page": ["VALIDATION_FAILED", "{ history(first: -1) { edges { cursor } } }"],
    "a cursor that we never gave": ["VALIDATION_FAILED", '{ history(after: "bm90IG91cnM") { edges { cursor } } }'],
    "an id of the wrong type": [
      "VALIDATION_FAILED",
      '{ interaction(id: "usr_00000000000070008000000000000000") { id } }'
    ],
    "a handle that is no handle": [
      "VALIDATION_FAILED",
      'mutation { signUp(handle: "A B", password: "long enough") { token } }'
    ],
    "a password that is too short": [
      "VALIDATION_FAILED",
      'mutation { signUp(handle: "abc", password: "short") { token } }'
    ],
    "an interest that is no slug": [
      "VALIDATION_FAILED",
      'mutation { updateProfile(input: { interests: ["ok", "Not Ok"] }) { id } }'
    ],
    "over-long text": [
      "VALIDATION_FAILED",
      "mutation($bio: String) { updateProfile(input: { bio: $bio }) { id } }",
      { bio: "x".repeat(501) }
    ],
    "a NUL in a text": [
      "VALIDATION_FAILED",
      "mutation($bio: String) { updateProfile(input: { bio: $bio }) { id } }",
      { bio: "a\u0000b" }
    ],
    "a NUL in a handle that is looked up": ["VALIDATION_FAILED", '{ user(handle: "a\\u0000b") { id } }'],
    "a NUL in a handle that signs in": [
      "VALIDATION_FAILED",
      'mutation { signIn(handle: "a\\u0000b", password: "long enough") { token } }'
    ],
    "an unknown input field": ["VALIDATION_FAILED", 'mutation { updateProfile(input: { shoeSize: "46" }) { id } }'],
    "somebody else's interaction": [
      "NOT_FOUND",
      'mutation { sendMessage(input: { interactionId: "int_00000000000070008000000000000000", clientKey: "a", body: "b" }) { seq } }'
    ]
  }
  for (const [name, [code, query, variables]] of Object.entries(cases))
    test(name, async () => {
      const { message, ...error } = await failure((await guest()).once(query, variables))
      expect(error.code).toBe(code)
      expect(message).not.toBe("")
    })

  test("a body over the limit", async () => {
    const response = await fetch(`${server.url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: `{ viewer { user { id } } } #${"x".repeat(30_000)}` })
    })
    expect(response.status).toBe(413)
    expect(await response.text()).toContain("PAYLOAD_TOO_LARGE")
  })
})

test("a message that is too long is refused and nothing of the talk is lost", async () => {
  const { interactionId, people } = await twoMatched(server.url)
  const send = (clientKey: string, body: string) =>
    people[0].client.once<{ readonly sendMessage: { readonly seq: number } }>(
      "mutation($input: SendMessageInput!) { sendMessage(input: $input) { seq } }",
      { input: { interactionId, clientKey, body } }
    )
  expect((await send("one", "first")).sendMessage.seq).toBe(1)
  expect((await failure(send("two", "x".repeat(4_001)))).code).toBe("VALIDATION_FAILED")
  expect((await failure(send("one", "something else"))).code).toBe("CONFLICT")
  expect((await send("one", "first")).sendMessage.seq).toBe(1)
  expect((await send("three", "x".repeat(4_000))).sendMessage.seq).toBe(2)
  for (const person of people) person.leave()
})

test("a queue at its bound says so and takes people again when there is room", async () => {
  const join =
    "mutation($key: ClientKey!, $language: String!) { joinQueue(input: { clientKey: $key, languages: [$language] }) { state } }"
  const people = await Promise.all([guest(), guest(), guest()])
  // Three who share no language wait for ever.
  await people[0]!.once(join, { key: "a", language: "aa" })
  await people[1]!.once(join, { key: "b", language: "bb" })
  const error = await failure(people[2]!.once(join, { key: "c", language: "cc" }))
  expect(error.code).toBe("QUEUE_FULL")
  expect(error.retryable).toBe(true)
  await people[0]!.once("mutation { leaveQueue }")
  await people[2]!.once(join, { key: "c", language: "cc" })
  await Promise.all(people.map((client) => client.once("mutation { leaveQueue }")))
})

test("a session revoked in the middle of a subscription closes the socket", async () => {
  const { people } = await twoMatched(server.url)
  const [person] = people
  const closed = new Promise<unknown>((resolve) => {
    person.client.listen("subscription { inbox { __typename } }", {}, () => undefined, resolve)
  })
  const { viewer } = await person.client.once<{
    readonly viewer: { readonly sessions: ReadonlyArray<{ readonly id: string; readonly current: boolean }> }
  }>("{ viewer { sessions { id current } } }")
  const id = viewer.sessions.find((session) => session.current)!.id
  await person.client.once("mutation($id: ID!) { revokeSession(id: $id) }", { id })
  expect(await closed).toMatchObject({ code: 4403 })
  expect((await failure(person.client.once("{ viewer { user { id } } }"))).code).toBe("SESSION_EXPIRED")
  for (const each of people) each.leave()
})
