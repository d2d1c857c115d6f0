import * as Schema from "effect/Schema"
import { pageSizeMax } from "../domain/Page.ts"

const size = (max: number) =>
  Schema.Int.pipe(
    Schema.filter((n) => (n >= 0 && n <= max) || `must be 0 to ${max}`),
    Schema.annotations({ identifier: "PageSize" })
  )

const cursor = Schema.optional(Schema.NullOr(Schema.String))

/**
 * The arguments of a connection that only goes forward, to spread into a field's `Schema.Struct`:
 * `Schema.Struct({ text: Schema.String, ...PageArgs.forward(20) })`. `first` decodes to a number, 0 to `max`.
 */
export const forward = (first: number, max: number = pageSizeMax) => ({
  first: Schema.optionalWith(size(max), { default: () => first, nullable: true }),
  after: cursor
})

/** The arguments of a connection that goes both ways. Check them with `window`'s filter: `Schema.Struct(PageArgs.both()).pipe(PageArgs.oneWay)`. */
export const both = (max: number = pageSizeMax) => ({
  first: Schema.optional(Schema.NullOr(size(max))),
  after: cursor,
  last: Schema.optional(Schema.NullOr(size(max))),
  before: cursor
})

/** What `both` decodes to. */
export interface Both {
  readonly first?: number | null | undefined
  readonly after?: string | null | undefined
  readonly last?: number | null | undefined
  readonly before?: string | null | undefined
}

/** Refuses what has no clear meaning: a size from both ends, or a cursor of the other end. */
export const oneWay = <A extends Both, I>(schema: Schema.Schema<A, I>): Schema.filter<Schema.Schema<A, I>> =>
  schema.pipe(
    Schema.filter((args: A) => {
      if (args.first != null && args.last != null) return { path: ["last"], message: "cannot go together with first" }
      if (args.first != null && args.before != null) return { path: ["before"], message: "goes with last, not first" }
      if (args.last != null && args.after != null) return { path: ["after"], message: "goes with first, not last" }
      if (args.after != null && args.before != null)
        return { path: ["before"], message: "cannot go together with after" }
      return true
    })
  )

/** Which way to read and how many: backwards (towards smaller) when `last` or `before` is given. */
export const window = (args: Both, size: number): { readonly backward: boolean; readonly limit: number } =>
  args.last != null || args.before != null
    ? { backward: true, limit: args.last ?? size }
    : { backward: false, limit: args.first ?? size }
