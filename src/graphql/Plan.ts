import * as Effect from "effect/Effect"
import type {
  FieldNode,
  GraphQLField,
  GraphQLLeafType,
  GraphQLObjectType,
  GraphQLOutputType,
  GraphQLResolveInfo
} from "graphql"
import { GraphQLBoolean, GraphQLID, GraphQLInt, GraphQLString, isLeafType, isListType, isNonNullType } from "graphql"
import type { Execution } from "./Execution.ts"
import type { Field } from "./Part.ts"
import type { Container } from "./Places.ts"
import type { Planner } from "./Planner.ts"
import { reader } from "./variables.ts"

/** How a part resolves a field of the schema. */
export interface Bound {
  /** `Type.field`: under this name its SQL statements are counted. */
  readonly name: string
  /** Arguments as the part's Schema decodes them; throws ValidationFailed as graphql's error. */
  readonly decode: (args: unknown) => unknown
  readonly resolve: Field["resolve"]
  /** Notes in the tags of an answer what the value shows. */
  readonly note: ((value: unknown, tags: Set<string>) => void) | undefined
}

/** By the field of the schema that they belong to. */
export const bounds = new WeakMap<object, Bound>()

type AnyField = GraphQLField<unknown, unknown>
type Resolving = Effect.Effect<unknown, unknown>

/** Puts a value where it belongs. */
export type Complete = (
  execution: Execution,
  field: FieldPlan,
  value: unknown,
  into: Container,
  key: string | number
) => void

/** One field of an object: all that the selections under its key say together. */
export class FieldPlan {
  readonly key: string
  readonly nodes: ReadonlyArray<FieldNode>
  readonly isNullable: boolean
  /** The field whose objects this one is of; undefined at the root. */
  readonly parent: FieldPlan | undefined
  readonly bound: Bound | undefined
  private readonly type: GraphQLOutputType
  private readonly info: GraphQLResolveInfo
  private readonly complete: Complete
  private readonly read: ReturnType<typeof reader>
  private readonly usesVariables: boolean
  private readonly resolve: AnyField["resolve"]
  private readonly isSimple: boolean
  private readonly property: string
  /** Where it is a scalar or an enum, and what `typeof` says of its values that are shown as they are. */
  private readonly leaf: GraphQLLeafType | undefined
  private readonly plain: string | undefined
  private constant: { readonly args: unknown } | undefined

  constructor(
    planner: Planner,
    parentType: GraphQLObjectType,
    definition: AnyField,
    nodes: ReadonlyArray<FieldNode>,
    parent: FieldPlan | undefined
  ) {
    const [node] = nodes
    this.parent = parent
    this.type = definition.type
    this.key = node!.alias?.value ?? definition.name
    this.nodes = nodes
    this.bound = bounds.get(definition)
    this.isNullable = !isNonNullType(definition.type)
    this.property = definition.name
    this.resolve = definition.resolve
    const type = isNonNullType(definition.type) ? definition.type.ofType : definition.type
    this.leaf = isLeafType(type) ? type : undefined
    this.plain = plainOf.get(type)
    this.isSimple = this.bound === undefined && this.resolve === undefined && this.plain !== undefined
    // All that graphql's own resolvers, those of introspection, read of it.
    this.info = { schema: planner.schema, parentType } as GraphQLResolveInfo
    this.complete = planner.complete(
      definition.type,
      nodes.flatMap(({ selectionSet }) => selectionSet ?? []),
      this
    )
    this.read = reader(definition, node!)
    this.usesVariables = node!.arguments?.some(({ value }) => planner.hasVariable(value)) ?? false
  }

  /** Shows a property that is shown as it is, which most are; false: it is something else. */
  shows(parent: unknown, into: Container): boolean {
    if (!this.isSimple) return false
    const value = (parent as Container | null | undefined)?.[this.property]
    if (typeof value !== this.plain || !isPlain(value)) return false
    into[this.key] = value
    return true
  }

  /** Resolves the field of `parent` and puts it into its object, now or when it is there. */
  resolveInto(execution: Execution, parent: unknown, into: Container): void {
    const value = this.resolved(execution, parent)
    if (typeof value === this.plain && isPlain(value)) into[this.key] = value
    else this.put(execution, value, into)
  }

