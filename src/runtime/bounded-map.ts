// A map that never holds more than its limit: the entry not used for longest goes first. Every operation takes constant time.
// It never forgets silently: `evicted` counts, and `onEvict` hears of each one.

type Node<K, V> = { readonly key: K; value: V; older: Node<K, V> | null; newer: Node<K, V> | null }

export class BoundedMap<K, V> {
  readonly limit: number
  readonly #nodes = new Map<K, Node<K, V>>()
  readonly #onEvict: (key: K, value: V) => void
  #oldest: Node<K, V> | null = null
  #newest: Node<K, V> | null = null
  #evicted = 0

  /** `onEvict` is called for entries pushed out by the limit, not for those deleted, replaced or cleared. */
  constructor(limit: number, onEvict: (key: K, value: V) => void = () => {}) {
    if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`the limit of a map is a whole number from 1, not ${limit}`)
    this.limit = limit
    this.#onEvict = onEvict
  }

  get size(): number {
    return this.#nodes.size
  }

  /** Entries pushed out by the limit since the start. */
  get evicted(): number {
    return this.#evicted
  }

  *values(): Iterable<V> {
    for (const { value } of this.#nodes.values()) yield value
  }

  /** Counts as a use. */
  get(key: K): V | undefined {
    const node = this.#nodes.get(key)
    if (node === undefined) return undefined
    this.#use(node)
    return node.value
  }

  /** Does not count as a use. */
  has(key: K): boolean {
    return this.#nodes.has(key)
  }

  set(key: K, value: V): void {
    const known = this.#nodes.get(key)
    if (known !== undefined) {
      known.value = value
      this.#use(known)
      return
    }
    const node: Node<K, V> = { key, value, older: null, newer: null }
    this.#nodes.set(key, node)
    this.#append(node)
    if (this.#nodes.size > this.limit) this.#evict()
  }

  delete(key: K): boolean {
    const node = this.#nodes.get(key)
    if (node === undefined) return false
    this.#nodes.delete(key)
    this.#unlink(node)
    return true
  }

  /** Takes the entry not used for longest out if it is of no use any more. @returns whether it did */
  deleteOldestIf(useless: (value: V) => boolean): boolean {
    const node = this.#oldest
    return node !== null && useless(node.value) && this.delete(node.key)
  }

  clear(): void {
    this.#nodes.clear()
    this.#oldest = null
    this.#newest = null
  }

  #use(node: Node<K, V>): void {
    if (node === this.#newest) return
    this.#unlink(node)
    this.#append(node)
  }

  #evict(): void {
    const node = this.#oldest
    if (node === null) return
    this.#nodes.delete(node.key)
    this.#unlink(node)
    this.#evicted++
    this.#onEvict(node.key, node.value)
  }

  #append(node: Node<K, V>): void {
    node.older = this.#newest
    if (this.#newest === null) this.#oldest = node
    else this.#newest.newer = node
    this.#newest = node
  }

  #unlink(node: Node<K, V>): void {
    if (node.older === null) this.#oldest = node.newer
    else node.older.newer = node.newer
    if (node.newer === null) this.#newest = node.older
    else node.newer.older = node.older
    node.older = null
    node.newer = null
  }
}
