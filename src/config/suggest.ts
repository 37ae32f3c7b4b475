import { closest, distance } from 'fastest-levenshtein';

/**
 * The candidate that the user probably meant, or undefined.
 * A third of the word's letters may differ, so that `prot` finds `port` and `xyz` finds nothing.
 */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  if (candidates.length === 0) return undefined;
  const lower = word.toLowerCase();
  const best = closest(
    lower,
    candidates.map((candidate) => candidate.toLowerCase()),
  );
  const found = candidates.find((candidate) => candidate.toLowerCase() === best);
  if (found === undefined || best === '') return undefined;
  return distance(lower, best) <= Math.max(1, Math.ceil(Math.max(word.length, best.length) / 3)) ? found : undefined;
}

/** `; did you mean "port"?`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const found = suggest(word, candidates);
  return found === undefined ? '' : `; did you mean "${found}"?`;
}
