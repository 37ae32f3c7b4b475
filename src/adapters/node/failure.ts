import type { IncomingMessage } from 'node:http';
import type { ExchangeLink } from '../../gateway/adapter.js';
import { LOG_ERROR, LOG_FROM_WORKER } from '../../gateway/frame.js';
import { show } from '../../gateway/show.js';
import type { Outgoing } from './outgoing.js';

/** Writes an error of the application to the log. `target`: the request's, as it was received. */
export function logFailure(
  link: ExchangeLink,
  response: Outgoing,
  req: IncomingMessage,
  target: string,
  error: unknown,
): void {
  const { writer } = link;
  if (!response.ended) {
    writer.log(LOG_ERROR, response.stream, show(error));
    return;
  }
  const id = req.headers['x-request-id'];
  const request = `${req.method} ${target}`;
  writer.log(LOG_ERROR, 0, show(error), typeof id === 'string' ? id : '', LOG_FROM_WORKER, request);
}

/** In development: sends the error as the response, if nothing of one has been sent. */
export function sendErrorPage(link: ExchangeLink, response: Outgoing, req: IncomingMessage, error: unknown): void {
  if (link.errorPage === null || response.headSent || response.gone) return;
  const { type, body } = link.errorPage(error, req.headers.accept);
  const head = `HTTP/1.1 500 Internal Server Error\r\nContent-Type: ${type}\r\n\r\n`;
  response.clear();
  response.begin(head + body, 'utf8', head.length);
  response.flush(true);
}
