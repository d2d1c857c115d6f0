/** The value below which `share` (0 to 1) of the samples lie. */
export const percentile = (samples: ReadonlyArray<number>, share: number): number => {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export const median = (samples: ReadonlyArray<number>): number => percentile(samples, 0.5)

/** Rows of equal shape as text in columns. */
export const table = (rows: ReadonlyArray<Readonly<Record<string, string | number>>>): string => {
  const columns = Object.keys(rows[0] ?? {})
  const cell = (value: string | number) =>
    typeof value === "string" ? value : value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 2 : 0 })
  const lines = [columns, ...rows.map((row) => columns.map((column) => cell(row[column] ?? "")))]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]!.length)))
  return lines
    .map((line) => line.map((text, i) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join("  "))
    .join("\n")
}

/** The last line of every bench. Figures are rounded to three digits that count. */
export const report = (bench: string, figures: Readonly<Record<string, number>>): void =>
  console.log(
    JSON.stringify({
      bench,
      figures: Object.fromEntries(Object.entries(figures).map(([name, n]) => [name, Number(n.toPrecision(4))]))
    })
  )
