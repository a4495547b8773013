/** Single-character edits that turn one word into the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const change = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

/** `; did you mean X?` for the known word next to a mistyped or shortened one, or nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const shortened = known.filter((candidate) => word.length > 2 && candidate.startsWith(word));
  const mistyped = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, candidate.length / 3))
    .sort((one, two) => one.distance - two.distance);
  const near = shortened[0] ?? mistyped[0]?.candidate;
  return near === undefined ? '' : `; did you mean ${near}?`;
}
