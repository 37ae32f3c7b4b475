// gunicorn's names of options, where the meaning is the same. docs/coming-from.md has them in a table.

import { parseListen } from '../config/listen.js';
import type { Settings } from '../config/resolve.js';
import { MAX_HEAD_BYTES } from '../config/schema.js';
import { GwanmunError } from '../errors.js';
import { loadNative } from '../native.js';

interface Option {
  readonly short?: string;
  /** Several values are several addresses, or variables; of any other option the last one counts. */
  readonly multiple?: true;
  readonly example?: string;
  /** What its values mean. Throws GWM_USAGE. */
  readonly read: (values: readonly string[], name: string) => Settings;
}

/** An option that gwanmun has no use for, and what to do instead. */
interface Refused {
  readonly short?: string;
  readonly isFlag?: true;
  readonly instead: string;
}

const bind: Option = {
  short: 'b',
  multiple: true,
  example: '--bind 0.0.0.0:8000',
  read: (addresses) => ({
    listen: addresses.map((address) => {
      const parsed = parseListen(address);
      if ('ok' in parsed) return parsed.ok;
      throw usage(`--bind: ${parsed.fault}`, '--bind 0.0.0.0:8000');
    }),
  }),
};

const file = (read: (path: string) => Settings): Option => ({
  example: 'a path',
  read: ([path = '']) => read(path),
});

/** A whole number of a range; gunicorn's times are seconds. */
const number = (most: number, read: (value: number) => Settings): Option => ({
  example: '30',
  read: ([text = ''], name) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value <= most) return read(value);
    throw usage(`--${name}: expected a whole number from 0 to ${most}, got "${text}"`);
  },
});

const account = (text: string): string | number => (/^\d+$/.test(text) ? Number(text) : text);

const MOST_SECONDS = 2_000_000;

const LEVELS: Readonly<Record<string, 'debug' | 'info' | 'warn' | 'error'>> = {
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  error: 'error',
  critical: 'error',
};

/** What is taken. */
export const GUNICORN_OPTIONS: Readonly<Record<string, Option>> = {
  bind,
  timeout: { ...number(MOST_SECONDS, (seconds) => ({ timeout: seconds * 1000 })), short: 't' },
  'graceful-timeout': number(MOST_SECONDS, (seconds) => ({
    drainTimeout: seconds * 1000,
    shutdownTimeout: seconds * 1000,
  })),
  'keep-alive': number(MOST_SECONDS, (seconds) => ({ timeouts: { keepAlive: seconds * 1000 } })),
  'max-requests': number(1e9, (requests) => (requests === 0 ? {} : { recycle: { requests } })),
  'max-requests-jitter': number(1e9, (jitter) => ({ recycle: { jitter } })),
  'limit-request-line': number(MAX_HEAD_BYTES, (requestLine) => ({
    limits: { requestLine: requestLine || MAX_HEAD_BYTES },
  })),
  'limit-request-fields': number(1000, (headerCount) => ({ limits: { headerCount: headerCount || 1000 } })),
  'forwarded-allow-ips': {
    example: '--forwarded-allow-ips 10.0.0.0/8',
    read: ([list = ''], name) => {
      const networks = list.split(',').map((network) => network.trim());
      for (const network of networks) {
        const fault = loadNative().networkFault(network);
        if (fault !== null) throw usage(`--${name}: ${fault}`);
      }
      return { trustedProxies: networks };
    },
  },
  user: { ...file((user) => ({ user: account(user) })), short: 'u' },
  group: { ...file((group) => ({ group: account(group) })), short: 'g' },
  umask: {
    short: 'm',
    example: '--umask 027',
    read: ([text = '']) => {
      if (/^(?:0o?)?[0-7]{1,3}$/.test(text)) return { umask: Number.parseInt(text.replace(/^0o/, ''), 8) };
      throw usage(`--umask: expected an octal number such as 027, got "${text}"`);
    },
  },
  'access-logfile': file((path) => ({ accessLog: path === '-' ? {} : { file: path } })),
  'error-logfile': file((path) => (path === '-' ? {} : { errorLog: { file: path } })),
  'log-file': file((path) => (path === '-' ? {} : { errorLog: { file: path } })),
  'log-level': {
    example: '--log-level info',
    read: ([text = '']) => {
      const level = LEVELS[text.toLowerCase()];
      if (level !== undefined) return { errorLog: { level } };
      throw usage(`--log-level: expected debug, info, warning, error or critical, got "${text}"`);
    },
  },
};

/** What is called otherwise here, and means the same. */
export const GUNICORN_NAMES: Readonly<Record<string, 'cert' | 'key'>> = { certfile: 'cert', keyfile: 'key' };

const NOT_NEEDED = 'not needed; leave it out';

/** What is not, with the reason. */
export const GUNICORN_REFUSED: Readonly<Record<string, Refused>> = {
  'worker-class': { short: 'k', instead: 'not needed: the core holds the connections, whatever the application is' },
  threads: { instead: 'more processes do more at once: --workers 4' },
  'worker-connections': { instead: 'in the configuration: concurrency, the requests that a worker has at once' },
  'limit-request-field_size': { instead: 'in the configuration: limits.headerBytes, of all headers together' },
  backlog: { instead: 'not needed: it is as long as the system allows, net.core.somaxconn' },
  daemon: { short: 'D', isFlag: true, instead: 'leave that to systemd, a container or nohup' },
  reload: { isFlag: true, instead: 'gwanmun dev reloads when files change' },
  preload: { isFlag: true, instead: NOT_NEEDED },
  'check-config': { isFlag: true, instead: 'gwanmun check' },
  'worker-tmp-dir': { instead: NOT_NEEDED },
  chdir: { instead: 'cd there first, or name the configuration: -c folder/gwanmun.config.ts' },
  name: { short: 'n', instead: NOT_NEEDED },
  'access-logformat': { instead: "in the configuration: accessLog, 'combined', 'short' or 'json'" },
};

/** The settings that options mean, each by its name with its values. */
export function gunicornSettings(given: ReadonlyMap<string, readonly string[]>): Settings {
  const settings = [...given].map(([name, values]) => GUNICORN_OPTIONS[name]?.read(values, name) ?? {});
  const whole = Object.assign({}, ...settings) as Settings;
  for (const key of ['recycle', 'limits', 'errorLog'] as const) {
    const parts = settings.map((own) => own[key]);
    if (whole[key] !== undefined) Object.assign(whole, { [key]: Object.assign({}, ...parts) });
  }
  const { requests, jitter } = whole.recycle ?? {};
  // gunicorn's comes on top, ours comes off.
  if (requests !== undefined && jitter !== undefined) whole.recycle = { requests: requests + jitter, jitter };
  return whole;
}

function usage(message: string, remedy?: string): GwanmunError {
  return new GwanmunError('GWM_USAGE', message, { remedy });
}
