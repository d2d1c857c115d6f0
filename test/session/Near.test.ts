import { expect, test } from "bun:test"
import { Endings, rememberedMax } from "../../src/session/Endings.ts"
import { Near } from "../../src/session/Near.ts"

test("what is near goes when its time is over, and the oldest when there are too many", () => {
  const near = new Near<number>(2)
  near.set("ada", 1, 10, 0)
  expect([near.get("ada", 9), near.get("ada", 10)]).toEqual([1, undefined])
  for (const [n, token] of ["bob", "cem", "dan"].entries()) near.set(token, n, 20, 0)
  expect(["ada", "bob", "cem", "dan"].map((token) => near.get(token, 0))).toEqual([undefined, undefined, 1, 2])
  near.clear()
  expect(near.get("dan", 0)).toBeUndefined()
})

test("a token does not lie near long after its time", () => {
  const near = new Near<number>(10)
  near.set("ada", 1, 10, 0)
  near.set("bob", 2, 30, 10)
  // A clock that is set back would find it.
  expect([near.get("ada", 0), near.get("bob", 0)]).toEqual([undefined, 2])
})

test("an end is remembered for its time, and one that is forgotten before is told", () => {
  let forgotten = 0
  const endings = new Endings(10, () => forgotten++)
  endings.end("ada", "revoked", 0)
  endings.end("bob", "revoked", 9)
  expect([endings.has("ada"), endings.has("bob")]).toEqual([true, true])
  endings.end("cem", "revoked", 10)
  expect([endings.has("ada"), endings.has("bob")]).toEqual([false, true])
  expect(forgotten).toBe(0)
  for (let n = 0; n < rememberedMax; n++) endings.end(String(n), "revoked", 10)
  expect([endings.has("bob"), endings.has("cem"), endings.has("0")]).toEqual([false, false, true])
  expect(forgotten).toBe(2)
})
