// Stacks as the user of gwanmun wants them: the frames of their own code.

import { fileURLToPath } from 'node:url';
import { PACKAGE } from './package-folder.js';

// Our frames name dist; where tests run the sources, src.
const OWN = ['src/', 'dist/'].map((folder) => fileURLToPath(new URL(folder, PACKAGE)));

/** The lines of a stack that are frames. */
export function framesOf(stack: string): string[] {
  return stack.split('\n').filter((line) => /^\s+at /.test(line));
}

/** Whether a line of a stack is in Node or in gwanmun. */
export function isOwnFrame(line: string): boolean {
  return /^\s+at /.test(line) && (line.includes('node:') || OWN.some((folder) => line.includes(folder)));
}

/**
 * What `inspect` says of an error, without the frames of Node and gwanmun; unless there are no others and the
 * error has no code: then it may be gwanmun that is at fault.
 */
export function withoutOwnFrames(text: string): string {
  const lines = text.split('\n');
  const kept: string[] = [];
  for (const line of lines) {
    if (!isOwnFrame(line)) kept.push(line);
    // The brace before an error's fields stands at the end of its last frame.
    else if (line.endsWith(' {')) kept.push(`${kept.pop() ?? ''} {`);
  }
  const isUsers = kept.some((line) => /^\s+at /.test(line)) || text.startsWith('GwanmunError [');
  return isUsers ? kept.join('\n') : text;
}
