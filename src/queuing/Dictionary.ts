/**
 * Strings as small integers, counted. An id is taken again once nothing uses it, so that the ids stay below the number
 * of strings in use at the busiest moment and arrays can be indexed by them.
 */
export interface Dictionary {
  /** The id of the string, one more use of it counted. */
  readonly take: (name: string) => number
  /** One use less; the last one frees the id. */
  readonly release: (id: number) => void
  readonly name: (id: number) => string
  /** Uses of the id. */
  readonly count: (id: number) => number
  /** Every id is below this. */
  readonly bound: () => number
}

export const make = (): Dictionary => {
  const ids = new Map<string, number>()
  const names: Array<string> = []
  const counts: Array<number> = []
  const free: Array<number> = []
  return {
    take: (name) => {
      const known = ids.get(name)
      if (known !== undefined) {
        counts[known]!++
        return known
      }
      const id = free.pop() ?? names.length
      ids.set(name, id)
      names[id] = name
      counts[id] = 1
      return id
    },
    release: (id) => {
      if (--counts[id]! > 0) return
      ids.delete(names[id]!)
      names[id] = ""
      free.push(id)
    },
    name: (id) => names[id]!,
    count: (id) => counts[id]!,
    bound: () => names.length
  }
}
