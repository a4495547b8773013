/**
 * A set of objects that come and go with every request, in one array. A `Set` makes a new table
 * every few deletions, and each dead table, once promoted, keeps the next one and all that was in
 * it alive until a full collection: scavenges of a busy thread took 24 ms instead of 5. Any thread;
 * one owner.
 */
export interface DenseSetMember {
  /** Where it stands in the set that holds it; -1: nowhere. Written by the set alone. */
  denseIndex: number;
}

export class DenseSet<T extends DenseSetMember> {
  readonly #members: T[] = [];

  add(member: T): void {
    if (member.denseIndex >= 0) return;
    member.denseIndex = this.#members.length;
    this.#members.push(member);
  }

  delete(member: T): void {
    const index = member.denseIndex;
    if (index < 0) return;
    const last = this.#members.pop()!;
    if (last !== member) {
      this.#members[index] = last;
      last.denseIndex = index;
    }
    member.denseIndex = -1;
  }

  /** The members at this moment: they may be deleted while the copy is walked. */
  snapshot(): readonly T[] {
    return this.#members.slice();
  }
}
