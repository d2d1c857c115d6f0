import type * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import type { Seat } from "../store/Seats.ts"

/** What a read comes to. */
export type Found<A, E> = Exit.Exit<Option.Option<A>, E>

/** A read of one key that is under way, and all who wait for it. */
export interface Flight<K, A, E> {
  readonly key: string
  readonly input: K
  result: Found<A, E> | undefined
  readonly waiting: Array<Seat<Option.Option<A>, E>>
  /** The value was changed while this read ran: its callers may have the result, but nobody after them. */
  obsolete: boolean
  /** Nobody can join it any more. */
  left: boolean
  /** How often it was heard that the key changed elsewhere, since it was last read or written here. */
  news: number
  /** Ends its wait for another process. */
  wake: (() => void) | undefined
  /** When it stops waiting for others, milliseconds of the Clock. */
  patientUntil: number | undefined
}

/** Answers all who wait. Once. */
export const land = <K, A, E>(flight: Flight<K, A, E>, result: Found<A, E>): void => {
  if (flight.result !== undefined) return
  flight.result = result
  for (const seat of flight.waiting) seat.answer(result)
  flight.waiting.length = 0
}
