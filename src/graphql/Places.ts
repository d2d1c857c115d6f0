import type { FieldPlan } from "./Plan.ts"

/** An object of the answer by key, or a list by index. */
export type Container = Record<string | number, unknown>

interface Place {
  readonly into: Container
  readonly key: string | number
}

/**
 * Where the objects and lists of an answer stand. Only what fails asks, so they are looked for when something has; what is
 * made after that is added.
 */
export class Places {
  private readonly places = new Map<unknown, Place>()
  private readonly root: Container

  /** `root` holds the answer and is no part of it. */
  constructor(root: Container) {
    this.root = root
    this.addAll(root)
  }

  private addAll(into: Container): void {
    for (const key of Object.keys(into)) {
      const value = into[key]
      if (typeof value !== "object" || value === null || this.places.has(value)) continue
      this.add(value, into, Array.isArray(into) ? Number(key) : key)
      this.addAll(value as Container)
    }
  }

  add(container: object, into: Container, key: string | number): void {
    this.places.set(container, { into, key })
  }

  /** The keys that lead to it; undefined where it is not in the answer any more. */
  pathOf(container: Container): Array<string | number> | undefined {
    const path: Array<string | number> = []
    for (let at = container; at !== this.root;) {
      const { into, key } = this.places.get(at)!
      if (into[key] !== at) return undefined
      if (into !== this.root) path.push(key)
      at = into
    }
    return path.reverse()
  }

  /** Whether something around it is null by now. */
  isGone(container: Container): boolean {
    return this.pathOf(container) === undefined
  }

  /** Null for what holds a value of the field that may not be null: the nearest around it that may. */
  remove(container: Container, field: FieldPlan): void {
    let at = container
    let of = Array.isArray(at) ? field : field.parent
    while (of !== undefined) {
      const { into, key } = this.places.get(at)!
      if (of.isNullableAt(this.depthOf(into))) {
        into[key] = null
        return
      }
      at = into
      if (!Array.isArray(at)) of = of.parent
    }
    this.root["data"] = null
  }

  /** Lists of one field in each other, this one included. */
  private depthOf(container: Container): number {
    return Array.isArray(container) ? 1 + this.depthOf(this.places.get(container)!.into) : 0
  }
}
