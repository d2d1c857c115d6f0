/** Ends a transaction without what it wrote. */
export const rollback = "ROLLBACK"

const boundary = /^(?:begin|close|commit|release|rollback|savepoint|set)\b/i

/**
 * Whether a statement begins or ends a transaction or a part of it, or sets how it runs: it reads and writes no rows. A
 * look at the first letter spares nearly every statement the pattern.
 */
export const isBoundary = (sql: string): boolean => "bcrsBCRS".includes(sql.charAt(0)) && boundary.test(sql)

/** Whether a statement is to end a transaction with what it wrote. */
export const isCommit = (sql: string): boolean => /^commit\b/i.test(sql)
