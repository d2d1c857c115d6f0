import { homoglyphs } from "./homoglyphs.ts"

const ascii = /^[\u0020-\u007e\n\r\t]*$/
const marksAndInvisibles = /[\p{M}\p{Default_Ignorable_Code_Point}\p{Cf}]/gu
const lookAlike = new RegExp(`[${[...homoglyphs.keys()].join("")}]`, "gu")

const once = (text: string): string => {
  const bare = text.normalize("NFKD").toLowerCase().normalize("NFKD").replace(marksAndInvisibles, "")
  return bare.replace(lookAlike, (glyph) => homoglyphs.get(glyph)!)
}

/** Rounds after which every text has settled; a fold of a fold is rare and never deep. */
const roundsMax = 4

/**
 * The text as it reads: lower case, without accents and invisible characters, letters of other scripts and styles as the
 * Latin ones that they look like. Normalising twice changes nothing.
 */
export const normalise = (text: string): string => {
  if (ascii.test(text)) return text.toLowerCase()
  let read = once(text)
  for (let round = 1; round < roundsMax && !ascii.test(read); round++) {
    const again = once(read)
    if (again === read) break
    read = again
  }
  return read
}
