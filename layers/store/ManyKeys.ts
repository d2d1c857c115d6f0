import { Command } from "ioredis"

/** A command whose arguments are its keys, with its reply as bytes. */
export class ManyKeys extends Command {
  constructor(name: string, keys: ReadonlyArray<string>) {
    super(name, [...keys], { replyEncoding: null })
  }

  /** ioredis counts the bytes of each key; of text that is as long as its bytes once is enough. */
  override toWritable(socket: object): string | Buffer {
    const keys = this.args as ReadonlyArray<string>
    const text = `*${keys.length + 1}\r\n$${this.name.length}\r\n${this.name}\r\n${bulk(keys)}`
    return Buffer.byteLength(text) === text.length ? text : super.toWritable(socket)
  }
}

/** Keys of one cache are often equally long. */
const bulk = (keys: ReadonlyArray<string>): string => {
  const { length } = keys[0]!
  return keys.every((key) => key.length === length)
    ? `$${length}\r\n${keys.join(`\r\n$${length}\r\n`)}\r\n`
    : keys.map((key) => `$${key.length}\r\n${key}\r\n`).join("")
}
