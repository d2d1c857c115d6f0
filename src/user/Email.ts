import * as Schema from "effect/Schema"

/** RFC 5321's bounds. */
const charactersMax = 254
const localMax = 64

const form = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}$/

/**
 * An address that mail reaches. ASCII alone (international domains in their xn-- form), so that no look-alike letter
 * makes two addresses read as one. Decodes to itself; it is never shown to others and never logged.
 */
export const Email = Schema.String.pipe(
  Schema.filter((address) => {
    const local = address.slice(0, address.lastIndexOf("@"))
    const fits =
      address.length <= charactersMax && local.length <= localMax && form.test(address) && !/^\.|\.\.|\.$/.test(local)
    return fits || "is not an e-mail address"
  })
)
