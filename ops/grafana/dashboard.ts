import { catalogue, type Entry } from "../../src/telemetry/Metrics.ts"

/** A part of the dashboard: the metrics whose names begin so, in the order of the catalogue. */
const sections: ReadonlyArray<readonly [title: string, prefixes: RegExp]> = [
  ["Requests", /^connect_(request|requests|response|http)_/],
  ["Cache", /^connect_(cache|store)_/],
  ["Database", /^connect_database_/],
  ["Sessions and limits", /^connect_(session|password|rate_limit)_/],
  ["Queue", /^connect_queue_/],
  ["Interactions and messages", /^connect_(interaction|message|broadcast|socket)_/],
  ["Moderation", /^connect_moderation_/],
  ["Actors and fibers", /^connect_(actor|fiber|function)_/],
  ["Health and alerts", /^connect_(health|alert)_/],
  ["Process", /^process_/]
]

interface Query {
  readonly expr: string
  readonly legend: string
}

interface Panel {
  readonly title: string
  readonly description: string
  readonly unit: string
  readonly queries: ReadonlyArray<Query>
}

const of = '{service=~"$service"}'
const name = (metric: string): string =>
  metric.replace(/^(connect|process)_/, "").replace(/_(total|seconds|bytes)$/, "")
const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1).replaceAll("_", " ")}`

const rate = (metric: string, by: string, where = of): string =>
  `sum by (${by}) (rate(${metric}${where}[$__rate_interval]))`

const quantile = (share: number, metric: string, by = ""): string =>
  `histogram_quantile(${share}, ${rate(`${metric}_bucket`, by === "" ? "le" : `le, ${by}`)})`

const unitOf = ({ kind, name }: Entry): string => {
  if (name.endsWith("_seconds")) return "s"
  if (name.endsWith("_bytes")) return "bytes"
  if (name.endsWith("_ratio")) return "percentunit"
  return kind === "counter" ? "ops" : "short"
}

/** How a metric is drawn: a counter as its rate, a gauge as it is, a histogram as its 50th, 95th and 99th percentile. */
const panelOf = (entry: Entry): Panel => {
  const by = entry.labels.length === 0 ? "service" : entry.labels.join(", ")
  const legend = entry.labels.length === 0 ? "{{service}}" : entry.labels.map((label) => `{{${label}}}`).join(" ")
  const title = sentence(name(entry.name))
  const base = { title, description: `${entry.help} (${entry.name})`, unit: unitOf(entry) }
  if (entry.kind === "gauge") return { ...base, queries: [{ expr: `sum by (${by}) (${entry.name}${of})`, legend }] }
  if (entry.kind === "counter") {
    return { ...base, title: `${title} per second`, queries: [{ expr: rate(entry.name, by), legend }] }
  }
  if (entry.labels.length > 0) {
    return { ...base, title: `${title}, 95th percentile`, queries: [{ expr: quantile(0.95, entry.name, by), legend }] }
  }
  return { ...base, queries: percentiles(entry.name) }
}

const percentiles = (metric: string): ReadonlyArray<Query> =>
  [50, 95, 99].map((percent) => ({ expr: quantile(percent / 100, metric), legend: `p${percent}` }))

const share = (part: string, whole: string): string => `${part} / ${whole}`
const total = (metric: string, where = of): string => `sum(rate(${metric}${where}[$__rate_interval]))`

/** What to look at first. */
const overview: ReadonlyArray<Panel> = [
  {
    title: "Response time",
    description: "Promised: P50 under 50 ms, P95 under 200 ms, P99 under 500 ms.",
    unit: "s",
    queries: percentiles("connect_request_duration_seconds")
  },
  {
    title: "Operations per second",
    description: "GraphQL operations answered, by type.",
    unit: "ops",
    queries: [{ expr: rate("connect_requests_total", "operation"), legend: "{{operation}}" }]
  },
  {
    title: "Responses that are errors",
    description: "Promised: 4xx under 5 %, 5xx under 1 %.",
    unit: "percentunit",
    queries: ["4xx", "5xx"].map((status) => ({
      expr: share(
        total("connect_http_responses_total", `{service=~"$service", status="${status}"}`),
        total("connect_http_responses_total")
      ),
      legend: status
    }))
  },
  {
    title: "Cache hit rate",
    description: "Promised: above 80 %.",
    unit: "percentunit",
    queries: [
      {
        expr: share(
          rate("connect_cache_hits_total", "cache"),
          `(${rate("connect_cache_hits_total", "cache")} + ${rate("connect_cache_misses_total", "cache")})`
        ),
        legend: "{{cache}}"
      }
    ]
  },
  {
    title: "Database pool in use",
    description: "Promised: under 80 %.",
    unit: "percentunit",
    queries: [
      {
        expr: share(
          `sum by (service) (connect_database_pool_in_use${of})`,
          `sum by (service) (connect_database_pool_max${of})`
        ),
        legend: "{{service}}"
      }
    ]
  },
  {
    title: "Time to acknowledge and to deliver a message, 95th percentile",
    description: "From send to acknowledgement, and from commit to the partner's socket.",
    unit: "s",
    queries: [
      { expr: quantile(0.95, "connect_message_ack_duration_seconds"), legend: "acknowledged" },
      { expr: quantile(0.95, "connect_message_delivery_duration_seconds"), legend: "delivered" }
    ]
  },
  {
    title: "Resident memory",
    description: "Promised: 120 MB a service.",
    unit: "bytes",
    queries: [{ expr: `sum by (service) (process_resident_memory_bytes${of})`, legend: "{{service}}" }]
  },
  {
    title: "Alerts and failing checks",
    description: "What fires in the programs themselves, and which health checks fail.",
    unit: "short",
    queries: [
      { expr: `sum by (service, alert) (connect_alert_firing${of}) > 0`, legend: "{{service}} {{alert}}" },
      { expr: `sum by (service, check) (connect_health_check_failing${of}) > 0`, legend: "{{service}} {{check}}" }
    ]
  }
]

const columns = 3
const [width, height] = [24 / columns, 8]
const datasource = { type: "prometheus", uid: "prometheus" }

const drawn = (panel: Panel, id: number, x: number, y: number) => ({
  id,
  type: "timeseries",
  title: panel.title,
  description: panel.description,
  datasource,
  gridPos: { x, y, w: width, h: height },
  fieldConfig: {
    defaults: { unit: panel.unit, min: 0, custom: { fillOpacity: 5, showPoints: "never" } },
    overrides: []
  },
  options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
  targets: panel.queries.map(({ expr, legend }, index) => ({
    refId: String.fromCharCode(65 + index),
    datasource,
    expr,
    legendFormat: legend
  }))
})

/** The Grafana dashboard: an overview, then every metric of the catalogue in rows that open. */
export const dashboard = () => {
  let [id, y] = [1, 0]
  const grid = (panels: ReadonlyArray<Panel>) => {
    const placed = panels.map((panel, i) =>
      drawn(panel, id++, (i % columns) * width, y + Math.floor(i / columns) * height)
    )
    y += Math.ceil(panels.length / columns) * height
    return placed
  }
  const row = (title: string, collapsed: boolean) => ({
    id: id++,
    type: "row",
    title,
    collapsed,
    gridPos: { x: 0, y: y++, w: 24, h: 1 }
  })
  const first = { ...row("Overview", false), panels: [] }
  const panels: Array<unknown> = [first, ...grid(overview)]
  for (const [title, prefixes] of sections) {
    const head = row(title, true)
    panels.push({ ...head, panels: grid(catalogue.filter((entry) => prefixes.test(entry.name)).map(panelOf)) })
  }
  return {
    uid: "realtime-connect",
    title: "Real-time Connect",
    tags: ["realtime-connect"],
    schemaVersion: 39,
    editable: false,
    refresh: "10s",
    time: { from: "now-1h", to: "now" },
    templating: {
      list: [
        {
          name: "service",
          label: "Service",
          type: "query",
          datasource,
          query: { query: "label_values(process_uptime_seconds, service)", refId: "service" },
          refresh: 2,
          includeAll: true,
          allValue: ".+",
          multi: true,
          current: { text: "All", value: "$__all" }
        }
      ]
    },
    panels
  }
}
