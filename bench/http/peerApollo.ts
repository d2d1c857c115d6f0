import { ApolloServer } from "@apollo/server"
import { startStandaloneServer } from "@apollo/server/standalone"
import DataLoader from "dataloader"
import type { Message } from "./peerSchema.ts"
import { resolvers, sdl, sendersById } from "./peerSchema.ts"

const loader = () => new DataLoader(sendersById)

interface Context {
  readonly load: ReturnType<typeof loader>
}

const server = new ApolloServer({
  typeDefs: sdl,
  resolvers: {
    ...resolvers,
    Message: {
      ...resolvers.Message,
      sender: ({ senderId }: Message, _: unknown, { load }: Context) => load.load(senderId)
    }
  } as never
})
const { url } = await startStandaloneServer(server, {
  listen: { port: 0, host: "127.0.0.1" },
  context: async () => ({ load: loader() })
})
console.log(url)
