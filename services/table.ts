/** A cell: text to the left, numbers to the right. */
export type Cell = string | number

/** Characters of a cell at most; longer text is cut. */
export const cellCharactersMax = 110

const shown = (cell: Cell): string => {
  if (typeof cell === "string")
    return cell.length > cellCharactersMax ? `${cell.slice(0, cellCharactersMax - 1)}…` : cell
  return cell.toLocaleString("en", { maximumFractionDigits: Math.abs(cell) < 100 ? 2 : 0 })
}

/** Rows under a heading, in columns; `none` where there is no row. */
export const table = (
  title: string,
  columns: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>,
  none: string
): string => {
  if (rows.length === 0) return `${title}\n  ${none}`
  const texts = rows.map((row) => row.map(shown))
  const widths = columns.map((name, n) => Math.max(name.length, ...texts.map((row) => row[n]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>): string =>
    `  ${cells
      .map((text, n) =>
        typeof rows[0]?.[n] === "number" ? text.padStart(widths[n] ?? 0) : text.padEnd(widths[n] ?? 0)
      )
      .join("  ")}`.trimEnd()
  return [title, line(columns), line(widths.map((width) => "─".repeat(width))), ...texts.map(line)].join("\n")
}

export const megabytes = (bytes: number): string =>
  bytes >= 1_048_576 ? `${(bytes / 1_048_576).toFixed(1)} MB` : `${Math.ceil(bytes / 1_024)} kB`

export const percent = (share: number | null): string => (share === null ? "–" : `${(share * 100).toFixed(1)} %`)
