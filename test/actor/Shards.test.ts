import { expect, test } from "bun:test"
import { ClusterShards, lockExpiry } from "../../src/actor/cluster/Shards.ts"
import * as Duration from "effect/Duration"

const setting = () => {
  let now = 0
  const shards = new ClusterShards("127.0.0.1:1", ["default"], () => now)
  const take = () => shards.gained(["default:7"], now)
  take()
  return { shards, take, pass: (millis: number) => (now += millis), first: shards.owned("default").get(7) }
}

test("a shard that was elsewhere between two looks shows by its term", () => {
  const { first, shards, take } = setting()
  shards.dropped(["default:7"])
  expect(shards.owned("default").has(7)).toBe(false)
  take()
  expect(shards.owned("default").get(7)).not.toBe(first)
})

test("so does one whose lock ran out, or that was given up with all the others", () => {
  const { first, pass, shards, take } = setting()
  pass(Duration.toMillis(lockExpiry))
  take()
  const second = shards.owned("default").get(7)
  expect(second).not.toBe(first)
  shards.droppedAll()
  take()
  expect(new Set([first, second, shards.owned("default").get(7)]).size).toBe(3)
})

test("a shard that stays keeps its term, however often its lock is renewed or taken again", () => {
  const { first, pass, shards, take } = setting()
  pass(1_000)
  shards.renewed(["default:7"], ["default:7"], 1_000)
  take()
  expect(shards.owned("default").get(7)).toBe(first)
})
