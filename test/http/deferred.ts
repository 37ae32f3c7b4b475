/** A promise and what settles it. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(this: void, value: T): void;
}

/** What `Promise.withResolvers` is in newer versions of Node. */
export function deferred<T = void>(): Deferred<T> {
  const made: { resolve?: (value: T) => void } = {};
  const promise = new Promise<T>((resolve) => (made.resolve = resolve));
  return { promise, resolve: made.resolve as (value: T) => void };
}
