import type { InteractionId, MessageId, UserId } from "../domain/Ids.ts"
import { Message, type MessageState } from "../communication/Message.ts"
import type { EndReason } from "./Interaction.ts"

/** A message as plain JSON: what crosses processes. `createdAt` is ISO 8601. */
export interface MessageJson {
  readonly id: MessageId
  readonly interactionId: InteractionId
  readonly seq: number
  readonly senderId: UserId | null
  readonly body: string | null
  readonly state: MessageState
  readonly createdAt: string
  readonly clientKey: string
}

/**
 * What happened in an interaction, numbered from 1 without gaps and kept for good. `at` is ISO 8601. The message of a
 * MessageAdded is as it was sent when the event is live, and as it is now when the event is replayed.
 */
export type NumberedEvent =
  | { readonly _tag: "MessageAdded"; readonly seq: number; readonly at: string; readonly message: MessageJson }
  | { readonly _tag: "MessageChanged"; readonly seq: number; readonly at: string; readonly message: MessageJson }
  | { readonly _tag: "ParticipantLeft"; readonly seq: number; readonly at: string; readonly userId: UserId }
  | {
      readonly _tag: "InteractionEnded"
      readonly seq: number
      readonly at: string
      readonly interactionId: InteractionId
      readonly reason: EndReason
    }

/** What is worth knowing now and nothing afterwards; it has no number and may be lost. */
export type EphemeralEvent =
  | { readonly _tag: "Typing"; readonly userId: UserId; readonly typing: boolean }
  | { readonly _tag: "ReadReceipt"; readonly userId: UserId; readonly seq: number }

/** What is published on the Broadcast topic of an interaction: plain JSON. */
export type EventSignal = NumberedEvent | EphemeralEvent

/** The Broadcast topic of an interaction. */
export const topic = (interactionId: string): string => `interaction:${interactionId}`

/** The numbers of `events.kind`. */
export const kinds = { MessageAdded: 1, MessageChanged: 2, ParticipantLeft: 3, InteractionEnded: 4 } as const

export const messageToJson = (message: Message): MessageJson => ({
  id: message.id,
  interactionId: message.interactionId,
  seq: message.seq,
  senderId: message.senderId,
  body: message.body,
  state: message.state,
  createdAt: message.createdAt.toISOString(),
  clientKey: message.clientKey
})

export const messageFromJson = (json: MessageJson): Message =>
  new Message({ ...json, createdAt: new Date(json.createdAt) }, { disableValidation: true })
