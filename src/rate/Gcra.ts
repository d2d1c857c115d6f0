import * as Duration from "effect/Duration"
import type { MemoryData, Script } from "../store/Store.ts"

/** A rule in whole microseconds: `interval` for one unit, `tolerance` how far ahead of now a key may be. */
export interface Pace {
  readonly interval: number
  readonly tolerance: number
}

/** Rounded up, so that rounding never lets more through than the rule says. */
export const pace = (rule: {
  readonly limit: number
  readonly window: Duration.DurationInput
  readonly burst: number
}): Pace => {
  const interval = Math.ceil((Duration.toMillis(rule.window) * 1_000) / rule.limit)
  return { interval, tolerance: interval * rule.burst }
}

/** What the script says about one charge: how long until it would be taken (0: now), what is left, when all is back. */
export interface Verdict {
  readonly waitMicros: number
  readonly remaining: number
  readonly resetMicros: number
}

/**
 * GCRA. Each key holds the theoretical arrival time: when, at the rule's pace, all that was taken will be paid off. A
 * charge is taken when that lies no further ahead than the tolerance. All charges are taken or none.
 * args: the time in microseconds or "" for the store's own, then interval, tolerance and cost (in microseconds) of each
 * key. Reply: wait, remaining and reset of each.
 */
export const take: Script<ReadonlyArray<Verdict>> = {
  name: "rate_take",
  lua: `
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000000 + time[2]
end
local ahead, denied, reply = {}, false, {}
for i, key in ipairs(KEYS) do
  local interval, tolerance, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local before = ahead[key] or math.max(now, tonumber(redis.call("GET", key) or "0"))
  local after = before + cost
  local wait = math.max(0, after - now - tolerance)
  if wait > 0 then denied = true end
  ahead[key] = wait > 0 and before or after
  reply[3 * i - 2] = wait
  reply[3 * i - 1] = math.max(0, math.floor((tolerance - (ahead[key] - now)) / interval))
  reply[3 * i] = ahead[key] - now
end
if not denied then
  for key, at in pairs(ahead) do
    if at > now then
      redis.call("SET", key, string.format("%.0f", at), "PX", string.format("%.0f", math.ceil((at - now) / 1000)))
    end
  end
end
return reply`,
  memory: (data, keys, args, nowMillis) => {
    const now = args[0] === "" ? Math.round(nowMillis * 1_000) : Number(args[0])
    const ahead = new Map<string, number>()
    let denied = false
    const verdicts = keys.map((key, index): Verdict => {
      const [interval, tolerance, cost] = [1, 2, 3].map((offset) => Number(args[3 * index + offset])) as Numbers
      const before = ahead.get(key) ?? Math.max(now, Number(data.get(key) ?? 0))
      const waitMicros = Math.max(0, before + cost - now - tolerance)
      if (waitMicros > 0) denied = true
      const at = waitMicros > 0 ? before : before + cost
      ahead.set(key, at)
      const remaining = Math.max(0, Math.floor((tolerance - (at - now)) / interval))
      return { waitMicros, remaining, resetMicros: at - now }
    })
    if (!denied) save(data, ahead, now)
    return verdicts
  },
  decode: (reply) => {
    const numbers = (reply as ReadonlyArray<unknown>).map(Number)
    return Array.from({ length: numbers.length / 3 }, (_, index) => ({
      waitMicros: numbers[3 * index]!,
      remaining: numbers[3 * index + 1]!,
      resetMicros: numbers[3 * index + 2]!
    }))
  }
}

type Numbers = [interval: number, tolerance: number, cost: number]

const save = (data: MemoryData, ahead: ReadonlyMap<string, number>, now: number): void => {
  for (const [key, at] of ahead) if (at > now) data.set(key, String(at), Math.ceil((at - now) / 1_000))
}
