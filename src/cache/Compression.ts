import * as Zlib from "node:zlib"
import * as SevenBits from "./SevenBits.ts"

/** Node 20 and Deno have no zstd: a value written there is deflated, and one they cannot read counts as absent. */
export const zstdAvailable = typeof Zlib.zstdCompressSync === "function"

/** "j" JSON as it is, "z" zstd, "d" deflate. */
export type Format = "j" | "z" | "d"

export interface Compression {
  /** The smaller of the text and its compressed form, with the byte that says which. */
  readonly pack: (text: string) => { readonly format: Format; readonly body: string }
  /** The text again; undefined for what is no format that this runtime can read, or a damaged body. */
  readonly unpack: (format: string, body: string) => string | undefined
}

/**
 * Compresses texts that are like `example`: what they share with it is not stored again, which for a page of 6 kB is a
 * third of its size. Whoever unpacks must have the same example.
 */
export const make = (example: string | undefined): Compression => {
  const shared = example === undefined ? {} : { dictionary: Buffer.from(example, "utf8") }
  const zstd = { params: { [Zlib.constants.ZSTD_c_compressionLevel]: 1 }, ...shared }
  const compress = (bytes: Uint8Array): Uint8Array =>
    zstdAvailable ? Zlib.zstdCompressSync(bytes, zstd) : Zlib.deflateRawSync(bytes, { level: 1, ...shared })
  const decompress = (format: string, bytes: Uint8Array): Buffer | undefined => {
    if (format === "d") return Zlib.inflateRawSync(bytes, shared)
    return format === "z" && zstdAvailable ? Zlib.zstdDecompressSync(bytes, shared) : undefined
  }
  return {
    pack: (text) => {
      const bytes = Buffer.from(text, "utf8")
      const body = SevenBits.encode(compress(bytes))
      return body.length < bytes.length ? { format: zstdAvailable ? "z" : "d", body } : { format: "j", body: text }
    },
    unpack: (format, body) => {
      try {
        return decompress(format, SevenBits.decode(body))?.toString("utf8")
      } catch {
        return undefined
      }
    }
  }
}
