import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Ids from "../domain/Ids.ts"
import { Text } from "../domain/Text.ts"
import * as PageArgs from "../graphql/PageArgs.ts"
import { field, type Part, viewer } from "../graphql/Part.ts"
import type { Session } from "../session/Sessions.ts"
import { History } from "./History.ts"

/** Room for the longest message in quotes: whoever pastes a message finds it. */
const SearchText = Text(1, 4_002)

const Page = Schema.Struct({
  ...PageArgs.forward(20),
  with: Schema.optional(Schema.NullOr(Ids.Global("User", Ids.UserId)))
})
const Own = Schema.Struct({ ...PageArgs.forward(20), active: Schema.optional(Schema.NullOr(Schema.Boolean)) })
const Search = Schema.Struct({
  text: SearchText,
  interactionId: Schema.optional(Schema.NullOr(Ids.Global("Interaction", Ids.InteractionId))),
  ...PageArgs.forward(20)
})

/** The history service's part of the schema. */
export const part: Effect.Effect<Part, never, History> = Effect.map(History, (history): Part => ({
  Query: {
    history: field(Page, ({ after, first, with: withId }, request) =>
      Effect.flatMap(viewer(request), ({ userId }) =>
        history.page({
          field: "history",
          viewerId: userId,
          first,
          after: after ?? null,
          withId: withId ?? null,
          active: null
        })
      )
    ),
    searchMessages: field(Search, ({ after, first, interactionId, text }, request) =>
      Effect.flatMap(viewer(request), ({ userId }) =>
        history.search({ viewerId: userId, text, interactionId: interactionId ?? null, first, after: after ?? null })
      )
    )
  },
  types: {
    Viewer: {
      interactions: field(Own, ({ active, after, first }, _, { userId }: Session) =>
        history.page({
          field: "Viewer.interactions",
          viewerId: userId,
          first,
          after: after ?? null,
          withId: null,
          active: active ?? null
        })
      )
    }
  }
}))
