import type {
  DocumentNode,
  ExecutionResult,
  FragmentDefinitionNode,
  GraphQLFormattedError,
  GraphQLSchema,
  OperationDefinitionNode
} from "graphql"
import {
  createSourceEventStream,
  getOperationAST,
  GraphQLError,
  Kind,
  OperationTypeNode,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  validate,
  visit
} from "graphql"
import type { Source } from "./assemble.ts"
import * as CachePolicy from "./CachePolicy.ts"
import * as Cost from "./cost.ts"
import { Execution } from "./Execution.ts"
import * as Failures from "./Failures.ts"
import { hasConditionalSubscription, tokensMax, tooLarge } from "./limits.ts"
import * as Persisted from "./Persisted.ts"
import type { ObjectPlan } from "./Plan.ts"
import { Planner } from "./Planner.ts"
import * as Priority from "./Priority.ts"
import type { Late, Run } from "./Run.ts"
import { coercer } from "./variables.ts"

/** Documents kept ready; the ones not used for longest go first. */
export const documentsMax = 1_000

/** A longer document is prepared each time it comes: the cache holds at most `documentsMax` times this many characters. */
export const documentCharactersMax = 16_384

/** Errors reported of one document. */
export const documentErrorsMax = 10

export type Variables = Readonly<Record<string, unknown>>

/** An operation that is ready to run: parsed, within the limits, valid, and planned. */
export interface Operation {
  readonly type: OperationTypeNode
  /** The operation's own name, for logs. */
  readonly name: string | undefined
  /** The first field asked for: what a subscription is about. */
  readonly rootField: string
  readonly schema: GraphQLSchema
  readonly document: DocumentNode
  /** SHA-256 of the document and the operation's name. */
  readonly hash: string
  /** How long its answers may be kept, and for whom; undefined: not at all. */
  readonly cachePolicy: CachePolicy.CachePolicy | undefined
  /** Its class when load is shed. */
  readonly priority: Priority.Priority
  /** What it costs with these variables, before it runs. */
  readonly cost: (variables: Variables) => number
  readonly execute: (run: Run, variables: Variables, root?: unknown) => ExecutionResult | Late<ExecutionResult>
  /** The events of a subscription, or why there are none. */
  readonly source: (run: Run, variables: Variables) => PromiseLike<Source | ExecutionResult>
  /** JSON of a result. */
  readonly stringify: (result: ExecutionResult) => string
}

/** Why a document cannot run. */
export interface Refused {
  readonly errors: ReadonlyArray<GraphQLFormattedError>
  /** The status where the newer media type allows one; 400 unless given. */
  readonly status?: number
}

/** Prepared operations of one schema, by text and operation name. */
export interface Prepared {
  readonly prepare: (query: string, operationName: string | null | undefined) => Operation | Refused
  /** One that has been prepared before; undefined: preparing it would cost something. */
  readonly known: (query: string, operationName: string | null | undefined) => Operation | undefined
  /** Documents kept now. */
  readonly size: () => number
}

interface Entry {
  readonly document: DocumentNode
  readonly operations: Map<string | undefined, Operation>
  used: boolean
}

const badRequest = (message: string): Refused => ({
  errors: [{ message, extensions: Failures.refusal("BadRequest") }]
})

/** Plans of one operation that are kept, one for each choice of its @skip and @include. */
const plansMax = 16

/** The plan for these variables. */
const planner = (schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) => {
  const fragments = new Map<string, FragmentDefinitionNode>()
  const conditions = new Set<string>()
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one)
  visit(document, {
    Directive: ({ arguments: given }) => {
      for (const { value } of given ?? []) if (value.kind === Kind.VARIABLE) conditions.add(value.name.value)
    }
  })
  const plans = new Map<string, ObjectPlan>()
  return (variables: Record<string, unknown>): ObjectPlan => {
    let key = ""
    for (const name of conditions) key += variables[name] === true ? "1" : "0"
    const known = plans.get(key)
    if (known !== undefined) return known
    const plan = new Planner(schema, fragments, variables).operation(operation)
    if (plans.size < plansMax) plans.set(key, plan)
    return plan
  }
}

const rootFieldOf = (operation: OperationDefinitionNode): string => {
  const first = operation.selectionSet.selections[0]
  return first?.kind === Kind.FIELD ? first.name.value : ""
}

