import { ErrorLog } from './error-stream.js';
import type { EarlyHints, Environ } from './types.js';

/**
 * One function for all requests, so that it costs them nothing: the environ that it is called on leads to the response, by way of
 * the stream of errors that belongs to it.
 */
export const earlyHints: EarlyHints = function earlyHints(headers) {
  const errors: unknown = (this as Environ | undefined)?.['wsgi.errors'];
  if (!(errors instanceof ErrorLog)) {
    throw new TypeError("call it as a method of the server's environ: environ['gwanmun.early_hints'](headers)");
  }
  errors.owner.inform(103, headers);
};
