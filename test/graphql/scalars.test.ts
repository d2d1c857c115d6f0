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
