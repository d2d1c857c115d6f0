/** The numbers of an address: four of an IPv4, sixteen of an IPv6. */
type Bytes = ReadonlyArray<number>

/** Some addresses: those whose first `bits` are these. */
export interface Network {
  readonly bytes: Bytes
  readonly bits: number
}

/** One subscriber has a whole /64 at least, and can send from any address in it. */
const subscriberBits = 64

const clothes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

const v4 = (text: string): Bytes | undefined => {
  const parts = text.split(".")
  if (parts.length !== 4) return undefined
  const bytes = parts.map((part) => (/^(0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256))
  return bytes.every((byte) => byte < 256) ? bytes : undefined
}

/** The groups between colons; the last may be an IPv4 where the address ends with it. */
const groups = (text: string, isEnd: boolean): Bytes | undefined => {
  if (text === "") return []
  const bytes: Array<number> = []
  const parts = text.split(":")
  for (const [n, part] of parts.entries()) {
    const last = isEnd && n === parts.length - 1 && part.includes(".") ? v4(part) : undefined
    if (last !== undefined) bytes.push(...last)
    else if (/^[\da-f]{1,4}$/i.test(part)) bytes.push(Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff)
    else return undefined
  }
  return bytes
}

const v6 = (text: string): Bytes | undefined => {
  const parts = text.split("::")
  const halves = parts.map((part, n) => groups(part, n === parts.length - 1))
  const [head, tail] = halves
  if (halves.length > 2 || head === undefined || (halves.length === 2 && tail === undefined)) return undefined
  if (tail === undefined) return head.length === 16 ? head : undefined
  const left = 16 - head.length - tail.length
  return left < 2 ? undefined : [...head, ...Array.from({ length: left }, () => 0), ...tail]
}

/** undefined for what is no address. IPv4 in IPv6's clothes is IPv4; a zone (`%eth0`) says nothing to us. */
const parse = (text: string): Bytes | undefined => {
  if (!text.includes(":")) return v4(text)
  const bytes = v6(text.replace(/%.*$/, ""))
  return bytes !== undefined && clothes.every((byte, n) => bytes[n] === byte) ? bytes.slice(12) : bytes
}

/** `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`; undefined for what is neither an address nor a network. */
export const read = (text: string): Network | undefined => {
  const [, address = "", mask] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const bytes = parse(address)
  if (bytes === undefined) return undefined
  const bits = mask === undefined ? bytes.length * 8 : Number(mask)
  return bits <= bytes.length * 8 ? { bytes, bits } : undefined
}

const has = ({ bits, bytes }: Network, address: Bytes): boolean =>
  bytes.length === address.length &&
  bytes.every((byte, n) => {
    const free = Math.min(8, Math.max(0, (n + 1) * 8 - bits))
    return byte >> free === address[n]! >> free
  })

/** Whether the address is in one of the networks; what is no address is in none. */
export const includes = (networks: ReadonlyArray<Network>, text: string): boolean => {
  const address = parse(text)
  return address !== undefined && networks.some((network) => has(network, address))
}

/** The address that a proxy says it was asked from, without a port; undefined for what is none. */
export const forwarded = (hop: string): string | undefined => {
  const [, bracketed, plain] = /^\s*(?:\[([^\]]+)\](?::\d+)?|([\d.]+)(?::\d+)?)\s*$/.exec(hop) ?? []
  const text = bracketed ?? plain ?? hop.trim()
  return parse(text) === undefined ? undefined : text
}

/** Whose address it is: an IPv4 by itself, an IPv6 as the first 64 bits, such as `2001:db8:0:1::/64`. */
export const subscriber = (text: string): string => {
  const bytes = text.includes(":") ? parse(text) : undefined
  if (bytes === undefined) return text
  if (bytes.length === 4) return bytes.join(".")
  const words = [0, 2, 4, 6].map((n) => ((bytes[n]! << 8) | bytes[n + 1]!).toString(16))
  return `${words.join(":")}::/${subscriberBits}`
}
