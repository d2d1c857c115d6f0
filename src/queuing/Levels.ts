/**
 * How far a ticket has widened: 0 language, region and a shared interest; 1 language and a shared interest; 2 language
 * and region; 3 language alone. A pair needs a level that both have reached.
 */
export type Level = 0 | 1 | 2 | 3

export const levels: ReadonlyArray<Level> = [0, 1, 2, 3]

/** The lowest level at which two who share a language are acceptable to each other. */
export const required = (sharesInterest: boolean, regionsMeet: boolean): Level =>
  sharesInterest ? (regionsMeet ? 0 : 1) : regionsMeet ? 2 : 3

/** Whether that level is within reach of tickets that have both widened to `reached`. */
export const acceptable = (sharesInterest: boolean, regionsMeet: boolean, reached: number): boolean =>
  required(sharesInterest, regionsMeet) <= reached

/** The most that shared interests can add to a rank; each further interest closes half of what a whole one would. */
export const overlapPoints = 8

/** What the same region adds to a rank. */
export const regionPoints = 4

/** `weight` is the sum over the shared interests of how rare each is (0 to 1); the points rise towards `overlapPoints`. */
export const overlap = (weight: number): number => (overlapPoints * weight) / (1 + weight)

/** How telling it is to share an interest that `holders` of `waiting` tickets have: 1 for the rarest, towards 0 for all. */
export const rarity = (holders: number, waiting: number): number =>
  Math.log(1 + waiting / holders) / Math.log(1 + waiting)

/**
 * Points a millisecond of waiting: who has waited as long as the last widening takes outranks any preference, so that
 * newcomers who suit better cannot starve anyone. At least a second, for settings that widen at once.
 */
export const waitingPoints = (lastWideningMillis: number): number =>
  (overlapPoints + regionPoints) / Math.max(1_000, lastWideningMillis)

/** `en` of `en-GB`: tickets meet on the primary language. */
export const primaryLanguage = (tag: string): string => {
  const end = tag.indexOf("-")
  return (end === -1 ? tag : tag.slice(0, end)).toLowerCase()
}
