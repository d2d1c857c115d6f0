/**
 * A text as the backend has it: in memory the text itself, in UTF-16 units; from Redis its bytes in UTF-8. Two can be
 * compared without making text of either, which costs several times as much.
 */
export type Stored = string | Buffer

export const text = (stored: Stored): string => (typeof stored === "string" ? stored : stored.toString("utf8"))

/** Whether both say the very same. */
export const same = (one: Stored, other: Stored): boolean =>
  typeof one === "string" || typeof other === "string" ? one === other : one.equals(other)

/** To be kept: bytes from Redis are a piece of all that came with them. */
export const kept = (stored: Stored): Stored => (typeof stored === "string" ? stored : Buffer.from(stored))
