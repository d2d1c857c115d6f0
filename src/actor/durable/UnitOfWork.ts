import * as Context from "effect/Context"
import type { Write } from "../States.ts"

/**
 * Present while a durable message is handled: states that are set then are not written one by one but with all others of
 * the transaction, and are in effect when it is committed.
 */
export class UnitOfWork extends Context.Tag("@connect/actor/UnitOfWork")<
  UnitOfWork,
  {
    /** The last write of an activation counts. */
    readonly stage: (write: Write) => void
  }
>() {}
