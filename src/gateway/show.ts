import { inspect } from 'node:util';
import { withoutOwnFrames } from '../stack.js';

/** An error for the log: its stack, its cause and its fields. */
export function show(error: unknown): string {
  try {
    return withoutOwnFrames(inspect(error));
  } catch {
    return 'the application threw something that cannot be shown';
  }
}
