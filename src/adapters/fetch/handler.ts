import { setTimeout as delay } from 'node:timers/promises';
import type { Adapter } from '../../gateway/adapter.js';
import { WISH_STREAM } from '../../gateway/frame.js';
import { FetchExchange } from './exchange.js';
import { installRequest } from './request.js';
import { installResponse } from './response.js';
import type { FetchApplication, FetchHandler } from './types.js';

let installed = false;

/**
 * An application that is a fetch handler: a function, or an object with a member `fetch`. From the first one on, the program's `Request`,
 * `Response` and `fetch` are made to fit ours.
 */
export function fetchApplication(application: FetchHandler | FetchApplication): Adapter {
  if (!installed) {
    installed = true;
    installRequest();
    installResponse();
  }
  // Looked up for each request: some frameworks replace it at the first.
  const handler: FetchHandler =
    typeof application === 'function'
      ? application
      : (request, info, context) => application.fetch(request, info, context);
  const background = new Set<Promise<unknown>>();
  return {
    wishes: WISH_STREAM,
    open: (link, stream, window, sequence) => new FetchExchange(link, stream, window, sequence, handler, background),
    async settle(timeoutMs) {
      const timeout = new AbortController();
      const late = delay(timeoutMs, 'late', { signal: timeout.signal }).catch(() => 'late');
      // What is under way may bring more of it.
      while (background.size > 0) {
        if ((await Promise.race([Promise.allSettled(background), late])) === 'late') break;
      }
      timeout.abort();
    },
  };
}
