/** A page of a connection: what a resolver returns; `cursor` is opaque text made by `Cursor`. */
export interface Connection<A> {
  readonly edges: ReadonlyArray<{ readonly node: A; readonly cursor: string }>
  readonly pageInfo: {
    readonly hasNextPage: boolean
    readonly hasPreviousPage: boolean
    readonly startCursor: string | null
    readonly endCursor: string | null
  }
}

/** `first` and `last` above this are refused. */
export const pageSizeMax = 100

/** Edges in the order to show, with what the query found beyond them. */
export const connection = <A>(
  edges: ReadonlyArray<{ readonly node: A; readonly cursor: string }>,
  more: { readonly hasNextPage: boolean; readonly hasPreviousPage: boolean }
): Connection<A> => ({
  edges,
  pageInfo: { ...more, startCursor: edges[0]?.cursor ?? null, endCursor: edges.at(-1)?.cursor ?? null }
})
