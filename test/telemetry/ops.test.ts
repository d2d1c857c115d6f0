import { expect, test } from "bun:test"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { dashboard } from "../../ops/grafana/dashboard.ts"
import { rows } from "../../ops/metricsTable.ts"
import * as Alerts from "../../src/telemetry/Alerts.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"

const at = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url))
const read = (file: string): string => fs.readFileSync(at(file), "utf8")

const promtool = (...args: ReadonlyArray<string>): void => {
  const run = Bun.spawnSync(["promtool", ...args])
  if (run.exitCode !== 0) throw new Error(`promtool ${args.join(" ")}\n${run.stdout}${run.stderr}`)
}

/** The series a metric of the catalogue gives to Prometheus, with their labels. */
const exposed = new Map(
  Metrics.catalogue.flatMap(({ kind, labels, name }) =>
    kind === "histogram"
      ? [
          [`${name}_bucket`, [...labels, "le"]] as const,
          [`${name}_sum`, labels] as const,
          [`${name}_count`, labels] as const
        ]
      : [[name, labels] as const]
  )
)

/** Labels that Prometheus adds when it scrapes. */
const added = ["service", "instance", "job"]

/** What is wrong with an expression: metrics that do not exist, labels that none of its metrics has. */
const mistakes = (expr: string): ReadonlyArray<string> => {
  const names = expr.match(/\b(connect|process)_[a-z0-9_]+/g) ?? []
  const known = new Set([...added, ...names.flatMap((name) => exposed.get(name) ?? [])])
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(","))
  const matched = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, list]) => list!.match(/[a-z_]+(?=\s*(=|!))/g) ?? [])
  const labels = [...grouped, ...matched].map((label) => label.trim()).filter((label) => label !== "")
  return [...names.filter((name) => !exposed.has(name)), ...labels.filter((label) => !known.has(label))]
}

