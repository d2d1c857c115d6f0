import Fastify from "fastify"
import mercurius from "mercurius"
import type { Message } from "./peerSchema.ts"
import { resolvers, sdl, senders } from "./peerSchema.ts"

const app = Fastify()
app.register(mercurius, {
  schema: sdl,
  resolvers: resolvers as never,
  loaders: {
    Message: { sender: (queries: ReadonlyArray<{ readonly obj: Message }>) => senders(queries.map(({ obj }) => obj)) }
  } as never,
  jit: 1
})
console.log(await app.listen({ port: 0, host: "127.0.0.1" }))
