import type { Trial } from "./Trial.ts"

/** What came back of a trial. */
export interface Outcome {
  readonly status: number
  /** The texts that should be JSON, one an answer or event. */
  readonly answers: ReadonlyArray<string>
  /** Why there is none: refused, reset, cut off, or nothing within the time. */
  readonly failure?: string
}

const answerMillisMax = 15_000
/** How long a stream that goes on is listened to. */
const listenMillis = 150
/** A longer message closes its socket, on Bun without a close frame. */
const messageBytesMax = 131_072

/** Ways to end a socket that tell the client what it did, or that the server is about to stop. */
const isDeliberate = (code: number): boolean =>
  (code >= 1000 && code <= 1013 && code !== 1006 && code !== 1011) || (code >= 4400 && code < 4500)

const events = (text: string): ReadonlyArray<string> => [...text.matchAll(/^data: (.+)$/gm)].map(([, data]) => data!)

const readStream = async (response: Response, abort: AbortController): Promise<ReadonlyArray<string>> => {
  const timer = setTimeout(() => abort.abort(), listenMillis)
  let text = ""
  const decoder = new TextDecoder()
  try {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true })
  } catch (error) {
    if (!abort.signal.aborted) throw error
  } finally {
    clearTimeout(timer)
  }
  return events(text.slice(0, text.lastIndexOf("\n\n") + 2))
}

const overHttp = async (url: string, { headers, text, via }: Trial): Promise<Outcome> => {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), answerMillisMax)
  try {
    const isGet = via === "get"
    const path = via === "stream" ? "/graphql/stream" : "/graphql"
    const response = await fetch(`${url}${path}${isGet ? `?${text}` : ""}`, {
      method: isGet ? "GET" : "POST",
      headers,
      signal: abort.signal,
      ...(isGet ? {} : { body: Buffer.from(text, "utf8") })
    })
    const { status } = response
    if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
      return { status, answers: await readStream(response, abort) }
    }
    const body = await response.text()
    return { status, answers: status === 304 ? [] : [body] }
  } catch (error) {
    return { status: 0, answers: [], failure: `no answer: ${error instanceof Error ? error.message : String(error)}` }
  } finally {
    clearTimeout(timer)
  }
}

/** Connects, says the one message, and waits until it is answered or, where it need not be, a ping after it is. */
const overSocket = (url: string, { asked, headers, text }: Trial): Promise<Outcome> =>
  new Promise((resolve) => {
    const answers: Array<string> = []
    const wantsResult = asked !== undefined && asked.kind !== "subscription"
    // Bun's own: pages cannot set headers.
    const init = { protocols: ["graphql-transport-ws"], headers }
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/graphql`, init as never)
    const end = (failure?: string): void => {
      clearTimeout(timer)
      socket.close()
      resolve({ status: 101, answers, ...(failure === undefined ? {} : { failure }) })
    }
    const timer = setTimeout(() => end("no answer on the socket"), answerMillisMax)
    const token = /^Bearer (.+)$/.exec(headers["authorization"] ?? "")?.[1]
    socket.addEventListener("open", () =>
      socket.send(JSON.stringify({ type: "connection_init", ...(token === undefined ? {} : { payload: { token } }) }))
    )
    socket.addEventListener("message", ({ data }) => {
      const message = String(data)
      answers.push(message)
      if (message.startsWith('{"type":"connection_ack"')) {
        socket.send(text)
        socket.send('{"type":"ping"}')
      } else if (message.startsWith('{"type":"pong"')) {
        if (!wantsResult) setTimeout(end, listenMillis)
      } else if (wantsResult) end()
    })
    // A handshake that is refused has no code of its own: by Origin, or for what HTTP does not allow in a header.
    const isRefusable = Object.entries(headers).some(
      // oxlint-disable-next-line no-control-regex
      ([name, value]) => name === "origin" || /[\u0000-\u001f]/.test(value)
    )
    socket.addEventListener("close", ({ code }) =>
      end(isDeliberate(code) || text.length > messageBytesMax || isRefusable ? undefined : `closed with ${code}`)
    )
  })

export const exchange = (url: string, trial: Trial): Promise<Outcome> =>
  trial.via === "socket" ? overSocket(url, trial) : overHttp(url, trial)
