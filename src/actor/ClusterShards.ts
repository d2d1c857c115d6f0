import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Placement } from "./ActorSystem.ts"
import { shardsPerGroup } from "./Shard.ts"

/** Without a renewal for this long a lock is anybody's. */
export const lockExpiry = Duration.seconds(3)

/** A node stops acting this long before its locks expire: what it has begun can end, and clocks may differ a little. */
export const fenceMargin = Duration.millis(500)

/** A shard as the lock table names it. */
export const keyOf = (group: string, shard: number): string => `${group}:${shard}`

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
  private readonly held = new Map<string, Uint8Array>()
  private holders = new Map<string, Array<string | undefined>>()
  private nodes: ReadonlySet<string> = new Set()
  private count = 0
  private until = 0
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
    return this.held.get(group)?.[shard] === 1 && this.now() < this.until
  }

  /** The node that had the shard when the table was read last. */
  holderOf(group: string, shard: number): string | undefined {
    return this.holders.get(group)?.[shard]
  }

  /** Whether the node had any shard when the table was read last. */
  isHolder(node: string): boolean {
    return this.nodes.has(node)
  }

  /** The shards of the group that this node may act for. */
  owned(group: string): ReadonlyArray<number> {
    const owned: Array<number> = []
    if (this.now() >= this.until) return owned
    this.held.get(group)?.forEach((held, shard) => {
      if (held === 1) owned.push(shard)
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

  /** Milliseconds until this node must stop; 0 when it has nothing or has to stop now. */
  get leftMillis(): number {
    return this.count === 0 ? 0 : Math.max(0, this.until - this.now())
  }

  /** Locks that were taken by a statement sent at `sentMillis`. */
  gained(keys: Iterable<string>, sentMillis: number): void {
    // The locks held before count from their own renewal, which is earlier.
    if (this.leftMillis === 0) this.extend(sentMillis)
    this.fenced = false
    for (const key of keys) this.set(key, 1)
  }

  /** All locks held were renewed by a statement sent at `sentMillis`; it no longer has those not among the keys. */
  renewed(keys: ReadonlyArray<string>, sentMillis: number): void {
    const kept = new Set(keys)
    for (const [group, shards] of this.held) {
      shards.forEach((held, shard) => {
        if (held === 1 && !kept.has(keyOf(group, shard))) this.set(keyOf(group, shard), 0)
      })
    }
    this.extend(sentMillis)
  }

  dropped(keys: Iterable<string>): void {
    for (const key of keys) this.set(key, 0)
  }

  /** Gives up everything; says whether there was anything. */
  droppedAll(): boolean {
    const had = this.count > 0
    this.held.clear()
    this.count = 0
    this.until = 0
    return had
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

  private extend(sentMillis: number): void {
    this.until = sentMillis + Duration.toMillis(lockExpiry) - Duration.toMillis(fenceMargin)
  }

  private set(key: string, held: 0 | 1): void {
    const [group, shard] = parse(key)
    let shards = this.held.get(group)
    if (shards === undefined) this.held.set(group, (shards = new Uint8Array(shardsPerGroup + 1)))
    if (shards[shard] === held) return
    shards[shard] = held
    this.count += held === 1 ? 1 : -1
  }
}

export class Shards extends Context.Tag("@connect/actor/ClusterShards")<Shards, ClusterShards>() {}
