import { IncomingMessage, type RequestListener, ServerResponse } from 'node:http';
import type { Adapter } from '../../gateway/adapter.js';
import { WISH_ANY_TARGET, WISH_STREAM } from '../../gateway/frame.js';
import { type Host, NodeExchange } from './exchange.js';

/** An application that is a Node handler: `(request, response) => void`, such as an Express application. */
export function nodeApplication(handler: RequestListener): Adapter {
  return nodeHost({
    server: null,
    IncomingMessage,
    ServerResponse,
    joinDuplicateHeaders: false,
    request: handler as (request: IncomingMessage, response: ServerResponse) => unknown,
  });
}

/** @internal */
export function nodeHost(host: Host): Adapter {
  return {
    wishes: WISH_STREAM | WISH_ANY_TARGET,
    open: (link, stream, window, sequence) => new NodeExchange(link, stream, window, sequence, host),
  };
}
