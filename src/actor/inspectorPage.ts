import { createHash } from "node:crypto"
import type { Report } from "./Inspector.ts"

const escape = (value: unknown): string =>
  String(value instanceof Date ? value.toISOString() : (value ?? "")).replace(
    /[&<>"']/g,
    (character) => `&#${character.charCodeAt(0)};`
  )

type Row = Readonly<Record<string, unknown>>

const table = (title: string, rows: ReadonlyArray<object>, actions?: (row: Row) => string): string => {
  if (rows.length === 0) return `<h2>${escape(title)}</h2><p>None.</p>`
  const columns = Object.keys(rows[0]!)
  const head = columns.map((column) => `<th>${escape(column)}</th>`).join("")
  const body = (rows as ReadonlyArray<Row>).map((row) => {
    const cells = columns.map((column) => `<td>${escape(shown(row[column]))}</td>`).join("")
    return `<tr>${cells}${actions === undefined ? "" : `<td>${actions(row)}</td>`}</tr>`
  })
  return `<h2>${escape(title)}</h2><table><tr>${head}${actions === undefined ? "" : "<th></th>"}</tr>${body.join("")}</table>`
}

const shown = (value: unknown): unknown =>
  typeof value === "object" && value !== null && !(value instanceof Date) ? JSON.stringify(value) : value

const buttons = ({ position }: Row): string =>
  ["release", "drop"]
    .map((verb) => `<button data-path="quarantine/${escape(position)}/${verb}">${verb}</button>`)
    .join(" ")

const style = `
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
th { border-bottom: 1px solid; } td { font-variant-numeric: tabular-nums; max-width: 40rem; overflow-wrap: anywhere; }`

const script = `
for (const button of document.querySelectorAll("button")) button.onclick = async () => {
  const base = location.pathname.replace(/\\/$/, "") + "/"
  await fetch(base + button.dataset.path, { method: "POST", headers: { "content-type": "application/json" } })
  location.reload()
}`

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/** Nothing runs or loads but the page's own script and style. */
export const contentSecurityPolicy = `default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}; connect-src 'self'`

/** The report as a plain page; it works without the script, apart from the two buttons. */
export const render = (report: Report): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Actors</title><style>${style}</style>
<h1>Actors</h1>
${table("Types", report.actors)}
${table("Supervised fibers", report.fibers)}
${table("Dead letters", report.deadLetters)}
${report.quarantined === undefined ? "" : table("Quarantine", report.quarantined, buttons)}
${report.reminders === undefined ? "" : table("Reminders", report.reminders)}
<script>${script}</script>
</html>`
