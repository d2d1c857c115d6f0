/**
 * A Postgres that is a few milliseconds away: a real one, with a proxy before it that holds each answer back as if its
 * statement had run for so long. A connection answers one statement at a time, so a pool of connections is a limit that
 * costs no CPU.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as PostgresServer from "../../layers/database/PostgresServer.ts"
import { freePort } from "../../test/kit/ports.ts"
import { newFolder, serverOptions, urlAt } from "../../test/kit/Postgres.ts"

interface Answers {
  readonly client: Bun.Socket<unknown>
  /** What belongs to an answer that is not whole. */
  pending: Buffer
  /** Up to where `pending` was looked at. */
  seen: number
  /** When the last answer goes out. */
  due: number
}

const readyForQuery = 0x5a
const notification = 0x41

/** Sends each whole answer, in its turn. A message of the backend is a letter and its length, which counts itself. */
const relay = (answers: Answers, chunk: Buffer, millis: number): void => {
  answers.pending = answers.pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([answers.pending, chunk])
  for (;;) {
    const { pending, seen } = answers
    if (seen + 5 > pending.length) return
    const end = seen + 1 + pending.readUInt32BE(seen + 1)
    if (end > pending.length) return
    const kind = pending[seen]
    const isAnswer = kind === readyForQuery
    // What nobody asked for is not held back.
    if (!isAnswer && !(kind === notification && seen === 0)) {
      answers.seen = end
      continue
    }
    const whole = pending.subarray(0, end)
    answers.pending = pending.subarray(end)
    answers.seen = 0
    if (!isAnswer) {
      answers.client.write(whole)
      continue
    }
    const now = performance.now()
    answers.due = Math.max(now, answers.due) + millis
    setTimeout(() => answers.client.write(whole), answers.due - now)
  }
}

/** Before a server on that port; the port of its own. */
const proxy = (target: number, millis: number): number =>
  Bun.listen<{ upstream?: Bun.Socket<unknown>; early: Array<Buffer> }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (client) => {
        client.data = { early: [] }
        const answers: Answers = { client, pending: Buffer.alloc(0), seen: 0, due: 0 }
        void Bun.connect({
          hostname: "127.0.0.1",
          port: target,
          socket: {
            open: (upstream) => {
              client.data.upstream = upstream
              for (const chunk of client.data.early) upstream.write(chunk)
            },
            data: (_, chunk) => relay(answers, chunk, millis),
            close: () => void client.end(),
            error: () => void client.end()
          }
        })
      },
      data: ({ data }, chunk) => {
        if (data.upstream === undefined) data.early.push(Buffer.from(chunk))
        else data.upstream.write(chunk)
      },
      close: ({ data }) => void data.upstream?.end(),
      error: ({ data }) => void data.upstream?.end()
    }
  }).port

export interface SlowPostgres {
  /** Through the proxy. */
  readonly url: string
  /** Past it. */
  readonly directUrl: string
  readonly stop: () => Promise<void>
}

/** With so many milliseconds for each statement. */
export const start = async (millis: number): Promise<SlowPostgres> => {
  const port = await freePort()
  const scope = Effect.runSync(Scope.make())
  await Effect.runPromise(
    Effect.flatMap(serverOptions(newFolder(), port, {}), PostgresServer.start).pipe(Scope.extend(scope))
  )
  return {
    url: `${urlAt(proxy(port, millis), "postgres")}?sslmode=disable`,
    directUrl: urlAt(port, "postgres"),
    stop: () => Effect.runPromise(Scope.close(scope, { _tag: "Success", value: undefined } as never))
  }
}
