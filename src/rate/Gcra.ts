import type { MemoryData, Script } from "../store/Store.ts"

/** A charge on a key; both in whole microseconds of its rule's pace. */
export interface Charged {
  readonly tolerance: number
  readonly cost: number
}

/**
 * Calls of one charge each that follow one another and are alike are one argument, `calls:tolerance:cost`; a call of
 * several charges is one argument a charge, `+:tolerance:cost`, and `=:tolerance:cost` for the last.
 */
export const argsOf = (calls: ReadonlyArray<ReadonlyArray<Charged>>, nowMicros?: number): ReadonlyArray<string> => {
  const args = [nowMicros === undefined ? "" : String(nowMicros)]
  for (let from = 0; from < calls.length;) {
    const charges = calls[from++]!
    const { cost, tolerance } = charges[0]!
    if (charges.length > 1) {
      const last = charges.length - 1
      for (const [index, one] of charges.entries())
        args.push(`${index === last ? "=" : "+"}:${one.tolerance}:${one.cost}`)
      continue
    }
    let alike = 1
    for (; from < calls.length; from++, alike++) {
      const next = calls[from]!
      if (next.length > 1 || next[0]!.cost !== cost || next[0]!.tolerance !== tolerance) break
    }
    args.push(`${alike}:${tolerance}:${cost}`)
  }
  return args
}

/**
 * A key lives this long beyond what it owes. As long as what it holds stays within one multiple of this, the time of
 * its end need not be written again, which is most of what a write costs.
 */
const keepMicros = 60_000_000

/**
 * GCRA. Each key holds the theoretical arrival time: when, at the rule's pace, all that was taken will be paid off. A
 * charge is taken when that lies no further ahead than the tolerance. The charges of one call are taken together or not
 * at all; calls after it see what it took. Keys may repeat. Nobody owes more than the tolerance: what a clock that was set
 * back leaves beyond it is forgotten.
 * args: the time in microseconds or "" for the store's own, then `argsOf`. Reply: how far ahead of now each key was
 * before its charge, in microseconds, with what the same call has asked of it before.
 */
export const take: Script<ReadonlyArray<number>> = {
  name: "rate_take",
  lua: `
local call, format, ceil = redis.call, string.format, math.ceil
local keep = ${keepMicros}
local now = tonumber(ARGV[1])
if not now then
  local time = call("TIME")
  now = time[1] * 1000000 + time[2]
end
local stored = call("MGET", unpack(KEYS))
local ahead, reply, i = {}, {}, 0
local together, stood, refused = {}, {}, false
local function save(key, at, was)
  if at <= now then return end
  ahead[key] = at
  if was > 0 and at % keep >= at - was then
    call("INCRBY", key, format("%d", at - was))
  else
    call("PSETEX", key, format("%d", ceil((at - now + keep) / 1000)), format("%d", at))
  end
end
local function owed(key, tolerance)
  local was = ahead[key] or tonumber(stored[i] or 0)
  if was - now <= tolerance then return was end
  save(key, now + tolerance, 0)
  return now + tolerance
end
for run = 2, #ARGV do
  local mark, tolerance, cost = string.match(ARGV[run], "^(.-):(%d+):(%d+)$")
  tolerance, cost = tonumber(tolerance), tonumber(cost)
  local latest = now + tolerance - cost
  local alike = tonumber(mark)
  for _ = 1, alike or 0 do
    i = i + 1
    local key = KEYS[i]
    local was = owed(key, tolerance)
    local at = was > now and was or now
    reply[i] = at - now
    if at <= latest then save(key, at + cost, was) end
  end
  if not alike then
    i = i + 1
    local key = KEYS[i]
    local at = together[key]
    if not at then
      local was = owed(key, tolerance)
      at = was > now and was or now
      stood[key] = was
    end
    reply[i] = at - now
    if at > latest then refused = true end
    together[key] = at + cost
    if mark == "=" then
      if not refused then
        for taken, till in pairs(together) do save(taken, till, stood[taken]) end
      end
      together, stood, refused = {}, {}, false
    end
  end
end
return reply`,
  memory: (data, keys, args, nowMillis) => {
    const now = args[0] === "" ? Math.round(nowMillis * 1_000) : Number(args[0])
    const reply: Array<number> = []
    let together = new Map<string, number>()
    let refused = false
    const owed = (key: string, most: number): number => {
      const was = Number(data.get(key) ?? 0)
      if (was <= most) return Math.max(now, was)
      save(data, key, most, now)
      return most
    }
    const before = (key: string, tolerance: number): number => {
      const at = together.get(key) ?? owed(key, now + tolerance)
      reply.push(at - now)
      return at
    }
    for (const [mark, tolerance, cost] of args.slice(1).map(parse)) {
      const latest = now + tolerance - cost
      const alike = Number(mark)
      for (let n = 0; n < alike; n++) {
        const key = keys[reply.length]!
        const at = before(key, tolerance)
        if (at <= latest) save(data, key, at + cost, now)
      }
      if (alike > 0) continue
      const key = keys[reply.length]!
      const at = before(key, tolerance)
      if (at > latest) refused = true
      together.set(key, at + cost)
      if (mark === "+") continue
      if (!refused) for (const [taken, till] of together) save(data, taken, till, now)
      together = new Map()
      refused = false
    }
    return reply
  },
  decode: (reply) => reply as ReadonlyArray<number>
}

const parse = (arg: string): readonly [mark: string, tolerance: number, cost: number] => {
  const [mark, tolerance, cost] = arg.split(":")
  return [mark!, Number(tolerance), Number(cost)]
}

const save = (data: MemoryData, key: string, at: number, now: number): void => {
  if (at <= now) return
  const same = Math.floor(Number(data.get(key) ?? -1) / keepMicros) === Math.floor(at / keepMicros)
  data.set(key, String(at), same ? data.pttl(key) : Math.ceil((at - now + keepMicros) / 1_000))
}
