// The command line as data.

import { parseArgs } from 'node:util';
import type { AccessLogFormat } from '../config/define.js';
import { parseDomain } from '../config/domains.js';
import { parsePort, PORT_RANGE } from '../config/listen.js';
import type { Overrides } from '../config/resolve.js';
import type { TlsFlag } from '../config/tls.js';
import { didYouMean, suggest } from '../config/suggest.js';
import { GwanmunError } from '../errors.js';
import type { ControlRequest } from '../supervisor/control.js';
import type { ControlTarget } from './control.js';
import { GUNICORN_NAMES, GUNICORN_OPTIONS, GUNICORN_REFUSED, gunicornSettings } from './gunicorn.js';

/** What is served: a target, or else a configuration file, or else the one of the current folder. */
export interface Subject {
  readonly target: string | undefined;
  readonly config: string | undefined;
  /** What the target, a folder, has: a site in PHP, or programs that are started. */
  readonly kind?: 'php' | 'cgi' | undefined;
}

/** A request of `gwanmun fetch`. */
export interface FetchRequest {
  /** As given: `/path?query`, or a whole URL. */
  readonly url: string;
  readonly method: string | undefined;
  /** `Name: value`, in order. */
  readonly headers: readonly string[];
  /** Each a text, `@file`, or `@-` for standard input. */
  readonly data: readonly string[];
  /** `data` is JSON. */
  readonly isJson: boolean;
  /** The response's head is printed before its body. */
  readonly include: boolean;
}

/** What the user asked for. */
export type Command =
  | { readonly name: 'help'; readonly topic: string | undefined }
  | { readonly name: 'version' }
  | { readonly name: 'check'; readonly config: string | undefined }
  | { readonly name: 'init'; readonly folder: string | undefined }
  | {
      readonly name: 'run';
      readonly script: string;
      readonly args: readonly string[];
      readonly accessLog?: AccessLogFormat;
    }
  | ({ readonly name: 'fetch'; readonly request: FetchRequest } & Subject)
  | {
      readonly name: 'control';
      readonly request: ControlRequest;
      readonly target: ControlTarget;
      readonly isJson: boolean;
    }
  | { readonly name: 'certificates'; readonly target: ControlTarget; readonly isJson: boolean }
  | { readonly name: 'trust' | 'untrust'; readonly isTold: boolean }
  | { readonly name: 'hash-password'; readonly user: string | undefined }
  | ({ readonly name: 'serve'; readonly overrides: Overrides; readonly development?: true } & Subject);

