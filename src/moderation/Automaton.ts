/** Classes of a character: 0 a gap between words, 1 to 26 a letter, 27 a mask such as `*`, 28 anything else. */
export const gap = 0
export const mask = 27
export const other = 28
const classes = 29

/** A pattern: at least `least[i]` of class `letters[i]`, in this order. */
export interface Pattern<A> {
  readonly letters: ReadonlyArray<number>
  readonly least: ReadonlyArray<number>
  readonly value: A
}

interface Node {
  readonly next: Map<number, number>
  readonly ends: Array<number>
}

/**
 * Finds many patterns in one pass (Aho–Corasick). Text and patterns come without repeats: a run of one letter is one
 * class and a count, so that "heeeello" is found as "hello" and "helo" is not.
 */
export interface Automaton<A> {
  /** Calls `found` for each match: the pattern and the indexes of its first and last class in `text`. */
  readonly scan: (
    text: Uint8Array,
    counts: Uint16Array,
    length: number,
    found: (pattern: Pattern<A>, first: number, last: number) => void
  ) => void
  readonly states: number
}

const trie = <A>(patterns: ReadonlyArray<Pattern<A>>): Array<Node> => {
  const nodes: Array<Node> = [{ next: new Map(), ends: [] }]
  patterns.forEach((pattern, index) => {
    let at = 0
    for (const letter of pattern.letters) {
      let next = nodes[at]!.next.get(letter)
      if (next === undefined) {
        next = nodes.push({ next: new Map(), ends: [] }) - 1
        nodes[at]!.next.set(letter, next)
      }
      at = next
    }
    nodes[at]!.ends.push(index)
  })
  return nodes
}

/** Builds the automaton: a full table of `29 x states` steps, so that a scan reads one number per character. */
export const make = <A>(patterns: ReadonlyArray<Pattern<A>>): Automaton<A> => {
  const nodes = trie(patterns)
  const step = new Int32Array(nodes.length * classes)
  const fail = new Int32Array(nodes.length)
  /** The nearest state on the failure path that ends a pattern; 0 for none. */
  const output = new Int32Array(nodes.length)
  const queue: Array<number> = []
  for (const [letter, next] of nodes[0]!.next) {
    step[letter] = next
    queue.push(next)
  }
  for (let head = 0; head < queue.length; head++) {
    const state = queue[head]!
    const back = fail[state]!
    output[state] = nodes[back]!.ends.length > 0 ? back : output[back]!
    step.copyWithin(state * classes, back * classes, (back + 1) * classes)
    for (const [letter, next] of nodes[state]!.next) {
      fail[next] = step[back * classes + letter]!
      step[state * classes + letter] = next
      queue.push(next)
    }
  }
  const ends = nodes.map((node) => node.ends)

  const fits = (pattern: Pattern<A>, counts: Uint16Array, first: number): boolean =>
    pattern.least.every((least, n) => counts[first + n]! >= least)

  return {
    states: nodes.length,
    scan: (text, counts, length, found) => {
      let state = 0
      for (let at = 0; at < length; at++) {
        state = step[state * classes + text[at]!]!
        for (let end = ends[state]!.length > 0 ? state : output[state]!; end !== 0; end = output[end]!) {
          for (const index of ends[end]!) {
            const pattern = patterns[index]!
            const first = at - pattern.letters.length + 1
            if (fits(pattern, counts, first)) found(pattern, first, at)
          }
        }
      }
    }
  }
}
