import { expect, test } from "bun:test"
import * as fc from "fast-check"
import { Buckets, none } from "../../src/queuing/Buckets.ts"

const operation = fc.record({ key: fc.nat(300), age: fc.nat(20), what: fc.constantFrom("link", "unlink", "release") })

test("lists by key hold what is linked, oldest first, however entries come and go", () => {
  fc.assert(
    fc.property(fc.array(operation, { size: "max", maxLength: 600 }), (operations) => {
      const ages: Array<number> = []
      const buckets = new Buckets((a, b) => ages[a]! < ages[b]! || (ages[a] === ages[b] && a < b))
      const model = new Map<number, Array<{ slot: number; entry: number; linked: boolean }>>()
      for (const [slot, { key, age, what }] of operations.entries()) {
        ages[slot] = age
        const list = model.get(key) ?? []
        model.set(key, list)
        const other = list[age % (list.length || 1)]
        if (what === "link" || other === undefined) {
          const entry = buckets.allocate(slot, key % 7, key, none)
          buckets.link(entry)
          list.push({ slot, entry, linked: true })
        } else {
          if (other.linked) buckets.unlink(other.entry)
          other.linked = false
          if (what === "release") {
            buckets.release(other.entry)
            list.splice(list.indexOf(other), 1)
          }
        }
      }
      for (const [key, list] of model) {
        const bucket = buckets.find(key % 7, key)
        const found: Array<number> = []
        if (bucket !== none)
          for (let entry = buckets.head[bucket]!; entry !== none; entry = buckets.next[entry]!)
            found.push(buckets.slot[entry]!)
        const expected = list.filter(({ linked }) => linked).map(({ slot }) => slot)
        expect(found).toEqual(expected.sort((a, b) => ages[a]! - ages[b]! || a - b))
        expect(bucket === none).toBe(list.length === 0)
      }
    }),
    { numRuns: 60 }
  )
})