const OPTIONS = {
  port: { type: 'string', short: 'p' },
  host: { type: 'string' },
  workers: { type: 'string', short: 'w' },
  config: { type: 'string', short: 'c' },
  method: { type: 'string', short: 'X' },
  header: { type: 'string', short: 'H' },
  data: { type: 'string', short: 'd' },
  json: { type: 'string' },
  include: { type: 'boolean', short: 'i' },
  head: { type: 'boolean', short: 'I' },
  pid: { type: 'string' },
  tls: { type: 'boolean' },
  php: { type: 'boolean' },
  cgi: { type: 'boolean' },
  cert: { type: 'string' },
  key: { type: 'string' },
  domain: { type: 'string' },
  email: { type: 'string' },
  yes: { type: 'boolean' },
  'as-json': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

type OptionName = keyof typeof OPTIONS;
type FlagName = { [Name in OptionName]: (typeof OPTIONS)[Name]['type'] extends 'boolean' ? Name : never }[OptionName];

export const COMMANDS = [
  'serve',
  'dev',
  'check',
  'fetch',
  'run',
  'init',
  'status',
  'reload',
  'stop',
  'restart-worker',
  'scale',
  'upgrade',
  'certificates',
  'trust',
  'untrust',
  'hash-password',
  'help',
  'version',
] as const;
type CommandName = (typeof COMMANDS)[number];

/** What each command takes beside --help and --version. */
const TAKES: Record<CommandName, readonly OptionName[]> = {
  serve: ['port', 'host', 'workers', 'config', 'pid', 'tls', 'cert', 'key', 'domain', 'email', 'php', 'cgi'],
  dev: ['port', 'host', 'workers', 'config', 'pid', 'tls', 'cert', 'key', 'php', 'cgi'],
  check: ['config'],
  fetch: ['method', 'header', 'data', 'json', 'include', 'head', 'config'],
  init: [],
  run: [],
  status: ['pid', 'as-json'],
  reload: ['pid', 'as-json'],
  stop: ['pid', 'as-json'],
  'restart-worker': ['pid', 'as-json'],
  scale: ['pid', 'as-json'],
  upgrade: ['pid', 'as-json'],
  certificates: ['pid', 'as-json'],
  trust: ['yes'],
  untrust: ['yes'],
  'hash-password': [],
  help: [],
  version: [],
};

/** Reads the arguments after the program's name. Throws GWM_USAGE. */
export function parseCommand(args: readonly string[]): Command {
  // What follows the program's name is the program's.
  if (args[0] === 'run') {
    const [, accessLog] = /^--access-log(?:=(combined|short|json))?$/.test(args[1] ?? '')
      ? ['', args[1]?.split('=')[1] ?? 'combined']
      : [];
    const [script, ...rest] = args.slice(accessLog === undefined ? 1 : 2);
    if (script !== undefined && !script.startsWith('-')) {
      const wished = accessLog === undefined ? {} : { accessLog: accessLog as AccessLogFormat };
      return { name: 'run', script, args: rest, ...wished };
    }
  }
  const { values, lists, gunicorn, positionals } = readOptions(args.map((word) => jsonFlag(word, args)));
  const [first, ...others] = positionals;
  const named = COMMANDS.find((command) => command === first);
  if (values.help) return { name: 'help', topic: named };
  if (values.version) return { name: 'version' };
  const meant = named === undefined && first !== undefined ? misspelt(first, others, values) : undefined;
  if (meant !== undefined) {
    throw usage(`there is no command "${first}"; did you mean "${meant}"?`, ['gwanmun', meant, ...others].join(' '));
  }
  const command = named ?? 'serve';
  const rest = named === undefined ? positionals : others;
  for (const option of Object.keys(values) as OptionName[]) {
    if (TAKES[command].includes(option)) continue;
    const other = COMMANDS.find((name) => TAKES[name].includes(option));
    throw usage(`gwanmun ${command} takes no --${option}${other === undefined ? '' : `; gwanmun ${other} does`}`);
  }
  const [foreign] = gunicorn.keys();
  if (foreign !== undefined && command !== 'serve' && command !== 'dev') {
    throw usage(`gwanmun ${command} takes no --${foreign}; gwanmun serve does`);
  }
  switch (command) {
    case 'version':
      return { name: 'version' };
    case 'help':
      return { name: 'help', topic: rest[0] };
    case 'run':
      throw usage('gwanmun run needs a program as its first argument', 'gwanmun run server.js');
    case 'check':
      if (rest[0] !== undefined) {
        throw usage(`gwanmun check takes no target, got "${rest[0]}"`, `gwanmun check --config ${rest[0]}`);
      }
      return { name: 'check', config: values.config };
    case 'init':
      if (rest[1] !== undefined) throw usage(`gwanmun init takes one folder, got "${rest[0]}" and "${rest[1]}"`);
      return { name: 'init', folder: rest[0] };
    case 'fetch':
      return fetchCommand(values, lists, rest);
    case 'status':
    case 'reload':
    case 'stop':
    case 'restart-worker':
    case 'scale':
    case 'upgrade':
      return controlCommand(command, values, rest);
    case 'certificates':
      if (rest[0] !== undefined) throw usage(`gwanmun certificates does not take "${rest[0]}"`);
      return {
        name: 'certificates',
        target: { pid: positive('--pid', values.pid, EXAMPLES.pid) },
        isJson: values['as-json'] === true,
      };
    case 'hash-password': {
      const [user, extra] = rest;
      if (extra !== undefined) {
        throw usage(
          'gwanmun hash-password takes the name of a user; a password on the command line would be seen by others',
        );
      }
      if (user !== undefined && /[:\p{Cc}]/u.test(user)) throw usage(`the name of a user has no ':', got "${user}"`);
      return { name: 'hash-password', user };
    }
    case 'trust':
    case 'untrust':
      if (rest[0] !== undefined) throw usage(`gwanmun ${command} does not take "${rest[0]}"`);
      return { name: command, isTold: values.yes === true };
    case 'dev':
    case 'serve': {
      const [target, extra] = rest;
      if (extra !== undefined) throw usage(`gwanmun serves one target, got "${target}" and "${extra}"`);
      return {
        name: 'serve',
        ...subject(target, values.config),
        ...folderKind(values, target),
        ...(command === 'dev' ? { development: true } : {}),
        overrides: serveOverrides(values, lists, gunicorn),
      };
    }
  }
}

function serveOverrides(values: Options, lists: Lists, gunicorn: ReadonlyMap<string, readonly string[]>): Overrides {
  const { host, pid } = values;
  const port = portOption(values.port);
  if (gunicorn.has('bind') && (host ?? port) !== undefined) {
    throw usage('use either --bind, or --host and --port', '--bind 0.0.0.0:8000');
  }
  const settings = { ...gunicornSettings(gunicorn), ...(pid === undefined ? {} : { pidFile: pid }) };
  return { port, host, workers: workersOption(values.workers), tls: tlsOption(values, lists), settings };
}

function tlsOption({ tls, cert, key, email }: Options, { domain }: Lists): TlsFlag | undefined {
  if (domain.length > 0) {
    if ((tls ?? cert ?? key) !== undefined) {
      throw usage('--domain gets certificates by itself: use it without --tls, --cert and --key');
    }
    return { domains: domain.map(domainOption), email };
  }
  if (email !== undefined) throw usage('--email needs --domain', `--domain example.org --email ${email}`);
  if (cert === undefined) {
    if (key !== undefined) throw usage('--key needs --cert', `--cert fullchain.pem --key ${key}`);
    return tls === true ? 'local' : undefined;
  }
  if (tls === true) throw usage('use either --tls, for a certificate of a local authority, or --cert and --key');
  return { cert, key };
}

function domainOption(text: string): string {
  const parsed = parseDomain(text);
  if ('ok' in parsed) return parsed.ok;
  throw usage(`--domain: ${parsed.fault}`, EXAMPLES.domain);
}

/** What answers with a table takes `--json` without a value. */
function jsonFlag(word: string, [command = '']: readonly string[]): string {
  if (word !== '--json') return word;
  const name = (TAKES[command as CommandName] === undefined ? suggestCommand(command) : command) as CommandName;
  return TAKES[name]?.includes('as-json') === true ? '--as-json' : word;
}

/** The command that the first word was meant as, if what follows does not fit `serve`: it takes one target, and not these options. */
function misspelt(word: string, others: readonly string[], values: Options): string | undefined {
  const isServe =
    others.length === 0 && (Object.keys(values) as OptionName[]).every((name) => TAKES.serve.includes(name));
  return isServe || /[./]/.test(word) ? undefined : suggestCommand(word);
}

/** A word that was meant as a command, for the message when no such file is there. */
export function suggestCommand(word: string): string | undefined {
  return suggest(word, COMMANDS);
}

function fetchCommand(values: Options, lists: Lists, [url, target, extra]: readonly string[]): Command {
  if (url === undefined) throw usage('gwanmun fetch needs a path', 'gwanmun fetch /');
  if (!/^(\/|https?:\/\/)/.test(url)) {
    const isSwapped = target?.startsWith('/') === true;
    throw usage(
      `gwanmun fetch: expected a path that begins with "/", got "${url}"`,
      isSwapped ? `gwanmun fetch ${target} ${url}` : `gwanmun fetch /${url}`,
    );
  }
  if (extra !== undefined) throw usage(`gwanmun fetch asks one target, got "${target}" and "${extra}"`);
  if (values.data !== undefined && values.json !== undefined) throw usage('use either --data or --json');
  for (const header of lists.header) {
    if (!/^[!#$%&'*+.^`|~\w-]+:[^\0\r\n]*$/.test(header)) {
      throw usage(`--header: expected "Name: value", got "${header}"`, EXAMPLES.header);
    }
  }
  if (values.method !== undefined && !/^[!#$%&'*+.^`|~\w-]+$/.test(values.method)) {
    throw usage(`--method: expected a method such as POST, got "${values.method}"`, EXAMPLES.method);
  }
  return {
    name: 'fetch',
    ...subject(target, values.config),
    request: {
      url,
      method: values.method ?? (values.head ? 'HEAD' : undefined),
      headers: lists.header,
      data: values.json === undefined ? lists.data : [values.json],
      isJson: values.json !== undefined,
      include: (values.include ?? values.head) === true,
    },
  };
}

function controlCommand(command: ControlRequest['command'], values: Options, words: readonly string[]): Command {
  const takesNumber = command === 'restart-worker' || command === 'scale';
  const surplus = words[takesNumber ? 1 : 0];
  if (surplus !== undefined) throw usage(`gwanmun ${command} does not take "${surplus}"`);
  const pid = positive('--pid', values.pid, EXAMPLES.pid);
  return {
    name: 'control',
    request: controlRequest(command, words[0]),
    target: { pid },
    isJson: values['as-json'] === true,
  };
}

function controlRequest(command: ControlRequest['command'], word: string | undefined): ControlRequest {
  switch (command) {
    case 'restart-worker': {
      const worker = positive('a worker', word, 'gwanmun restart-worker 2');
      return { command, ...(worker === undefined ? {} : { worker }) };
    }
    case 'scale': {
      const workers = positive('workers', word, 'gwanmun scale 4');
      if (workers === undefined) throw usage('gwanmun scale needs a number of workers', 'gwanmun scale 4');
      return { command, workers };
    }
    default:
      return { command };
  }
}

function positive(what: string, text: string | undefined, example: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw usage(`${what}: expected a whole number, got "${text}"`, example);
}

function subject(target: string | undefined, config: string | undefined): Subject {
  if (target !== undefined && config !== undefined) {
    throw usage('name either a target or a --config', `gwanmun ${target}\ngwanmun --config ${config}`);
  }
  return { target, config };
}

function folderKind({ php, cgi }: Options, target: string | undefined): Pick<Subject, 'kind'> {
  if (php && cgi) throw usage('use either --php or --cgi');
  if (php && target === undefined) throw usage('--php needs the folder of the site', 'gwanmun ./public --php');
  if (cgi && target === undefined) throw usage('--cgi needs the folder of the programs', 'gwanmun ./cgi-bin --cgi');
  return php ? { kind: 'php' } : cgi ? { kind: 'cgi' } : {};
}

type Options = { -readonly [Name in OptionName]?: Name extends FlagName ? true : string };

/** All values of the options that may be given more than once; of any other the last one counts. */
type Lists = Record<'header' | 'data' | 'domain', string[]>;

interface Read {
  readonly values: Options;
  readonly lists: Lists;
  /** Options by gunicorn's names, each with its values. */
  readonly gunicorn: Map<string, string[]>;
  readonly positionals: string[];
}

const ALL_OPTIONS = {
  ...Object.fromEntries(
    [...Object.entries(GUNICORN_OPTIONS), ...Object.entries(GUNICORN_REFUSED)].map(([name, option]) => [
      name,
      {
        type: 'isFlag' in option ? ('boolean' as const) : ('string' as const),
        ...(option.short === undefined ? {} : { short: option.short }),
      },
    ]),
  ),
  ...Object.fromEntries(Object.keys(GUNICORN_NAMES).map((name) => [name, { type: 'string' as const }])),
  ...OPTIONS,
};

function readOptions(args: readonly string[]): Read {
  // Not strict, and by tokens: parseArgs' own messages know no "did you mean".
  const { tokens } = parseArgs({
    args: [...args],
    options: ALL_OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values: Options = {};
  const lists: Lists = { header: [], data: [], domain: [] };
  const gunicorn = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const written = GUNICORN_NAMES[token.name] ?? token.name;
    const name = (Object.keys(OPTIONS) as OptionName[]).find((option) => option === written);
    if (name === undefined) {
      const refused = GUNICORN_REFUSED[token.name];
      if (refused !== undefined) throw usage(`gwanmun takes no ${token.rawName}`, refused.instead);
      const option = GUNICORN_OPTIONS[token.name];
      if (option !== undefined) {
        const value = valueOf(token, option.example);
        gunicorn.set(token.name, [...((option.multiple && gunicorn.get(token.name)) || []), value]);
        continue;
      }
      const known = Object.keys(OPTIONS).map((option) => `--${option}`);
      const hint = token.rawName.startsWith('--') ? didYouMean(token.rawName, known) : '';
      throw usage(`there is no option ${token.rawName}${hint}`);
    }
    if (isFlag(name)) {
      if (token.value !== undefined) throw usage(`--${name} takes no value, got "${token.value}"`);
      values[name] = true;
    } else {
      const value = valueOf(token, EXAMPLES[name]);
      values[name] = value;
      if (name === 'header' || name === 'data' || name === 'domain') lists[name].push(value);
    }
  }
  return { values, lists, gunicorn, positionals };
}

/** An option in the value's place is a forgotten value, not a strange one; `--host=-x` says it on purpose. `-` is standard output. */
function valueOf(
  { value, rawName, inlineValue }: { value?: string | undefined; rawName: string; inlineValue?: boolean | undefined },
  example: string | undefined,
): string {
  const isForgotten = value === undefined || value === '' || (!inlineValue && value !== '-' && value.startsWith('-'));
  if (isForgotten) throw usage(`${rawName} needs a value`, example);
  return value;
}

function isFlag(name: OptionName): name is FlagName {
  return OPTIONS[name].type === 'boolean';
}

const EXAMPLES: Record<Exclude<OptionName, FlagName>, string> = {
  port: '--port 8080',
  host: '--host 0.0.0.0',
  workers: '--workers auto',
  pid: '--pid 4711',
  cert: '--cert fullchain.pem --key privkey.pem',
  key: '--cert fullchain.pem --key privkey.pem',
  domain: '--domain example.org',
  email: '--domain example.org --email admin@example.org',
  config: '--config gwanmun.config.ts',
  method: '--method POST',
  header: "--header 'Accept: application/json'",
  data: "--data 'name=Mina'",
  json: '--json \'{"name":"Mina"}\'',
};

function portOption(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = parsePort(text);
  if (port === undefined) throw usage(`--port: ${PORT_RANGE}, got "${text}"`, EXAMPLES.port);
  return port;
}

function workersOption(text: string | undefined): number | 'auto' | undefined {
  if (text === undefined || text === 'auto') return text;
  const workers = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (workers >= 1 && workers <= 1024) return workers;
  throw usage(`--workers: expected a whole number from 1 to 1024 or "auto", got "${text}"`, EXAMPLES.workers);
}

function usage(message: string, remedy?: string): GwanmunError {
  return new GwanmunError('GWM_USAGE', message, { remedy });
}
