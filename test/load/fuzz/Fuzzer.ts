import type { GraphQLSchema } from "graphql"
import { Client, GraphqlFailure } from "../../kit/Client.ts"
import { Chance } from "./Chance.ts"
import { exchange } from "./Exchange.ts"
import { Grammar } from "./Grammar.ts"
import { judge } from "./judge.ts"
import { smaller } from "./smaller.ts"
import * as Trial from "./Trial.ts"
import { Values } from "./Values.ts"

/** A request that should not have ended as it did, as small as it could be made. */
export interface Finding {
  readonly what: string
  readonly trial: Trial.Trial
  readonly shrinks: number
}

/** Requests sent at once. */
const workers = 8
/** Tries that making one finding smaller may take. */
const shrinkTriesMax = 150
/** A session is replaced after so many requests, or when it has ended. */
const requestsPerSession = 60
/** Findings after which it stops: most are the same one. */
const findingsMax = 5

const headersOf = (token: string | undefined): Readonly<Record<string, string>> => ({
  "content-type": "application/json",
  ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
})

const join = `mutation { joinQueue(input: { clientKey: "fuzz", interests: ["tea"], languages: ["en"] }) { id } }`

const belongings = `{
  viewer {
    user { id handle } ticket { id match { id } } sessions { id } restrictions { id }
    interactions { edges { node { id participants { user { id } } messages { edges { node { id } } } } } }
  }
  moderationQueue { edges { node { id } } }
}`

export class Fuzzer {
  requests = 0
  readonly byWay: Record<string, number> = {}
  /** Answers by the code of their first error; `ok` where there is none. */
  readonly byCode: Record<string, number> = {}
  readonly findings: Array<Finding> = []
  readonly #url: string
  readonly #seed: number
  readonly #values = new Values()
  readonly #grammar: Grammar
  readonly #privileged: (() => Promise<string>) | undefined
  #next = 0

  /** `privileged` signs in somebody who may do everything: one worker in four is that person. */
  constructor(url: string, schema: GraphQLSchema, seed: number, privileged?: () => Promise<string>) {
    this.#url = url
    this.#seed = seed
    this.#grammar = new Grammar(schema, this.#values)
    this.#privileged = privileged
  }

  /** Sends requests until the time is up or enough is found. */
  async run(seconds: number): Promise<void> {
    const until = performance.now() + seconds * 1_000
    const work = async (worker: number): Promise<void> => {
      let token: string | undefined
      let left = 0
      while (performance.now() < until && this.findings.length < findingsMax) {
        if (left-- <= 0) {
          token = await this.#signIn(worker % 4 === 3)
          left = requestsPerSession
        } else if (left % 20 === 0) await this.#look(token)
        const chance = new Chance(this.#seed * 1_000_003 + this.#next++)
        const trial = Trial.around(this.#grammar.operation(chance), token, chance)
        const codes = await this.#try(trial)
        if (codes.includes("SESSION_EXPIRED")) left = 0
      }
    }
    await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)))
  }

  /** Asks for what the person has, so that its ids are used: by the person, and by the others. */
  async #look(token: string | undefined): Promise<void> {
    const asked = { query: belongings, variables: {}, kind: "query" } as const
    const { answers } = await exchange(this.#url, Trial.make("post", headersOf(token), asked))
    for (const text of answers) this.#values.learn(text)
  }

  /** Somebody new, who waits for a match with the other workers. */
  async #guest(): Promise<string> {
    const client = new Client(this.#url)
    const { signInAsGuest } = await client.once<{ readonly signInAsGuest: { readonly token: string } }>(
      "mutation { signInAsGuest { token viewer { user { id handle } } } }"
    )
    client.token = signInAsGuest.token
    await client.once(join)
    return signInAsGuest.token
  }

  async #signIn(privileged: boolean): Promise<string | undefined> {
    try {
      if (privileged && this.#privileged !== undefined) return await this.#privileged()
      return await this.#guest()
    } catch (error) {
      if (error instanceof GraphqlFailure) return undefined
      throw error
    }
  }

  /** Sends one; what it shows of codes. */
  async #try(trial: Trial.Trial): Promise<ReadonlyArray<string>> {
    const outcome = await exchange(this.#url, trial)
    this.requests++
    this.byWay[trial.via] = (this.byWay[trial.via] ?? 0) + 1
    const codes = outcome.answers.flatMap((text) => {
      this.#values.learn(text)
      return [...text.matchAll(/"code":"([A-Z_]+)"/g)].map(([, code]) => code!)
    })
    const code = codes[0] ?? "ok"
    this.byCode[code] = (this.byCode[code] ?? 0) + 1
    const what = judge(outcome)
    if (what !== undefined) this.findings.push(await this.#shrunk(what, trial))
    return codes
  }

  /** The smallest trial on the way down that still ends in the same way. */
  async #shrunk(what: string, found: Trial.Trial): Promise<Finding> {
    let trial = found
    let shrinks = 0
    let tries = 0
    for (let went = true; went && tries < shrinkTriesMax;) {
      went = false
      for (const candidate of smaller(trial)) {
        if (++tries > shrinkTriesMax) break
        if (judge(await exchange(this.#url, candidate)) !== what) continue
        trial = candidate
        shrinks++
        went = true
        break
      }
    }
    return { what, trial, shrinks }
  }
}