  private put(execution: Execution, value: unknown, into: Container): void {
    if (value !== null && value !== undefined) {
      if (this.bound !== undefined && Effect.isEffect(value)) execution.wait(this, value as Resolving, into)
      else if (this.leaf !== undefined) into[this.key] = written(this.leaf, value)
      else this.deliver(execution, value, into)
    } else if (this.isNullable) into[this.key] = null
    else throw this.missing()
  }

  private resolved(execution: Execution, parent: unknown): unknown {
    const { bound, resolve } = this
    if (bound !== undefined) {
      return bound.resolve(parent as never, this.argsOf(execution) as never, execution.run.request)
    }
    return resolve === undefined
      ? (parent as Container | null | undefined)?.[this.property]
      : resolve(parent, this.argsOf(execution) as never, execution.run, this.info)
  }

  /** A value that is there. */
  deliver(execution: Execution, value: unknown, into: Container): void {
    try {
      const note = this.bound?.note
      if (note !== undefined) {
        const { tags } = execution.run.request
        if (tags !== undefined) note(value, tags)
      }
      this.complete(execution, this, value, into, this.key)
    } catch (error) {
      execution.fail(error, this, into, this.key, this.isNullable)
    }
  }

  /** Whether a value may be null that stands in so many lists of this field. */
  isNullableAt(depth: number): boolean {
    let { type } = this
    for (let left = depth; left > 0; left--) {
      const list = isNonNullType(type) ? type.ofType : type
      if (isListType(list)) type = list.ofType as GraphQLOutputType
    }
    return !isNonNullType(type)
  }

  /** What graphql says where there is no value and has to be one. */
  missing(): Error {
    return new Error(`Cannot return null for non-nullable field ${this.info.parentType.name}.${this.property}.`)
  }

  /** Decoded once an operation, and once for all where no variable is in them. */
  private argsOf(execution: Execution): unknown {
    if (this.constant !== undefined) return this.constant.args
    const known = execution.args?.get(this)
    if (known !== undefined) return known
    const given = this.read(execution.variables)
    const args = this.bound === undefined ? given : this.bound.decode(given)
    if (!this.usesVariables) this.constant = { args }
    else (execution.args ??= new Map()).set(this, args)
    return args
  }
}

/** The fields of one type of object that are asked for. */
export class ObjectPlan {
  readonly fields: ReadonlyArray<FieldPlan>
  /** An alias may be called __proto__. */
  private readonly isPlain: boolean
  constructor(fields: ReadonlyArray<FieldPlan>) {
    this.fields = fields
    this.isPlain = fields.every(({ key }) => key !== "__proto__")
  }

  /** An empty object for the answer. JSON.stringify is twice as fast where there is a prototype. */
  object(): Container {
    return this.isPlain ? {} : (Object.create(null) as Container)
  }

  /** Completes an object where it belongs. */
  complete(execution: Execution, parent: unknown, into: Container, key: string | number): void {
    const object = this.object()
    into[key] = object
    execution.places?.add(object, into, key)
    this.fill(execution, parent, object)
  }

  /** Resolves the fields into the object, until it is gone. */
  fill(execution: Execution, parent: unknown, object: Container): void {
    for (const field of this.fields) {
      try {
        if (!field.shows(parent, object)) field.resolveInto(execution, parent, object)
      } catch (error) {
        execution.fail(error, field, object, field.key, field.isNullable)
      }
      if (execution.places?.isGone(object) === true) return
    }
  }
}

/** What `typeof` says of a value that a built-in scalar shows as it is; everything else goes through `serialize`. */
export const plainOf: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [GraphQLString, "string"],
  [GraphQLID, "string"],
  [GraphQLBoolean, "boolean"],
  [GraphQLInt, "number"]
])

/** Of the numbers only integers of 32 bits. */
export const isPlain = (value: unknown): boolean => typeof value !== "number" || (value | 0) === value

/** As its type writes it; throws where it cannot. */
export const written = (type: GraphQLLeafType, value: unknown): unknown => {
  const made = type.serialize(value)
  if (made === null || made === undefined) throw new Error(`${type.name} cannot represent what it was given`)
  return made
}
