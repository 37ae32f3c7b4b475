// For Node before 22.15: what its thread for hooks loads, to say which files are imported.

import type { MessagePort } from 'node:worker_threads';
import { wantedBy } from './follow-imports.js';

interface Context {
  readonly parentURL?: string | undefined;
}

let port: MessagePort;

export function initialize(data: MessagePort): void {
  port = data;
}

export async function resolve(
  specifier: string,
  context: Context,
  next: (specifier: string, context: Context) => Promise<{ url: string }>,
): Promise<{ url: string }> {
  let url: string | undefined;
  try {
    const result = await next(specifier, context);
    ({ url } = result);
    return result;
  } catch (error) {
    url = wantedBy(specifier, context.parentURL);
    throw error;
  } finally {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
    if (url !== undefined) port.postMessage(url);
  }
}
