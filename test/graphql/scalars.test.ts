import { expect, test } from "bun:test"
import { rememberedMax, scalars } from "../../src/graphql/scalars.ts"

test("a time is told as it is, however many others were told before it", () => {
  const { serialize } = scalars["DateTime"]!
  const times = Array.from({ length: rememberedMax + 100 }, (_, i) => new Date(Date.UTC(2026, 0, 1, 0, 0, 0, i * 997)))
  for (const time of [...times, ...times]) expect(serialize(time)).toBe(time.toISOString())
  const moved = new Date(0)
  expect(serialize(moved)).toBe("1970-01-01T00:00:00.000Z")
  moved.setTime(1)
  expect(serialize(moved)).toBe("1970-01-01T00:00:00.001Z")
  expect(() => serialize(new Date(NaN))).toThrow()
  expect(() => serialize("1970-01-01T00:00:00.000Z")).toThrow("DateTime is not a Date")
})

test("a time in an argument is one of the calendar", () => {
  const { parseValue } = scalars["DateTime"]!
  const times = ["2028-02-29T23:59:59Z", "2026-12-31T00:00:00.123456789+14:00", "1970-01-01T00:00:00-00:00"]
  for (const time of times) expect(parseValue(time)).toBe(time)
  for (const time of [
    "2026-02-30T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-04-31T12:00:00+02:00",
    "2026-01-01T25:00:00Z"
  ])
    expect(() => parseValue(time)).toThrow("RFC 3339")
})
