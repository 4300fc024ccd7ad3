/** Gives back the first of what it holds, whenever it was put in (a binary heap). */
export class PriorityQueue<T> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** @param before a total order: what comes out does not depend on what was put in first */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  push(item: T): void {
    let at = this.#items.push(item) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = this.#items[above];
      if (parent === undefined || !this.#before(item, parent)) break;
      this.#items[at] = parent;
      at = above;
    }
    this.#items[at] = item;
  }

  pop(): T | undefined {
    const [first] = this.#items;
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) this.#sink(last);
    return first;
  }

  /** Lets an item take the first place and go down to its own. */
  #sink(item: T): void {
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      let child = this.#items[below];
      const right = this.#items[below + 1];
      if (child !== undefined && right !== undefined && this.#before(right, child)) {
        below += 1;
        child = right;
      }
      if (child === undefined || !this.#before(child, item)) break;
      this.#items[at] = child;
      at = below;
    }
    this.#items[at] = item;
  }
}
