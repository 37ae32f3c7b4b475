// Every kind of application in worker processes and, but for Python, in the program that calls serve(); and what each sees of a request, in the same terms.

import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe } from 'vitest';
import { serve } from '../../dist/index.js';
import { python } from '../python/python.js';
import { Gwanmun } from '../workers/gwanmun-process.js';
import node, { application, fetch } from './application.js';

const FIXTURES = fileURLToPath(new URL('fixtures', import.meta.url));
/** A module with an application of each kind. */
export const MODULE = fileURLToPath(new URL('application.ts', import.meta.url));

/** Where an application sees a request from. What its kind does not tell is absent. */
export interface Seen {
  address?: string | undefined;
  port?: number | undefined;
  scheme: string;
  host?: string | undefined;
  serverName?: string | undefined;
  serverPort?: number | undefined;
  /** Lower-case names. */
  headers: Record<string, string>;
}

export type Kind = '/contract' | '/fetch' | '/node' | '/python';

type Answer = Record<string, string>;

function environ(values: Answer): Seen {
  if ((values['wsgi.url_scheme'] === 'https') !== (values['HTTPS'] === 'on'))
    throw new Error('HTTPS is not the scheme');
  const fields = Object.entries(values).filter(([name]) => name.startsWith('HTTP_'));
  return {
    address: values['REMOTE_ADDR'],
    port: values['REMOTE_PORT'] === undefined ? undefined : Number(values['REMOTE_PORT']),
    scheme: values['wsgi.url_scheme'] as string,
    host: values['HTTP_HOST'],
    serverName: values['SERVER_NAME'],
    serverPort: Number(values['SERVER_PORT']),
    headers: Object.fromEntries(
      fields.map(([name, value]) => [name.slice(5).toLowerCase().replaceAll('_', '-'), value]),
    ),
  };
}

interface Request {
  url: string;
  headers: Answer;
  remoteAddress: string | undefined;
  remotePort: number | undefined;
  localPort: number | undefined;
  encrypted?: boolean;
}

const READERS: Record<Kind, (answer: never) => Seen> = {
  '/contract': environ,
  '/python': environ,
  '/fetch': ({ url, headers, remoteAddress, remotePort, localPort }: Request) => {
    const { protocol, host } = new URL(url);
    const scheme = protocol.slice(0, -1);
    return { address: remoteAddress, port: remotePort, scheme, host, serverPort: localPort, headers };
  },
  '/node': ({ headers, remoteAddress, remotePort, localPort, encrypted }: Request) => {
    const scheme = encrypted ? 'https' : 'http';
    return { address: remoteAddress, port: remotePort, scheme, host: headers['host'], serverPort: localPort, headers };
  },
};

/** One request with these lines behind the request line; `from` is the peer's address. */
export async function see(port: number, kind: Kind, lines: readonly string[], from = '127.0.0.1'): Promise<Seen> {
  const [seen] = await seeAll(port, kind, [lines], from);
  return seen as Seen;
}

/** The same with several requests of one connection, sent at once. */
export async function seeAll(
  port: number,
  kind: Kind,
  requests: readonly (readonly string[])[],
  from = '127.0.0.1',
): Promise<Seen[]> {
  const socket = connect({ host: '127.0.0.1', port, localAddress: from });
  const heads = requests.map((lines, index) => {
    const host = lines.some((line) => /^host:/i.test(line)) ? [] : ['Host: inside.test:3000'];
    const last = index === requests.length - 1 ? ['Connection: close'] : [];
    return [`GET ${kind} HTTP/1.1`, ...host, ...lines, ...last, '', ''].join('\r\n');
  });
  socket.write(heads.join(''), 'latin1');
  let text = '';
  for await (const piece of socket.setEncoding('latin1')) text += piece;
  const bodies = text
    .split(/HTTP\/1\.1 /)
    .slice(1)
    .map((response) => {
      const [head = '', body = ''] = response.split('\r\n\r\n');
      if (!head.startsWith('200 ')) throw new Error(response);
      const json = /\{.*\}/s.exec(body)?.[0] ?? body;
      return READERS[kind](JSON.parse(json) as never);
    });
  if (bodies.length !== requests.length) throw new Error(`${bodies.length} responses: ${text}`);
  return bodies;
}

/** Declares the tests for each kind of application, in each way of hosting it. */
export function forEachKind(
  trustedProxies: readonly string[] | undefined,
  tests: (look: (lines: readonly string[], from?: string) => Promise<Seen>, port: () => number, kind: Kind) => void,
): void {
  const config = trustedProxies === undefined ? {} : { trustedProxies };
  describe('in worker processes', () => {
    let server: Gwanmun | undefined;
    let port = 0;
    beforeAll(async () => {
      const mounts = [
        { path: '/contract', app: { wsgi: MODULE } },
        { path: '/fetch', app: { fetch: MODULE } },
        { path: '/node', app: { node: MODULE } },
      ];
      server = new Gwanmun({
        config: { accessLog: false, mounts: [...mounts, { path: '/python', wsgi: 'proxied', python }], ...config },
        env: { PYTHONPATH: FIXTURES, PYTHONDONTWRITEBYTECODE: '1' },
      });
      port = await server.port();
    });
    afterAll(() => server?.[Symbol.asyncDispose]());
    describe.each<Kind>(['/contract', '/fetch', '/node', '/python'])('%s', (kind) => {
      tests(
        (lines, from) => see(port, kind, lines, from),
        () => port,
        kind,
      );
    });
  });
  describe('with serve()', () => {
    let server: Awaited<ReturnType<typeof serve>> | undefined;
    let port = 0;
    beforeAll(async () => {
      const mounts = [
        { path: '/contract', application },
        { path: '/fetch', fetch },
        { path: '/node', node },
      ];
      server = await serve({ port: 0, host: '127.0.0.1', mounts, errorLog: { file: '/dev/null' }, ...config });
      port = server.port as number;
    });
    afterAll(() => server?.close({ graceMs: 0 }));
    describe.each<Kind>(['/contract', '/fetch', '/node'])('%s', (kind) => {
      tests(
        (lines, from) => see(port, kind, lines, from),
        () => port,
        kind,
      );
    });
  });
}
