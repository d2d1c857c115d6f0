import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { InteractionId } from "../domain/Ids.ts"
import { type DatabaseUnavailable, NotFound } from "../errors.ts"
import * as Batcher from "../request/Batcher.ts"
import { memo, type RequestContext } from "../graphql/Part.ts"
import type { Interaction } from "./Interaction.ts"
import { Interactions } from "./Interactions.ts"

/** Loads an interaction for one request, whoever asks: for parents that the viewer may see already. */
export type LoadInteraction = (
  request: RequestContext,
  id: InteractionId
) => Batcher.Load<Interaction, NotFound | DatabaseUnavailable>

/** All that one request asks for in one turn are read together. */
export const make: Effect.Effect<LoadInteraction, never, Interactions> = Effect.map(
  Interactions,
  (interactions): LoadInteraction =>
    (request, id) =>
      memo(request, interactions, () => Batcher.make(interactions.byIds)).read(
        id,
        Option.match({
          onNone: () => Exit.fail(new NotFound({ what: "Interaction" })),
          onSome: Exit.succeed<Interaction>
        })
      )
)
