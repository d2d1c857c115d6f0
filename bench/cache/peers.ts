import { keys, type Profile } from "./nodes.ts"

/** Not in the types of this program: bench/package.json installs them. */
const load = (name: string): Promise<Loaded> => import(name)

/** What we use of the packages, all of it. */
interface Loaded {
  readonly BentoCache: new (options: { readonly default: string; readonly stores: object }) => Bento
  readonly bentostore: () => Record<"useL1Layer" | "useL2Layer", (driver: unknown) => unknown>
  readonly memoryDriver: (options: object) => unknown
  readonly redisDriver: (options: object) => unknown
  readonly createCache: (options: object) => Simple
  readonly Keyv: new (options: object) => Simple
}

interface Bento {
  readonly get: (of: { readonly key: string }) => Promise<unknown>
  readonly set: (of: { readonly key: string; readonly value: Value; readonly ttl: number }) => Promise<unknown>
  readonly disconnectAll: () => Promise<unknown>
}

interface Simple {
  readonly get: (key: string) => Promise<unknown>
  readonly set: (key: string, value: Value) => Promise<unknown>
  readonly disconnect: () => Promise<unknown>
}

type Value = typeof Profile.Type

export interface Peer {
  readonly get: (key: string) => Promise<unknown>
  readonly set: (key: string, value: Value) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

const hour = 3_600_000

export const bentoNear = async (): Promise<Peer> => {
  const { BentoCache, bentostore } = await load("bentocache")
  const { memoryDriver } = await load("bentocache/drivers/memory")
  const stores = { near: bentostore().useL1Layer(memoryDriver({ maxItems: keys.length * 10 })) }
  return bento(new BentoCache({ default: "near", stores }))
}

/** Its documentation leaves `enableAutoPipelining` off, which costs it more than half of its speed. */
export const bentoStore = async (port: number, enableAutoPipelining: boolean): Promise<Peer> => {
  const { BentoCache, bentostore } = await load("bentocache")
  const { redisDriver } = await load("bentocache/drivers/redis")
  const connection = { host: "127.0.0.1", port, enableAutoPipelining }
  return bento(
    new BentoCache({ default: "store", stores: { store: bentostore().useL2Layer(redisDriver({ connection })) } })
  )
}

const bento = (cache: Bento): Peer => ({
  get: (key) => cache.get({ key }),
  set: (key, value) => cache.set({ key, value, ttl: hour }),
  close: () => cache.disconnectAll()
})

export const cacheManager = async (): Promise<Peer> => {
  const { createCache } = await load("cache-manager")
  const cache = createCache({ ttl: hour })
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value),
    close: () => cache.disconnect()
  }
}

/** In memory, for the context that cache-manager stands on it. */
export const keyv = async (): Promise<Peer> => {
  const { Keyv } = await load("keyv")
  const cache = new Keyv({ ttl: hour })
  return { get: (key) => cache.get(key), set: (key, value) => cache.set(key, value), close: () => cache.disconnect() }
}

export const ioredisJson = async (
  port: number
): Promise<Peer & { readonly getMany: (keys: ReadonlyArray<string>) => Promise<unknown> }> => {
  const { Redis } = await import("ioredis")
  const redis = new Redis({ host: "127.0.0.1", port, enableAutoPipelining: true })
  return {
    get: async (key) => {
      const text = await redis.get(`raw:${key}`)
      return text === null ? undefined : JSON.parse(text)
    },
    getMany: async (keys) => {
      const texts = await redis.mget(keys.map((key) => `raw:${key}`))
      return new Map(texts.map((text, index) => [keys[index]!, text === null ? undefined : JSON.parse(text)]))
    },
    set: (key, value) => redis.set(`raw:${key}`, JSON.stringify(value), "PX", hour),
    close: async () => redis.disconnect()
  }
}
