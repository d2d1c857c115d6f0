import * as Effect from "effect/Effect"
import * as States from "../../src/actor/States.ts"
import { it } from "../kit/effect.ts"
import { contract } from "./stateContract.ts"

contract((name, body) => it(`in memory, ${name}`, () => Effect.provide(body(), States.layerMemory)))
