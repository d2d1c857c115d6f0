import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { identity } from "effect/Function"
import * as Tracer from "effect/Tracer"
import type { Run, Wanted } from "./Call.ts"
import type { DriverResult } from "./Driver.ts"
import { encode } from "./Parameters.ts"
import { makeShapes, type Shape } from "./Shape.ts"

/** A statement for `run`. */
export const wanted = (
  sql: string,
  params: ReadonlyArray<unknown>,
  changes?: Partial<Omit<Wanted, "sql" | "params">>
): Wanted => ({ sql, params: params.map(encode), arrays: false, prepare: true, ...changes })

/** @effect/sql types its rows `any` here; the caller of `sql<Row>` names what they are. */
// oxlint-disable-next-line typescript/no-explicit-any
export const rowsOf = ({ rows }: DriverResult): ReadonlyArray<any> => rows

/** What may be a fragment or a helper of @effect/sql, whose text differs with its value. */
const mayBeText = (arg: unknown): boolean =>
  typeof arg === "object" &&
  arg !== null &&
  !Array.isArray(arg) &&
  !(arg instanceof Date) &&
  !(arg instanceof Uint8Array)

/** `["a = ", " and b = ", ""]` -> `a = $1 and b = $2`. */
const textOf = (strings: ReadonlyArray<string>): string =>
  strings.reduce((text, part, index) => `${text}$${index}${part}`)

/** Whether the span of a statement would be seen by anybody, or a transformer wants to change it. */
const isPlain = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.getFiberRef(Statement.currentTransformer)._tag === "None" &&
  (!fiber.getFiberRef(FiberRef.currentTracerEnabled) ||
    Context.getOrElse(fiber.currentContext, Tracer.ParentSpan, () => undefined)?.sampled === false)

/** Where the queries of one client run. */
interface Source {
  readonly base: Statement.Constructor
  readonly pooled: Run
  /** Of a transaction's connection; undefined for one that is not the client's, such as one that begins when it is used. */
  readonly runOf: (connection: Connection) => Run | undefined
  readonly shapeOf: (sql: string) => Shape
  /** By place in the program: its text is put together once. */
  readonly shapes: WeakMap<ReadonlyArray<string>, Shape>
}

/**
 * A statement that costs its caller no span and no scope where nobody looks at spans, and no text after the first time.
 * Where somebody does, and for all but its rows, it is @effect/sql's own.
 */
class Query<A extends object> extends Effectable.Class<ReadonlyArray<A>, SqlError> implements Statement.Statement<A> {
  private readonly source: Source
  private readonly strings: TemplateStringsArray
  private readonly args: ReadonlyArray<unknown>
  private built: Statement.Statement<A> | undefined

  constructor(source: Source, strings: TemplateStringsArray, args: ReadonlyArray<unknown>) {
    super()
    this.source = source
    this.strings = strings
    this.args = args
  }

  override commit(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      if (!isPlain(fiber)) return this.general
      const transaction = fiber.currentContext.unsafeMap.get(SqlClient.TransactionConnection.key)
      const run = transaction === undefined ? this.source.pooled : this.source.runOf(transaction[0])
      return run === undefined ? this.general : run(this.wanted(), rowsOf)
    })
  }

  private wanted(): Wanted {
    const { shapeOf, shapes } = this.source
    if (this.args.some(mayBeText)) {
      const [sql, params] = this.compile()
      return wanted(sql, params, { shape: shapeOf(sql) })
    }
    let shape = shapes.get(this.strings)
    if (shape === undefined) shapes.set(this.strings, (shape = shapeOf(textOf(this.strings))))
    return { sql: shape.sql, params: this.args.map(encode), arrays: false, prepare: true, shape }
  }

  private get general(): Statement.Statement<A> {
    return (this.built ??= this.source.base<A>(this.strings, ...this.args))
  }

  get [Statement.FragmentId]() {
    return identity
  }
  get segments() {
    return this.general.segments
  }
  get raw() {
    return this.general.raw
  }
  get withoutTransform() {
    return this.general.withoutTransform
  }
  get stream() {
    return this.general.stream
  }
  get values() {
    return this.general.values
  }
  get unprepared() {
    return this.general.unprepared
  }
  compile(withoutTransform?: boolean) {
    return this.general.compile(withoutTransform)
  }
}

/** `client` with templates that are Queries. */
export const templates = (
  client: SqlClient.SqlClient,
  { pooled, runOf }: Pick<Source, "pooled" | "runOf">
): SqlClient.SqlClient => {
  const source: Source = { base: client, pooled, runOf, shapeOf: makeShapes(), shapes: new WeakMap() }
  const sql = (text: TemplateStringsArray | string, ...args: ReadonlyArray<unknown>) =>
    typeof text === "string" ? client(text) : new Query(source, text, args)
  const made = Object.assign(sql, client) as SqlClient.SqlClient
  return Object.assign(made, { safe: made })
}
