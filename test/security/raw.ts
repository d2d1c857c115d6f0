import { connect } from "node:net"

/** What came back of bytes that were sent as they are. */
export interface Raw {
  /** Statuses of the answers, in order. */
  readonly statuses: ReadonlyArray<number>
  readonly text: string
  /** Whether the server closed the connection, and when. */
  readonly closed: boolean
  readonly millis: number
}

/**
 * Sends the pieces, `pauseMillis` after one another, and reads until the server closes or `millisMax` is over. After an
 * answer it waits `quietMillis` for another one.
 */
export const raw = (
  port: number,
  pieces: ReadonlyArray<string>,
  { millisMax = 2_000, pauseMillis = 0, quietMillis = 300 } = {}
): Promise<Raw> =>
  new Promise((resolve) => {
    const begun = performance.now()
    const socket = connect(port, "127.0.0.1")
    let text = ""
    let quiet: ReturnType<typeof setTimeout> | undefined
    const end = (closed: boolean): void => {
      clearTimeout(timer)
      clearTimeout(quiet)
      clearInterval(sending)
      socket.destroy()
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))
      resolve({ statuses, text, closed, millis: performance.now() - begun })
    }
    const timer = setTimeout(() => end(false), millisMax)
    const left = [...pieces]
    const send = (): void => {
      const piece = left.shift()
      if (piece === undefined || socket.destroyed) clearInterval(sending)
      else socket.write(Buffer.from(piece, "latin1"))
    }
    const sending = setInterval(send, pauseMillis)
    socket.on("connect", send)
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1")
      clearTimeout(quiet)
      if (left.length === 0) quiet = setTimeout(() => end(false), quietMillis)
    })
    socket.on("error", () => {})
    socket.on("close", () => end(true))
  })
