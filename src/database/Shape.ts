/** A statement that took less leaves room for others behind it on one connection. */
export const quickMillisMax = 5

/** Texts that are remembered; statements with a text beyond them have their connection alone. */
export const shapesMax = 2_000

/**
 * Reads that may write or wait: for the lock of a row, for another session, or for nothing at all. Any of a function of
 * Postgres's own may do so, whose names say it.
 */
const maySideEffect = /\b(for|into|lock|pg_\w+|nextval|setval|set_config|dblink\w*)\b/i

const isRead = (sql: string): boolean => /^\s*select\b/i.test(sql) && !maySideEffect.test(sql) && !sql.includes(";")

/** What is known about the statements of one text. */
export class Shape {
  readonly sql: string
  private readonly mayShare: boolean
  private wasQuick = false

  constructor(sql: string) {
    this.sql = sql
    this.mayShare = isRead(sql)
  }

  /** A plain read that was quick the last time. A new one, and one that was slow, goes alone. */
  get shares(): boolean {
    return this.wasQuick && this.mayShare
  }

  took(millis: number): void {
    this.wasQuick = millis < quickMillisMax
  }
}

/** The shapes by their text. */
export const makeShapes = (): ((sql: string) => Shape) => {
  const known = new Map<string, Shape>()
  return (sql) => {
    let shape = known.get(sql)
    if (shape !== undefined) return shape
    shape = new Shape(sql)
    if (known.size < shapesMax) known.set(sql, shape)
    return shape
  }
}
