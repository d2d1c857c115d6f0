import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Placement } from "../ActorSystem.ts"
import { shardsPerGroup } from "../Shard.ts"

/** Without a renewal for this long a lock is anybody's. */
export const lockExpiry = Duration.seconds(3)

/** A node stops acting this long before its locks expire: what it has begun can end, and clocks may differ a little. */
export const fenceMargin = Duration.millis(500)

/** How long a lock lasts for its node, from when its taking or renewal was sent. */
const leaseMillis = Duration.toMillis(lockExpiry) - Duration.toMillis(fenceMargin)

/** A shard as the lock table names it. */
const parse = (key: string): readonly [group: string, shard: number] => {
  const at = key.lastIndexOf(":")
  return [key.slice(0, at), Number(key.slice(at + 1))]
}

/**
 * What this node knows of the shards: which it has the locks of, until when, and who has the others. The locks are rows
 * of a table; nothing here is decided, it is what was read and written last.
 */
export class ClusterShards {
  /** `host:port` of this node. */
  readonly address: string
  readonly groups: ReadonlySet<string>
  private readonly now: () => number
  /** Until when this node may act for a shard, by group and shard; 0 for one that it does not have. */
  private readonly leases = new Map<string, Float64Array>()
  /** Which time it is that the shard is here, by group and shard. */
  private readonly terms = new Map<string, Float64Array>()
  private holders = new Map<string, Array<string | undefined>>()
  private nodes: ReadonlySet<string> = new Set()
  /** Whether this node had to stop, until it takes shards anew. */
  fenced = false
  /** Ends the activations of shards that this node has given up, before others may have them. */
  handOver: Effect.Effect<void> = Effect.void
  /** Interrupts what shards do whose locks were not renewed in time. */
  cut: Effect.Effect<void> = Effect.void

  constructor(address: string, groups: Iterable<string>, now: () => number) {
    this.address = address
    this.groups = new Set(groups)
    this.now = now
  }

  /** Whether this node may act for the shard now. */
  holds(group: string, shard: number): boolean {
    return (this.leases.get(group)?.[shard] ?? 0) > this.now()
  }

  /** The node that had the shard when the table was read last. */
  holderOf(group: string, shard: number): string | undefined {
    return this.holders.get(group)?.[shard]
  }

  /** Whether the node had any shard when the table was read last. */
  isHolder(node: string): boolean {
    return this.nodes.has(node)
  }

  /**
   * The shards of the group that this node may act for, each with its term: another one each time that the shard came
   * here, so that who looks now and then sees that it was elsewhere in between.
   */
  owned(group: string): ReadonlyMap<number, number> {
    const owned = new Map<number, number>()
    const now = this.now()
    this.leases.get(group)?.forEach((until, shard) => {
      if (until > now) owned.set(shard, this.terms.get(group)?.[shard] ?? 0)
    })
    return owned
  }

  get placement(): ReadonlyArray<Placement> {
    return Array.from(this.holders, ([group, shards]) => {
      const counts = new Map<string, number>()
      for (const node of shards) if (node !== undefined) counts.set(node, (counts.get(node) ?? 0) + 1)
      return Array.from(counts, ([node, count]) => ({ group, node, shards: count }))
    }).flat()
  }

  /** Milliseconds until the first of its shards is over, 0 when one is; Infinity when it has none. */
  get leftMillis(): number {
    let first = Number.POSITIVE_INFINITY
    for (const leases of this.leases.values()) {
      for (const until of leases) if (until > 0 && until < first) first = until
    }
    return Math.max(0, first - this.now())
  }

  /** Locks that were taken by a statement sent at `sentMillis`. */
  gained(keys: Iterable<string>, sentMillis: number): void {
    this.fenced = false
    for (const key of keys) {
      const [group, shard] = parse(key)
      if (!this.holds(group, shard)) numbersOf(this.terms, group)[shard]! += 1
      this.set(key, sentMillis + leaseMillis)
    }
  }

  /** Of the locks asked for, these were renewed by a statement sent at `sentMillis`; the others are lost. */
  renewed(asked: Iterable<string>, keys: Iterable<string>, sentMillis: number): void {
    const renewed = new Set(keys)
    for (const key of asked) {
      // One that is being given up is renewed until it is released, and is not had any more.
      if (this.get(key) > 0) this.set(key, renewed.has(key) ? sentMillis + leaseMillis : 0)
    }
  }

  dropped(keys: Iterable<string>): void {
    for (const key of keys) this.set(key, 0)
  }

  droppedAll(): void {
    this.leases.clear()
  }

  /** Who has which shard, as read from the table. */
  read(rows: ReadonlyArray<{ readonly node: string; readonly shards: ReadonlyArray<string> }>): void {
    const holders = new Map<string, Array<string | undefined>>()
    for (const { node, shards } of rows) {
      for (const key of shards) {
        const [group, shard] = parse(key)
        let known = holders.get(group)
        if (known === undefined) holders.set(group, (known = Array<string | undefined>(shardsPerGroup + 1)))
        known[shard] = node
      }
    }
    this.holders = holders
    this.nodes = new Set(rows.map(({ node }) => node))
  }

  private get(key: string): number {
    const [group, shard] = parse(key)
    return this.leases.get(group)?.[shard] ?? 0
  }

  private set(key: string, until: number): void {
    const [group, shard] = parse(key)
    numbersOf(this.leases, group)[shard] = until
  }
}

/** A number for each shard of the group, 0 at first. */
const numbersOf = (byGroup: Map<string, Float64Array>, group: string): Float64Array => {
  let numbers = byGroup.get(group)
  if (numbers === undefined) byGroup.set(group, (numbers = new Float64Array(shardsPerGroup + 1)))
  return numbers
}

export class Shards extends Context.Tag("@connect/actor/ClusterShards")<Shards, ClusterShards>() {}
