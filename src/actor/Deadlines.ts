/** Something that falls due. Its links belong to the list that holds it. */
export interface Due {
  dueMillis: number
  earlier: Due | undefined
  later: Due | undefined
  /** Whether a list holds it. */
  listed: boolean
}

/**
 * Things that fall due, where each is added with the same delay: the first one added is the first one due, so a linked
 * list is a timing wheel of one slot. Adding, removing and looking at the next take constant time and no memory.
 */
export class Deadlines<A extends Due> {
  readonly delayMillis: number
  private head: A | undefined
  private tail: A | undefined
  size = 0

  constructor(delayMillis: number) {
    this.delayMillis = delayMillis
  }

  /** The one that is due first. */
  get first(): A | undefined {
    return this.head
  }

  add(due: A, now: number): void {
    due.dueMillis = now + this.delayMillis
    due.earlier = this.tail
    due.later = undefined
    due.listed = true
    if (this.tail === undefined) this.head = due
    else this.tail.later = due
    this.tail = due
    this.size++
  }

  remove(due: A): void {
    if (!due.listed) return
    if (due.earlier === undefined) this.head = due.later as A | undefined
    else due.earlier.later = due.later
    if (due.later === undefined) this.tail = due.earlier as A | undefined
    else due.later.earlier = due.earlier
    due.earlier = undefined
    due.later = undefined
    due.listed = false
    this.size--
  }
}
