/** The text of what has come in pieces. */
export const concatenate = (chunks: ReadonlyArray<Uint8Array>, bytes: number): string => {
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.byteLength
  }
  return new TextDecoder().decode(whole)
}
