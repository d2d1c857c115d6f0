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

/** To leave out shorter repeats saves little time, and tears apart what texts would share with the example. */
const repeatUnits = 48

/** An example without what it says again: as good to compress by, and each text that is compressed pays for its length. */
export const dictionary = (example: string): string => {
  const said = new Set<string>()
  let kept = ""
  let repeatedUntil = 0
  for (let at = 0; at < example.length; at++) {
    const piece = example.slice(at, at + repeatUnits)
    if (said.has(piece)) repeatedUntil = at + repeatUnits
    else said.add(piece)
    if (at >= repeatedUntil) kept += example[at]
  }
  return kept
}

/** Most texts are written here to be compressed; a longer one gets bytes of its own. */
const scratch = Buffer.allocUnsafeSlow(65_536)

/** Valid until the next call. */
const utf8 = (text: string): Uint8Array =>
  text.length * 3 > scratch.length ? Buffer.from(text, "utf8") : scratch.subarray(0, scratch.write(text, "utf8"))

/**
 * Compresses texts by a `dictionary`: what they share with it is not stored again, which for a page of 6 kB is a third of
 * its size. Whoever unpacks must have the same one.
 */
export const make = (dictionary: string | undefined): Compression => {
  const shared = dictionary === undefined ? {} : { dictionary: Buffer.from(dictionary, "utf8") }
  const zstd = { params: { [Zlib.constants.ZSTD_c_compressionLevel]: 1 }, ...shared }
  const compress = (bytes: Uint8Array): Uint8Array =>
    zstdAvailable ? Zlib.zstdCompressSync(bytes, zstd) : Zlib.deflateRawSync(bytes, { level: 1, ...shared })
  const decompress = (format: string, bytes: Uint8Array): Buffer | undefined => {
    if (format === "d") return Zlib.inflateRawSync(bytes, shared)
    return format === "z" && zstdAvailable ? Zlib.zstdDecompressSync(bytes, shared) : undefined
  }
  return {
    pack: (text) => {
      const bytes = utf8(text)
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
