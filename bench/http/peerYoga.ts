import { useGraphQlJit } from "@envelop/graphql-jit"
import DataLoader from "dataloader"
import { createSchema, createYoga } from "graphql-yoga"
import type { Message } from "./peerSchema.ts"
import { resolvers, sdl, sendersById } from "./peerSchema.ts"

const loader = () => new DataLoader(sendersById)

interface Context {
  readonly load: ReturnType<typeof loader>
}

const yoga = createYoga({
  schema: createSchema({
    typeDefs: sdl,
    resolvers: {
      ...resolvers,
      Message: {
        ...resolvers.Message,
        sender: ({ senderId }: Message, _: unknown, { load }: Context) => load.load(senderId)
      }
    } as never
  }),
  context: () => ({ load: loader() }),
  plugins: [useGraphQlJit()],
  graphiql: false,
  logging: false
})
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => yoga.fetch(request) })
console.log(`http://127.0.0.1:${server.port}`)
