/** The servers of bench/http.ts, each in a process of its own. */
import { join } from "node:path"
import { type Kind, bodies } from "./rows.ts"
import { type Started, bundle, containerBytes, forNode, start, stop } from "./load.ts"

export interface Server {
  readonly name: string
  readonly pid: number
  readonly url: string
  readonly headers: ReadonlyArray<string>
  /** Over when the process is gone, and with it its hold on the data folder. */
  readonly stop: () => Promise<void>
}

const here = (file: string): string => join(import.meta.dir, file)

/** The product's server with the rows of the bench; `data` is where its database lives. */
export const connect = async (
  name: string,
  data: string,
  env: Readonly<Record<string, string>> = {}
): Promise<Server> => {
  const program = await bundle("bench/http/connect.ts", "connect")
  const started = await start(
    [process.execPath, program],
    {
      NODE_ENV: "production",
      PORT: "0",
      LOG_LEVEL: "Warning",
      DATA_DIR: join(data, name.replaceAll(/\W+/g, "-")),
      ENABLE_RESPONSE_CACHE: "false",
      BUN_JSC_forceRAMSize: String(containerBytes),
      // As much as the connections ask is no overload here: admission counts and measures, and lets all in.
      CONCURRENCY_DELAY: "10000",
      ...env
    },
    2
  )
  const [url = "", token = ""] = started.lines
  return {
    name,
    pid: started.pid,
    url: `${url}/graphql`,
    headers: [`authorization: Bearer ${token}`],
    stop: () => stop(started)
  }
}

const peer = (name: string, started: Started): Server => ({
  name,
  pid: started.pid,
  url: started.lines[0]!.endsWith("/") ? started.lines[0]! : `${started.lines[0]}/graphql`,
  headers: [],
  stop: () => stop(started)
})

/** A peer on Node, in production as its users run it. */
export const onNode = async (name: string, file: string): Promise<Server> =>
  peer(`${name} (Node)`, await start(["node", await forNode(file)], { NODE_ENV: "production" }))

/** The same on Bun. */
export const onBun = async (name: string, file: string): Promise<Server> =>
  peer(`${name} (Bun)`, await start([process.execPath, here(`${file}.ts`)], { NODE_ENV: "production" }))

/** A server that reads the body, and says this. */
export const raw = async (body: string): Promise<Server> =>
  peer("raw Bun.serve", await start([process.execPath, here("raw.ts"), body]))

export const answerOf = async ({ headers, url }: Server, kind: Kind): Promise<string> => {
  const [name = "", value = ""] = headers[0]?.split(": ") ?? ["x-none", ""]
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", [name]: value },
    body: bodies[kind]
  })
  return response.text()
}

/** Equal work: all say the same to the byte, but for white space around it. */
export const sameAnswers = async (servers: ReadonlyArray<Server>, kind: Kind): Promise<void> => {
  const [first = "", ...others] = (await Promise.all(servers.map((one) => answerOf(one, kind)))).map((t) => t.trim())
  const other = others.find((text) => text !== first)
  if (other !== undefined) throw new Error(`Answers differ:\n${first}\n${other}`)
}
