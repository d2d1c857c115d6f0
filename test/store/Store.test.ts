import * as StoreMemory from "../../src/store/StoreMemory.ts"
import * as Redis from "../kit/Redis.ts"
import { contract } from "./contract.ts"

contract("memory", StoreMemory.layer)
contract("Redis", Redis.layerStore)
