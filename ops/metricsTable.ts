import { catalogue } from "../src/telemetry/Metrics.ts"

const [begin, end] = ["<!-- metrics -->", "<!-- /metrics -->"]

/** The catalogue as rows of a Markdown table. */
export const rows = (): ReadonlyArray<string> =>
  catalogue.map(
    ({ help, kind, labels, name }) =>
      `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`
  )

/** The document with the table of today between its two marks. */
export const withTable = (document: string): string => {
  const [before, rest] = document.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error(`The document has no ${begin} … ${end}`)
  const table = ["| Metric | Kind | Labels | Meaning |", "| --- | --- | --- | --- |", ...rows()].join("\n")
  return `${before}${begin}\n${table}\n${end}${after}`
}
