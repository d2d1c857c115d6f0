import * as Layer from "effect/Layer"
import * as States from "../../src/actor/States.ts"
import { withLayer } from "../kit/effect.ts"
import * as Postgres from "../kit/Postgres.ts"
import { contract } from "./stateContract.ts"

withLayer("in Postgres", States.layerSql.pipe(Layer.provideMerge(Postgres.layerDatabase)), contract)
