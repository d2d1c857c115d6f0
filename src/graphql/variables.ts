import type { FieldNode, GraphQLField, GraphQLSchema, OperationDefinitionNode, VariableDefinitionNode } from "graphql"
import {
  getArgumentValues,
  getVariableValues,
  GraphQLBoolean,
  GraphQLID,
  GraphQLInt,
  GraphQLString,
  isNonNullType,
  Kind,
  typeFromAST
} from "graphql"

type Values = Record<string, unknown>
type Given = Readonly<Values>

/** Errors told of the variables of one request. */
const errorsMax = 50

/** A variable of a built-in scalar: `isPlain` says of most values that they are the variable's value as they are. */
interface Simple {
  readonly name: string
  readonly isNullable: boolean
  readonly hasDefault: boolean
  readonly isPlain: (value: unknown) => boolean
}

const isText = (value: unknown): boolean => typeof value === "string"

const plain = new Map<unknown, (value: unknown) => boolean>([
  [GraphQLString, isText],
  [GraphQLID, isText],
  [GraphQLBoolean, (value) => typeof value === "boolean"],
  [GraphQLInt, (value) => typeof value === "number" && (value | 0) === value]
])

const simpleOf = (
  schema: GraphQLSchema,
  { defaultValue, type, variable }: VariableDefinitionNode
): Simple | undefined => {
  const declared = typeFromAST(schema, type)
  const isPlain = plain.get(isNonNullType(declared) ? declared.ofType : declared)
  const name = variable.name.value
  return isPlain === undefined || name === "__proto__"
    ? undefined
    : { name, isNullable: !isNonNullType(declared), hasDefault: defaultValue !== undefined, isPlain }
}

/** The values where nothing has to be converted, filled in or refused; undefined where graphql must say. */
const quick = (simple: ReadonlyArray<Simple>, given: Given): Values | undefined => {
  const values: Values = {}
  for (const { hasDefault, isNullable, isPlain, name } of simple) {
    if (!Object.hasOwn(given, name)) {
      if (isNullable && !hasDefault) continue
      return undefined
    }
    const value = given[name]
    if (!isPlain(value) && !(isNullable && value === null)) return undefined
    values[name] = value
  }
  return values
}

/** Coerces the variables of an operation as graphql does, which looks at their types anew each time. */
export const coercer = (
  schema: GraphQLSchema,
  { variableDefinitions = [] }: OperationDefinitionNode
): ((given: Given) => ReturnType<typeof getVariableValues>) => {
  const simple = variableDefinitions.map((definition) => simpleOf(schema, definition))
  const isSimple = (all: typeof simple): all is Array<Simple> => all.every((one) => one !== undefined)
  const all = isSimple(simple) ? simple : undefined
  return (given) => {
    const coerced = all === undefined ? undefined : quick(all, given)
    return coerced === undefined
      ? getVariableValues(schema, variableDefinitions, given, { maxErrors: errorsMax })
      : { coerced }
  }
}

/** An argument that is a variable. `isOptional`: without the variable there is no argument. */
interface Passed {
  readonly name: string
  readonly variable: string
  readonly isNullable: boolean
  readonly isOptional: boolean
}

/** The arguments of a field that are variables; undefined where others may have to be filled in. */
const passedOf = ({ args }: GraphQLField<unknown, unknown>, node: FieldNode): ReadonlyArray<Passed> | undefined => {
  const passed: Array<Passed> = []
  for (const { defaultValue, name, type } of args) {
    const isNullable = !isNonNullType(type)
    const isOptional = isNullable && defaultValue === undefined
    const value = node.arguments?.find((argument) => argument.name.value === name)?.value
    if (value === undefined && isOptional) continue
    if (value?.kind !== Kind.VARIABLE || name === "__proto__") return undefined
    passed.push({ name, variable: value.name.value, isNullable, isOptional })
  }
  return passed
}

const quickArguments = (passed: ReadonlyArray<Passed>, variables: Given): Values | undefined => {
  const values: Values = {}
  for (const { isNullable, isOptional, name, variable } of passed) {
    const value = Object.hasOwn(variables, variable) ? variables[variable] : undefined
    if (value === undefined && isOptional) continue
    if (value === undefined || (value === null && !isNullable)) return undefined
    values[name] = value
  }
  return values
}

/** Reads the arguments of a field as graphql does, which goes through the document each time. */
export const reader = (
  field: GraphQLField<unknown, unknown>,
  node: FieldNode
): ((variables: Values) => Readonly<Values>) => {
  const passed = passedOf(field, node)
  return (variables) =>
    (passed === undefined ? undefined : quickArguments(passed, variables)) ?? getArgumentValues(field, node, variables)
}
