import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Settings } from "../config/Settings.ts"
import * as Ids from "../domain/Ids.ts"
import { connection } from "../domain/Page.ts"
import { ClientKey, MessageBody } from "../domain/Text.ts"
import * as Batcher from "../request/Batcher.ts"
import { Cursor } from "../graphql/Cursor.ts"
import * as PageArgs from "../graphql/PageArgs.ts"
import { field, memo, type Part, plain, type RequestContext, viewer } from "../graphql/Part.ts"
import type { Interaction } from "../interaction/Interaction.ts"
import * as UserLoader from "../user/UserLoader.ts"
import type { Users } from "../user/Users.ts"
import { bodyFor, type Message } from "./Message.ts"
import { Messages, type Window } from "./Messages.ts"

const SendMessage = Schema.Struct({
  input: Schema.Struct({
    interactionId: Ids.Global("Interaction", Ids.InteractionId),
    clientKey: ClientKey,
    body: Schema.optional(Schema.NullOr(MessageBody)),
    voiceNoteId: Schema.optional(Schema.NullOr(Schema.String))
  }).pipe(
    Schema.filter(({ body, voiceNoteId }) => {
      if (voiceNoteId != null) return { path: ["voiceNoteId"], message: "voice notes are not available yet" }
      return body != null || { path: ["body"], message: "is missing" }
    })
  )
})

/** Messages of a page that names no size. */
const pageSizeDefault = 20
const connectionField = "Interaction.messages"

/** Moderators see what the sender sees, and removed texts too: they must be able to judge. */
const shownBody = (message: Message, { session }: RequestContext): string | null => {
  if (Option.isNone(session)) return bodyFor(message, undefined)
  return session.value.role === "USER" ? bodyFor(message, session.value.userId) : message.body
}

/** The pages of many interactions that one request asks for with the same arguments are read together. */
const pageLoader = Effect.gen(function* () {
  const messages = yield* Messages
  const cursor = yield* Cursor

  return (request: RequestContext, { id, state }: Interaction, args: PageArgs.Both) =>
    Effect.gen(function* () {
      const { backward, limit } = PageArgs.window(args, pageSizeDefault)
      const path = backward ? "before" : "after"
      const position = yield* cursor.decode<readonly [number]>(connectionField, { id }, args[path], path)
      const from = Option.match(position, { onNone: () => null, onSome: ([seq]) => seq })
      const window: Window = { backward, limit, from }
      const read = state === "ENDED" ? messages.endedWindows : messages.windows
      const batcher = memo(request, `${connectionField} ${state} ${JSON.stringify(window)}`, () =>
        Batcher.make((ids: ReadonlyArray<Ids.InteractionId>) => read(ids, window))
      )
      const found = Option.getOrElse(yield* batcher.load(id), () => ({ messages: [], more: false }))
      return connection(
        found.messages.map((node) => ({ node, cursor: cursor.encode(connectionField, { id }, [node.seq]) })),
        {
          hasNextPage: backward ? from !== null : found.more,
          hasPreviousPage: backward ? found.more : from !== null
        }
      )
    })
})

/** The communication service's part of the schema. */
export const part: Effect.Effect<Part, never, Messages | Users | Cursor | Settings> = Effect.gen(function* () {
  const messages = yield* Messages
  const settings = yield* Settings
  const users = yield* UserLoader.make
  const loadPage = yield* pageLoader
  const Page = Schema.Struct(PageArgs.both(settings.communication.messagesPerPageMax)).pipe(PageArgs.oneWay)

  return {
    Mutation: {
      sendMessage: field(SendMessage, ({ input }, request) =>
        Effect.flatMap(viewer(request), ({ userId }) =>
          messages.send({
            userId,
            interactionId: input.interactionId,
            clientKey: input.clientKey,
            body: input.body ?? ""
          })
        )
      )
    },
    types: {
      Message: {
        interactionId: plain((message: Message) => Ids.toGlobal("Interaction", message.interactionId)),
        sender: plain((message: Message, request) => users.find(request, message.senderId)),
        body: plain((message: Message, request) => shownBody(message, request))
      },
      Interaction: {
        messages: field(Page, (args, request, interaction: Interaction) => loadPage(request, interaction, args))
      }
    },
    nodes: {
      Message: (uuid, request) =>
        Effect.gen(function* () {
          const session = yield* viewer(request)
          const id = uuid as Ids.MessageId
          return session.role === "USER"
            ? Option.getOrNull(yield* messages.find(id, session.userId))
            : ((yield* messages.byIds([id])).get(id) ?? null)
        })
    }
  }
})
