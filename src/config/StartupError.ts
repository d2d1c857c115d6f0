import * as Schema from "effect/Schema"

/**
 * The program cannot start. The message is all that the program prints before it exits with 1: what failed, where
 * (an address or a folder, never a password), and what the person at the keyboard can do about it.
 */
export class StartupError extends Schema.TaggedError<StartupError>()("StartupError", {
  what: Schema.String,
  where: Schema.String,
  fix: Schema.String
}) {
  override get message() {
    return `${this.what}: ${this.where}\n${this.fix}`
  }
}
