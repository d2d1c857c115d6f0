import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { isBoundary } from "./Boundary.ts"
import { fingerprint } from "./Fingerprint.ts"

/** Times that one field may run the same statement for one request; above it, the field lacks a batch. */
export const repeatsMax = 3

/** Statements of a field that are remembered; more are only counted. */
const rememberedMax = 200

/** What one request, or one field of it, asked of the database. A request holds the counts of its fields. */
export class QueryCount {
  queries = 0
  millis = 0
  readonly name: string | undefined
  readonly parent: QueryCount | undefined
  readonly statements: Array<string> = []
  private fields: Map<string, QueryCount> | undefined

  constructor(name?: string, parent?: QueryCount) {
    this.name = name
    this.parent = parent
  }

  /** The count of one field, such as `User.matches`; what it counts, the request counts too. */
  of(field: string): QueryCount {
    this.fields ??= new Map()
    let count = this.fields.get(field)
    if (count === undefined) this.fields.set(field, (count = new QueryCount(field, this)))
    return count
  }

  /** Counts a statement. The ends of a transaction are not reads or writes and count for nothing. */
  asked(sql: string): void {
    if (isBoundary(sql)) return
    this.queries++
    if (this.parent === undefined) return
    this.parent.queries++
    if (this.statements.length < rememberedMax) this.statements.push(sql)
  }

  took(millis: number): void {
    this.millis += millis
    if (this.parent !== undefined) this.parent.millis += millis
  }

  /** How many statements each field asked for: `Type.field 2`. */
  summary(): ReadonlyArray<string> {
    return [...(this.fields?.values() ?? [])].map(({ name, queries }) => `${name ?? ""} ${queries}`)
  }

  /** The fields that ran the same statement more than `repeatsMax` times: N+1, one statement for each of N rows. */
  repeated(): ReadonlyArray<Repeated> {
    // Nearly always: with so few statements nothing can be repeated, and nothing is compared.
    if (this.queries <= repeatsMax || this.fields === undefined) return []
    return [...this.fields.values()].flatMap(repeatedOf)
  }
}

/** A field that asks the database one by one. */
export interface Repeated {
  /** `Type.field`. */
  readonly field: string
  readonly fingerprint: string
  readonly times: number
}

const repeatedOf = ({ name = "", statements }: QueryCount): ReadonlyArray<Repeated> => {
  if (statements.length <= repeatsMax) return []
  const times = new Map<string, number>()
  for (const sql of statements) {
    const form = fingerprint(sql)
    times.set(form, (times.get(form) ?? 0) + 1)
  }
  return [...times].flatMap(([form, count]) =>
    count > repeatsMax ? [{ field: name, fingerprint: form, times: count }] : []
  )
}

/** The count of the request, or of its field, that this fiber works for. */
export const currentQueryCount: FiberRef.FiberRef<QueryCount | undefined> = FiberRef.unsafeMake<QueryCount | undefined>(
  undefined
)

/** Runs `effect` with a fresh count and returns both. */
export const counted = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, QueryCount], E, R> =>
  Effect.suspend(() => {
    const count = new QueryCount()
    return Effect.map(Effect.locally(effect, currentQueryCount, count), (a) => [a, count] as const)
  })
