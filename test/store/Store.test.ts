import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Store } from "../../src/store/Store.ts"
import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as Redis from "../kit/Redis.ts"
import { contract } from "./contract.ts"

const shared = StoreMemory.server()
const client = Effect.sync(() => StoreMemory.connect(shared))

contract("memory", Layer.effect(Store, client), client)
contract("Redis", Redis.layerStore, Effect.orDie(Effect.flatMap(Redis.shared, Redis.patientStore)))
contract("Redis Cluster", Redis.layerCluster, Effect.orDie(Redis.clusterStore))
