import { createHash } from "node:crypto"
import type { Stats } from "./ActorSystem.ts"
import type { Report } from "./Inspector.ts"

const escape = (value: unknown): string =>
  String(value ?? "").replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

/** One column: what stands above it, and what a row has there, as HTML. */
interface Column<A> {
  readonly title: string
  readonly cell: (row: A) => string
  readonly kind?: "number"
}

const text = <A>(title: string, of: (row: A) => unknown): Column<A> => ({ title, cell: (row) => escape(of(row)) })

const code = <A>(title: string, of: (row: A) => unknown): Column<A> => ({
  title,
  cell: (row) => `<code>${escape(of(row))}</code>`
})

const number = <A>(title: string, of: (row: A) => number, unit = ""): Column<A> => ({
  title,
  kind: "number",
  cell: (row) => `${escape(of(row).toLocaleString("en"))}${unit === "" ? "" : ` ${unit}`}`
})

const time = <A>(title: string, of: (row: A) => Date): Column<A> => ({
  title,
  cell: (row) => `<time>${escape(of(row).toISOString().replace("T", " ").slice(0, 19))}</time>`
})

/** The first line, and the rest to be opened. */
const long = <A>(title: string, of: (row: A) => string | undefined): Column<A> => ({
  title,
  cell: (row) => {
    const whole = of(row) ?? ""
    const [first = "", ...more] = whole.split("\n")
    return more.length === 0
      ? escape(first)
      : `<details><summary>${escape(first)}</summary><pre>${escape(more.join("\n"))}</pre></details>`
  }
})

const section = <A>(title: string, rows: ReadonlyArray<A>, columns: ReadonlyArray<Column<A>>, note = ""): string => {
  const heading = `<h2>${escape(title)} <small>${rows.length}</small></h2>`
  const intro = note === "" ? "" : `<p>${escape(note)}</p>`
  if (rows.length === 0) return `<section>${heading}${intro}<p class="none">None.</p></section>`
  const attribute = ({ kind }: Column<A>) => (kind === undefined ? "" : ` class="${kind}"`)
  const head = columns.map((column) => `<th${attribute(column)}>${escape(column.title)}</th>`).join("")
  const body = rows.map(
    (row) => `<tr>${columns.map((column) => `<td${attribute(column)}>${column.cell(row)}</td>`).join("")}</tr>`
  )
  return `<section>${heading}${intro}<div><table><thead><tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table></div></section>`
}

const meanWaitMillis = ({ processed, waitedMillis }: Stats): number =>
  processed === 0 ? 0 : Math.round((waitedMillis / processed) * 100) / 100

const types = ({ actors }: Report) =>
  section("Actor types", actors, [
    text("Type", ({ actor }) => actor),
    number("Active", ({ active }) => active),
    number("Waiting", ({ depth }) => depth),
    number("Handled", ({ processed }) => processed),
    number("Mean wait", meanWaitMillis, "ms"),
    number("Longest wait", ({ waitedMillisMax }) => waitedMillisMax, "ms"),
    number("Failures", ({ failures }) => failures),
    number("Restarts", ({ restarts }) => restarts),
    number("Stopped", ({ stopped }) => stopped),
    number("Refused", ({ refused }) => refused),
    number("Put away", ({ passivations }) => passivations)
  ])

const shards = ({ shards: placement = [] }: Report) =>
  section(
    "Shards",
    placement.toSorted((a, b) => (`${a.group} ${a.node}` < `${b.group} ${b.node}` ? -1 : 1)),
    [text("Group", ({ group }) => group), code("Node", ({ node }) => node), number("Shards", (row) => row.shards)]
  )

const fibers = (report: Report) =>
  section("Supervised fibers", report.fibers, [
    text("Name", ({ name }) => name),
    { title: "State", cell: ({ state }) => `<span class="${state}">${escape(state)}</span>` },
    text("Strategy", ({ strategy }) => strategy),
    number("Restarts", ({ restarts }) => restarts),
    long("Last failure", ({ lastFailure }) =>
      lastFailure === undefined ? undefined : `${lastFailure.at.toISOString()} ${lastFailure.cause}`
    )
  ])

const buttons = (position: number): string =>
  ["release", "drop"]
    .map((verb) => `<button data-path="/actors/${verb}?position=${escape(position)}">${verb}</button>`)
    .join(" ")

const quarantine = ({ oldestMessageSeconds = 0, quarantined = [] }: Report) =>
  section(
    "Quarantine",
    quarantined,
    [
      text("Actor", ({ actor }) => actor),
      code("Id", ({ id }) => id),
      text("Message", ({ tag }) => tag),
      code("Payload", ({ payloadShape }) => payloadShape),
      number("Attempts", ({ attempts }) => attempts),
      long("Failure", ({ failure }) => failure),
      time("Accepted", ({ acceptedAt }) => acceptedAt),
      { title: "", cell: ({ position }) => buttons(position) }
    ],
    oldestMessageSeconds > 1 ? `The oldest durable message has waited for ${Math.round(oldestMessageSeconds)} s.` : ""
  )

const deadLetters = (report: Report) =>
  section("Dead letters", report.deadLetters, [
    text("Actor", ({ actor }) => actor),
    code("Id", ({ id }) => id),
    text("Message", ({ tag }) => tag),
    code("Payload", ({ payloadShape }) => payloadShape),
    long("Failure", ({ cause }) => cause),
    time("At", ({ at }) => at)
  ])

const reminders = ({ reminders: due = [] }: Report) =>
  section("Reminders", due, [
    text("Actor", ({ actor }) => actor),
    code("Id", ({ id }) => id),
    text("Name", ({ name }) => name),
    text("Message", ({ tag }) => tag),
    time("Due", ({ dueAt }) => dueAt),
    text("Every", ({ everyMillis }) => (everyMillis === null ? "" : `${everyMillis / 1_000} s`)),
    number("Attempts", ({ attempts }) => attempts)
  ])

const style = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 15%, transparent); }
body { font: 14px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 80rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
small, header p, .none { color: GrayText; font-weight: normal; } header p, section p { margin: .2rem 0; }
section > div { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .9rem .35rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } td { overflow-wrap: anywhere; min-width: 4rem; }
.number { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
code, pre { font: 12px/1.5 ui-monospace, monospace; } pre { white-space: pre-wrap; margin: .3rem 0; } summary { cursor: pointer; }
.running { color: #1a7f37; } .backoff { color: #9a6700; } .failed { color: #d1242f; font-weight: 600; }
button { font: inherit; padding: 0 .6rem; }`

const script = `
for (const button of document.querySelectorAll("button")) button.onclick = async () => {
  await fetch(button.dataset.path, { method: "POST", headers: { "content-type": "application/json" } })
  location.reload()
}`

const hashOf = (source: string): string => `'sha256-${createHash("sha256").update(source).digest("base64")}'`

/** Nothing runs or loads but the page's own script and style. */
export const contentSecurityPolicy = `default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`

/** The report as a plain page; it works without the script, apart from the two buttons. Times are UTC. */
export const render = (report: Report, now: Date): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Actors</title>
<style>${style}</style>
<header><h1>Actors</h1><p>Of this process, at ${escape(now.toISOString().slice(0, 19).replace("T", " "))} UTC</p></header>
${types(report)}
${report.shards === undefined ? "" : shards(report)}
${report.quarantined === undefined ? "" : quarantine(report)}
${deadLetters(report)}
${report.reminders === undefined ? "" : reminders(report)}
${fibers(report)}
<script>${script}</script>
</html>`
