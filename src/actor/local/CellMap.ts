import type { Cell } from "./Cell.ts"

/** Maps that share the cells; a power of two. */
const shards = 64

/**
 * Cells by id. A Map of 100,000 that grows or shrinks moves all its entries in one go, which blocks the event loop for
 * 15 ms; 64 smaller ones move a few each.
 */
export class CellMap {
  private readonly maps = Array.from({ length: shards }, () => new Map<string, Cell>())
  private count = 0

  get size(): number {
    return this.count
  }

  get(id: string): Cell | undefined {
    return this.mapOf(id).get(id)
  }

  /** Adds a cell whose id is not there yet. */
  add(cell: Cell): void {
    this.mapOf(cell.id).set(cell.id, cell)
    this.count++
  }

  delete(id: string): void {
    if (this.mapOf(id).delete(id)) this.count--
  }

  clear(): void {
    for (const map of this.maps) map.clear()
    this.count = 0
  }

  *values(): IterableIterator<Cell> {
    for (const map of this.maps) yield* map.values()
  }

  /** The end of an id varies most: the random part of a UUID, the digits of a counter. */
  private mapOf(id: string): Map<string, Cell> {
    const last = id.length - 1
    const hash = last < 1 ? id.charCodeAt(0) : id.charCodeAt(last) * 31 + id.charCodeAt(last - 1) * 7
    return this.maps[hash & (shards - 1)]!
  }
}
