/** Who waits for what: one or many by key. Most keys have one, and a Set for it alone would cost a quarter kilobyte. */
export class Listeners<L extends (value: never) => void> {
  private readonly byKey = new Map<string, L | Set<L>>()

  get keys(): ReadonlyArray<string> {
    return [...this.byKey.keys()]
  }

  of(key: string): Iterable<L> {
    const found = this.byKey.get(key)
    return found === undefined ? [] : typeof found === "function" ? [found] : found
  }

  add(key: string, listener: L): void {
    const found = this.byKey.get(key)
    if (found === undefined) this.byKey.set(key, listener)
    else if (typeof found === "function") this.byKey.set(key, new Set([found, listener]))
    else found.add(listener)
  }

  remove(key: string, listener: L): void {
    const found = this.byKey.get(key)
    if (found === listener) this.byKey.delete(key)
    if (found === undefined || typeof found === "function") return
    found.delete(listener)
    if (found.size === 0) this.byKey.delete(key)
  }
}