const operationOf = (
  schema: GraphQLSchema,
  query: string,
  document: DocumentNode,
  operationName: string | undefined
): Operation | Refused => {
  const node = getOperationAST(document, operationName)
  if (node === null || node === undefined) {
    return badRequest(
      operationName === undefined
        ? "The document has several operations: say which one in operationName"
        : `The document has no operation "${operationName}"`
    )
  }
  const planOf = planner(schema, document, node)
  const coerce = coercer(schema, node)
  const isSerial = node.operation === OperationTypeNode.MUTATION
  const argsOf = (run: Run, variableValues: Variables, rootValue?: unknown) => ({
    schema,
    document,
    rootValue,
    contextValue: run,
    variableValues,
    operationName
  })
  return {
    type: node.operation,
    name: node.name?.value,
    rootField: rootFieldOf(node),
    schema,
    document,
    hash: Persisted.hash(`${operationName ?? ""}\n${query}`),
    cachePolicy: CachePolicy.of(schema, document, node),
    priority: Priority.of(schema, document, node),
    cost: Cost.of(schema, document, node),
    execute: (run, variables, root) => {
      const { coerced, errors } = coerce(variables)
      if (errors !== undefined) return { errors }
      return new Execution(run, coerced).start(planOf(coerced), root, isSerial)
    },
    source: (run, variables) =>
      createSourceEventStream(argsOf(run, variables)) as PromiseLike<unknown> as PromiseLike<Source | ExecutionResult>,
    stringify: JSON.stringify
  }
}

/** `explorer`: whether introspection is answered, and errors suggest names. */
export const make = (schema: GraphQLSchema, options: { readonly explorer: boolean }): Prepared => {
  const entries = new Map<string, Entry>()
  const rules = options.explorer ? specifiedRules : [...specifiedRules, NoSchemaIntrospectionCustomRule]
  const say = options.explorer ? (message: string) => message : withoutSuggestion

  const refuse = (errors: ReadonlyArray<GraphQLError>, tag: "ValidationFailed" | "BadRequest"): Refused => ({
    errors: errors.map(({ message, locations }) => ({
      message: say(Failures.withoutValue(message)),
      ...(locations === undefined ? {} : { locations }),
      extensions: Failures.refusal(tag)
    }))
  })

  const read = (query: string): Entry | Refused => {
    let document: DocumentNode
    try {
      document = parse(query, { maxTokens: tokensMax })
    } catch (error) {
      if (error instanceof GraphQLError) return refuse([error], "BadRequest")
      throw error
    }
    const excess = tooLarge(document)
    if (excess !== undefined) return badRequest(excess)
    if (!document.definitions.some((definition) => definition.kind === Kind.OPERATION_DEFINITION)) {
      return badRequest("The document has no operation")
    }
    // graphql's own rule about a subscription's fields throws at a variable there.
    if (hasConditionalSubscription(document)) {
      return badRequest("The field of a subscription takes neither @skip nor @include")
    }
    const errors = validate(schema, document, rules, { maxErrors: documentErrorsMax })
    return errors.length > 0 ? refuse(errors, "ValidationFailed") : { document, operations: new Map(), used: false }
  }

  /** Second chance: what was used since the last look stays once more. */
  const makeRoom = (): void => {
    for (const [query, entry] of entries) {
      if (entries.size < documentsMax) return
      entries.delete(query)
      if (entry.used) {
        entry.used = false
        entries.set(query, entry)
      }
    }
  }

  const find = (query: string): Entry | Refused => {
    const known = entries.get(query)
    if (known !== undefined) {
      known.used = true
      return known
    }
    const entry = read(query)
    if ("document" in entry && query.length <= documentCharactersMax) {
      makeRoom()
      entries.set(query, entry)
    }
    return entry
  }

  return {
    prepare: (query, operationName) => {
      const entry = find(query)
      if ("errors" in entry) return entry
      const name = operationName ?? undefined
      const known = entry.operations.get(name)
      if (known !== undefined) return known
      const operation = operationOf(schema, query, entry.document, name)
      if (!("errors" in operation)) entry.operations.set(name, operation)
      return operation
    },
    known: (query, operationName) => entries.get(query)?.operations.get(operationName ?? undefined),
    size: () => entries.size
  }
}

/** graphql's errors name what else there is; without introspection that is nobody's business. */
const withoutSuggestion = (message: string): string => message.replace(/ Did you mean .*\?$/s, "")
