import { StartupError } from "../../src/config/StartupError.ts"

/** What the server of every runtime is told. */
export interface Options {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** A connection on which nothing moves is closed; longer than a request may take. */
  readonly idleSeconds: number
  readonly socketPath: string
  /** Paths that are asked often; whatever the path, the same handler answers. */
  readonly paths: ReadonlyArray<string>
}

/** Why the server does not listen, for the person who started it. */
export const portInUse = ({ host, port }: Options, error: unknown): StartupError => {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error)
  return new StartupError({
    what: code === "EADDRINUSE" ? "The port is in use" : `The server cannot listen (${code})`,
    where: `http://${host}:${port}`,
    fix: "Stop what listens there, or set PORT to another port (PORT=0 takes a free one); HOST is the address."
  })
}
