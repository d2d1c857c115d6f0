import type { Outcome } from "./Exchange.ts"

/** Text that tells how the server is made. */
const leak = /\bat [^\n]{1,200}\.[jt]s:\d+|node_modules|\/src\/\w|SqlError|PostgresError|ECONNREFUSED|Cannot read prop/

/** Codes of what nobody foresaw. */
const unforeseen = new Set(["INTERNAL", "ACTOR_CRASHED"])

/** Statuses above 500 that are meant, with the code that says so. */
const deliberate: Readonly<Record<number, ReadonlyArray<string>>> = {
  503: ["OVERLOADED"],
  504: ["DEADLINE_EXCEEDED"]
}

interface Shown {
  readonly message?: unknown
  readonly extensions?: { readonly code?: unknown }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** The errors of an answer: of GraphQL over HTTP, of an event, or of a socket's message. */
const errorsOf = (answer: Readonly<Record<string, unknown>>): ReadonlyArray<Shown> => {
  const payload = answer["payload"]
  if (answer["type"] === "error" && Array.isArray(payload)) return payload as ReadonlyArray<Shown>
  const { errors } = isObject(payload) ? payload : answer
  return Array.isArray(errors) ? (errors as ReadonlyArray<Shown>) : []
}

/** What is wrong with an outcome, in few words; undefined when nothing is. */
export const judge = ({ answers, failure, status }: Outcome): string | undefined => {
  if (failure !== undefined) return failure
  const codes: Array<string> = []
  for (const text of answers) {
    // The HTTP parser refuses by itself, before there is a request: too large, or not HTTP.
    if (text === "" && (status === 400 || status === 431)) continue
    let answer: unknown
    try {
      answer = JSON.parse(text)
    } catch {
      return `status ${status} without JSON`
    }
    if (!isObject(answer)) return `status ${status} without a JSON object`
    for (const { extensions, message } of errorsOf(answer)) {
      const code = extensions?.code
      if (typeof code !== "string" || typeof message !== "string") return "an error without code or message"
      if (unforeseen.has(code)) return `an error with code ${code}`
      codes.push(code)
    }
    if (leak.test(text)) return `an answer that shows ${leak.exec(text)![0].slice(0, 80)}`
  }
  if (status >= 500 && !codes.some((code) => deliberate[status]?.includes(code))) return `status ${status}`
  return undefined
}
