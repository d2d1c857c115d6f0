/** Shards of each group, the same on all nodes: even over a few dozen of them, and a row each to renew every second. */
export const shardsPerGroup = 100

/**
 * The shard of an actor, 1 to `shardsPerGroup`: FNV-1a of its id. It stands beside each durable message, so it never
 * changes.
 */
export const shardOf = (id: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return ((hash >>> 0) % shardsPerGroup) + 1
}
