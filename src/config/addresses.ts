// The addresses to listen on: of a flag, the configuration, the environment, or the default.

import { resolve } from 'node:path';
import { GwanmunError, type Where } from '../errors.js';
import type { ConfigSource } from './check.js';
import type { CoreListener } from './core.js';
import type { TcpListen, UnixListen } from './define.js';
import { parsePort, PORT_RANGE } from './listen.js';
import { placeOfListen } from './origin.js';

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 3000;

/** Of a server whose names are public: HTTPS at every address, and a redirect to it. */
const PUBLIC: readonly TcpListen[] = [
  { host: '::', port: 443, tls: true },
  { host: '::', port: 80, redirect: 'https' },
];

/**
 * The addresses: a flag's host and port replace those of the configuration's one TCP address, or all addresses if it has
 * several. A part that neither names comes from HOST and PORT. `isPublic`: names of the command line are to be served, at the usual
 * ports if there is no configuration of them.
 */
export function resolveListen(
  configured: readonly (TcpListen | UnixListen)[] | undefined,
  directory: string,
  {
    host,
    port,
    isPublic = false,
  }: { readonly host?: string | undefined; readonly port?: number | undefined; readonly isPublic?: boolean },
  env: NodeJS.ProcessEnv,
  source: ConfigSource,
): { listen: CoreListener; where: Where | undefined }[] {
  let addresses = configured ?? [{}];
  const [first] = addresses;
  const isFlag = host !== undefined || port !== undefined;
  if (isPublic && configured === undefined) {
    addresses = PUBLIC.map((one) => ({
      ...one,
      host: host ?? one.host,
      port: one.tls === true ? (port ?? one.port) : one.port,
    }));
  } else if (isFlag) {
    const base = addresses.length === 1 && first !== undefined && !('unix' in first) ? first : {};
    addresses = [{ ...base, host: host ?? base.host, port: port ?? base.port }];
  }
  const flag = port === undefined ? `--host ${host}` : `--port ${port}`;
  return addresses.map((address, index) => {
    const written = configured === undefined ? undefined : placeOfListen(index, source);
    if ('unix' in address) {
      const path = resolve(directory, address.unix);
      const mode = address.mode === undefined ? {} : { mode: address.mode };
      const tls = address.tls === undefined ? {} : { tls: address.tls };
      return { listen: { kind: 'unix', path, ...mode, ...tls }, where: written };
    }
    const fromEnv = address.port === undefined ? portOf(env) : undefined;
    return {
      listen: {
        kind: 'tcp',
        host: address.host ?? (env['HOST'] || DEFAULT_HOST),
        port: address.port ?? fromEnv ?? DEFAULT_PORT,
        ...(address.tls === undefined ? {} : { tls: address.tls }),
        // The port is not known before all addresses are.
        ...(address.redirect === undefined ? {} : { redirect: address.redirect === 'https' ? 0 : address.redirect }),
      },
      where: isFlag ? { key: flag } : fromEnv === undefined ? written : PORT_VARIABLE,
    };
  });
}

const PORT_VARIABLE: Where = { key: 'environment variable PORT' };

function portOf(env: NodeJS.ProcessEnv): number | undefined {
  const text = env['PORT'];
  if (text === undefined || text === '') return undefined;
  const port = parsePort(text);
  if (port === undefined) {
    throw new GwanmunError('GWM_USAGE', `PORT: ${PORT_RANGE}, got "${text}"`, {
      where: PORT_VARIABLE,
      remedy: 'set PORT to a number, or unset it',
    });
  }
  return port;
}
