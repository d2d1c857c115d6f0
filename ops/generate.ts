import * as fs from "node:fs"
import { dashboard } from "./grafana/dashboard.ts"
import { withTable } from "./metricsTable.ts"

/** Writes what follows from the catalogue of metrics: the Grafana dashboard and the table of docs/operations.md. */
const at = (path: string) => new URL(`../${path}`, import.meta.url)

fs.writeFileSync(at("ops/grafana/dashboards/connect.json"), `${JSON.stringify(dashboard(), undefined, 2)}\n`)
fs.writeFileSync(at("docs/operations.md"), withTable(fs.readFileSync(at("docs/operations.md"), "utf8")))
