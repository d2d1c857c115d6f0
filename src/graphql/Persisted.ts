import { createHash } from "node:crypto"
import { BadRequest, Forbidden, PersistedQueryNotFound } from "../errors.ts"

/** Documents kept by their hash, and UTF-16 units of them all; those unused for longest go first. */
export const documentsMax = 1_000
export const unitsMax = 4 * 1_024 * 1_024

/** A document as a request names it: by its text, by the hash of its text, or by both. */
export interface Reference {
  readonly query?: string | undefined
  readonly sha256?: string | undefined
}

/** Documents by hash. */
export interface Persisted {
  /** The text to prepare, or why there is none. */
  readonly textOf: (reference: Reference) => string | BadRequest | Forbidden | PersistedQueryNotFound
  /** Documents kept now. */
  readonly size: () => number
}

export const hash = (text: string): string => createHash("sha256").update(text).digest("hex")

const notListed = new Forbidden({ message: "Only documents of the allow-list are accepted" })

/** Nothing but these documents, by hash or by their exact text. */
export const strict = (documents: ReadonlyArray<string>): Persisted => {
  const byHash = new Map(documents.map((text) => [hash(text), text]))
  const texts = new Set(documents)
  return {
    textOf: ({ query, sha256 }) => {
      if (query !== undefined) return texts.has(query) ? query : notListed
      return byHash.get(sha256 ?? "") ?? notListed
    },
    size: () => byHash.size
  }
}

/** Automatic: a client sends the hash; when it is not known, once more with the text, which is kept for the next. */
export const automatic = (): Persisted => {
  const byHash = new Map<string, string>()
  let units = 0

  const keep = (sha256: string, text: string): void => {
    if (text.length > unitsMax / 10 || byHash.has(sha256)) return
    byHash.set(sha256, text)
    units += text.length
    for (const [oldest, one] of byHash) {
      if (byHash.size <= documentsMax && units <= unitsMax) return
      byHash.delete(oldest)
      units -= one.length
    }
  }

  return {
    textOf: ({ query, sha256 }) => {
      if (sha256 === undefined) return query ?? new BadRequest({ message: "`query` is missing" })
      if (query !== undefined) {
        if (hash(query) !== sha256) return new BadRequest({ message: "The document does not have this sha256Hash" })
        keep(sha256, query)
        return query
      }
      const text = byHash.get(sha256)
      if (text === undefined) return new PersistedQueryNotFound()
      byHash.delete(sha256)
      byHash.set(sha256, text)
      return text
    },
    size: () => byHash.size
  }
}
