import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Ids from "../../src/domain/Ids.ts"
import type { Part } from "../../src/graphql/Part.ts"
import { field, forViewer, memo, plain, type RequestContext } from "../../src/graphql/Part.ts"
import * as Batcher from "../../src/request/Batcher.ts"
import type { Person } from "./rows.ts"
import { byId, interaction, page } from "./rows.ts"

/** The rows are at hand, as they are for the peers: one read for many senders is done at once. */
const senders = (request: RequestContext) => memo(request, "person", () => Batcher.make(() => Exit.succeed(byId)))

/** The part of the contract that is asked, over the rows of the bench. */
export const part: Part = {
  Query: {
    user: field(
      Schema.Struct({
        id: Schema.optional(Schema.NullOr(Ids.Global("User", Ids.UserId))),
        handle: Schema.optional(Schema.NullOr(Schema.String))
      }),
      ({ id }, request) => forViewer(request, () => Exit.succeed(byId.get(id ?? "") ?? null))
    ),
    interaction: field(Schema.Struct({ id: Ids.Global("Interaction", Ids.InteractionId) }), ({ id }, request) =>
      forViewer(request, () => Exit.succeed(id === interaction.id ? interaction : null))
    )
  },
  types: {
    User: { id: plain((person: Person) => Ids.toGlobal("User", person.id)) },
    Message: {
      sender: plain(({ senderId }: { readonly senderId: string }, request) => senders(request).find(senderId))
    },
    Interaction: {
      messages: field(
        Schema.Struct({
          first: Schema.optional(Schema.NullOr(Schema.Int)),
          last: Schema.optional(Schema.NullOr(Schema.Int)),
          after: Schema.optional(Schema.NullOr(Schema.String)),
          before: Schema.optional(Schema.NullOr(Schema.String))
        }),
        () => page
      )
    }
  }
}