test("docs/operations.md lists exactly the metrics of the catalogue; bun ops/generate.ts brings it up to date", () => {
  const documented = read("docs/operations.md")
    .split("\n")
    .filter((line) => /^\| `(connect|process)_/.test(line))
  expect(documented).toEqual([...rows()])
})

test("the dashboard is the one the catalogue gives; bun ops/generate.ts brings it up to date", () => {
  expect(JSON.parse(read("ops/grafana/dashboards/connect.json"))).toEqual(JSON.parse(JSON.stringify(dashboard())))
})

/** Every expression of the dashboard, rows that are closed included. */
const expressions = (() => {
  interface Panel {
    readonly targets?: ReadonlyArray<{ readonly expr: string }>
    readonly panels?: ReadonlyArray<Panel>
  }
  const of = (panel: Panel): ReadonlyArray<string> => [
    ...(panel.targets ?? []).map(({ expr }) => expr),
    ...(panel.panels ?? []).flatMap(of)
  ]
  return (dashboard().panels as ReadonlyArray<Panel>).flatMap(of)
})()

test("the dashboard shows every metric of the catalogue, and none besides", () => {
  expect(expressions.flatMap(mistakes)).toEqual([])
  const shown = new Set(expressions.flatMap((expr) => expr.match(/\b(connect|process)_[a-z0-9_]+/g) ?? []))
  const missing = Metrics.catalogue.filter(({ name }) => !shown.has(name) && !shown.has(`${name}_bucket`))
  expect(missing.map(({ name }) => name)).toEqual([])
})

test("every panel has its own id and place, inside the grid", () => {
  interface Placed {
    readonly id: number
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number }
    readonly panels?: ReadonlyArray<Placed>
  }
  const placed = (dashboard().panels as ReadonlyArray<Placed>).flatMap((panel) => [panel, ...(panel.panels ?? [])])
  expect(new Set(placed.map(({ id }) => id)).size).toBe(placed.length)
  expect(new Set(placed.map(({ gridPos }) => `${gridPos.x},${gridPos.y}`)).size).toBe(placed.length)
  expect(placed.every(({ gridPos }) => gridPos.x + gridPos.w <= 24)).toBe(true)
})

test("Prometheus can read every expression of the dashboard", () => {
  const rules = expressions.map((expr, i) => ({
    record: `panel:${i}`,
    expr: expr.replaceAll("$__rate_interval", "1m").replaceAll("$service", ".+")
  }))
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dashboard-"))
  try {
    fs.writeFileSync(path.join(folder, "panels.yml"), JSON.stringify({ groups: [{ name: "panels", rules }] }))
    promtool("check", "rules", path.join(folder, "panels.yml"))
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}, 60_000)

interface Rule {
  readonly alert: string
  readonly expr: string
}
const alertRules = (
  Bun.YAML.parse(read("ops/prometheus/alerts.yml")) as { groups: ReadonlyArray<{ rules: ReadonlyArray<Rule> }> }
).groups.flatMap(({ rules }) => rules)

test("the alert rules ask for metrics and labels that exist", () => {
  const rules = alertRules.map(({ expr }) => expr.replace(/\bup\{[^}]*\}/, ""))
  expect(rules.flatMap(mistakes)).toEqual([])
})

test("the alert rules have the thresholds of the alerts in the programs", () => {
  const rules = { slow_requests: 0, database_pool_busy: 1, cache_hit_rate_low: 2, heap_large: 3 } as Record<
    string,
    number
  >
  for (const { direction, name, threshold } of Alerts.defaults) {
    const sign = direction === "above" ? ">" : "<"
    expect(alertRules[rules[name]!]!.expr).toContain(`${sign} ${threshold}`)
  }
})

test("each alert rule has a test, and the tests pass", () => {
  const tested = new Set(read("ops/prometheus/alerts.test.yml").match(/(?<=alertname: )\w+/g))
  expect(alertRules.map(({ alert }) => alert).filter((alert) => !tested.has(alert))).toEqual([])
  promtool("test", "rules", at("ops/prometheus/alerts.test.yml"))
}, 60_000)

test("Prometheus accepts its configuration", () => {
  promtool("check", "config", at("ops/prometheus/prometheus.yml"))
}, 60_000)

interface Compose {
  readonly services: Record<
    string,
    {
      readonly image?: string
      readonly command?: ReadonlyArray<string>
      readonly environment?: Record<string, string>
      readonly volumes?: ReadonlyArray<string>
      readonly depends_on?: ReadonlyArray<string> | Record<string, unknown>
    }
  >
}
const compose = Bun.YAML.parse(read("compose.yaml")) as Compose
const programs = ["gateway", "user", "queuing", "interaction", "communication", "history", "moderation"]

test("compose.yaml starts each program on its port, where Prometheus looks for it", () => {
  const { scrape_configs } = Bun.YAML.parse(read("ops/prometheus/prometheus.yml")) as {
    scrape_configs: ReadonlyArray<{ dns_sd_configs?: ReadonlyArray<{ names: ReadonlyArray<string>; port: number }> }>
  }
  const scraped = scrape_configs[0]!.dns_sd_configs!.map(({ names, port }) => [names[0]!, port] as const)
  const started = programs.map((name) => {
    const { command, environment } = compose.services[name]!
    expect(command).toEqual(["bun", `services/${name}.ts`])
    return [name, Number(environment!["PORT"])] as const
  })
  expect(started).toEqual(programs.map((name, i) => [name, 4_000 + i]))
  expect(scraped).toEqual(started)
})

test("compose.yaml mounts what exists, and depends on what it starts", () => {
  for (const { depends_on, volumes } of Object.values(compose.services)) {
    for (const volume of volumes ?? []) {
      const source = volume.split(":")[0]!
      if (source.startsWith(".")) expect([source, fs.existsSync(at(source))]).toEqual([source, true])
    }
    for (const name of Array.isArray(depends_on) ? depends_on : Object.keys(depends_on ?? {})) {
      expect(Object.keys(compose.services)).toContain(name)
    }
  }
})

test("compose.yaml has no password in it, and no default for one", () => {
  const secrets = read("compose.yaml").match(/\$\{\w*PASSWORD[^}]*\}/g) ?? []
  expect(secrets.length).toBeGreaterThan(0)
  expect(secrets.filter((reference) => !/^\$\{\w+:-\}$/.test(reference))).toEqual([])
  for (const [name, { environment }] of Object.entries(compose.services)) {
    for (const [variable, value] of Object.entries(environment ?? {})) {
      if (/PASSWORD/.test(variable)) expect([name, value]).toEqual([name, expect.stringMatching(/^\$\{\w+:-\}$/)])
    }
  }
})

test("every variable that compose.yaml gives a program is one that it or its engine reads", () => {
  const documented = new Set(read("docs/configuration.md").match(/(?<=^\| `)[A-Z_]+/gm))
  for (const name of programs) {
    const unknown = Object.keys(compose.services[name]!.environment!).filter(
      (variable) => !documented.has(variable) && !variable.startsWith("BUN_JSC_")
    )
    expect(unknown).toEqual([])
  }
})

/** Docker's compose plugin is not everywhere; where it is, it has the last word. */
const hasCompose = Bun.spawnSync(["sh", "-c", "docker compose version"]).exitCode === 0

test.skipIf(!hasCompose)("docker compose accepts compose.yaml", () => {
  const run = Bun.spawnSync([
    "docker",
    "compose",
    "--file",
    at("compose.yaml"),
    "--profile",
    "pgbouncer",
    "config",
    "-q"
  ])
  expect(run.stderr.toString()).toBe("")
  expect(run.exitCode).toBe(0)
})
