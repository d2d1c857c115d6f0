import * as Zlib from "node:zlib"

/** Node 20 and Deno have no zstd: a value written there is gzip, and one they cannot read counts as absent. */
export const zstdAvailable = typeof Zlib.zstdCompressSync === "function"

/** "j" JSON as it is, "z" zstd, "g" gzip, the last two in base64 because the store holds text. */
export type Format = "j" | "z" | "g"

/** The smaller of the text and its compressed form, with the byte that says which. */
export const pack = (text: string): { readonly format: Format; readonly body: string } => {
  const bytes = Buffer.from(text, "utf8")
  const packed = zstdAvailable
    ? Zlib.zstdCompressSync(bytes, { params: { [Zlib.constants.ZSTD_c_compressionLevel]: 1 } })
    : Zlib.gzipSync(bytes, { level: 1 })
  const body = packed.toString("base64")
  return body.length < bytes.length ? { format: zstdAvailable ? "z" : "g", body } : { format: "j", body: text }
}

/** The text again; undefined for a format that this runtime cannot read, or a damaged body. */
export const unpack = (format: string, body: string): string | undefined => {
  if (format === "j") return body
  try {
    if (format === "g") return Zlib.gunzipSync(Buffer.from(body, "base64")).toString("utf8")
    if (format === "z" && zstdAvailable) return Zlib.zstdDecompressSync(Buffer.from(body, "base64")).toString("utf8")
    return undefined
  } catch {
    return undefined
  }
}
