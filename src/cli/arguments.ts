// The command line as data.

import { parseArgs } from 'node:util';
import { parsePort, PORT_RANGE } from '../config/listen.js';
import type { Overrides } from '../config/resolve.js';
import { didYouMean, suggest } from '../config/suggest.js';
import { GwanmunError } from '../errors.js';

/** What the user asked for. */
export type Command =
  | { readonly name: 'help' }
  | { readonly name: 'version' }
  | { readonly name: 'check'; readonly config: string | undefined }
  | {
      readonly name: 'serve';
      readonly target: string | undefined;
      readonly config: string | undefined;
      readonly overrides: Overrides;
    };

const OPTIONS = {
  port: { type: 'string', short: 'p' },
  host: { type: 'string' },
  workers: { type: 'string' },
  config: { type: 'string', short: 'c' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

type OptionName = keyof typeof OPTIONS;

const COMMANDS = ['serve', 'check', 'help', 'version'] as const;
/** What each command takes beside --help and --version. */
const TAKES: Record<'serve' | 'check', readonly OptionName[]> = {
  serve: ['port', 'host', 'workers', 'config'],
  check: ['config'],
};

/** Reads the arguments after the program's name. Throws GWM_USAGE. */
export function parseCommand(args: readonly string[]): Command {
  const { values, positionals } = readOptions(args);
  if (values.help) return { name: 'help' };
  if (values.version) return { name: 'version' };
  const [first, ...others] = positionals;
  const name = COMMANDS.find((command) => command === first);
  if (name === 'help' || name === 'version') return { name };
  const rest = name === undefined ? positionals : others;
  const command = name ?? 'serve';
  for (const option of Object.keys(values) as OptionName[]) {
    if (!TAKES[command].includes(option)) throw usage(`gwanmun ${command} takes no --${option}`);
  }
  if (command === 'check') {
    const [extra] = rest;
    if (extra !== undefined) {
      throw usage(`gwanmun check takes no target, got "${extra}"`, `gwanmun check --config ${extra}`);
    }
    return { name: 'check', config: values.config };
  }
  const [target, extra] = rest;
  if (extra !== undefined) throw usage(`gwanmun serves one target, got "${target}" and "${extra}"`);
  if (target !== undefined && values.config !== undefined) {
    throw usage('a target and --config exclude each other', `gwanmun ${target}\ngwanmun --config ${values.config}`);
  }
  return {
    name: 'serve',
    target,
    config: values.config,
    overrides: { port: portOption(values.port), host: values.host, workers: workersOption(values.workers) },
  };
}

/** A word that was meant as a command, for the message when no such file is there. */
export function suggestCommand(word: string): string | undefined {
  return suggest(word, COMMANDS);
}

interface Options {
  port?: string;
  host?: string;
  workers?: string;
  config?: string;
  help?: true;
  version?: true;
}

function readOptions(args: readonly string[]): { values: Options; positionals: string[] } {
  // Not strict, and by tokens: parseArgs' own messages know no "did you mean".
  const { tokens } = parseArgs({
    args: [...args],
    options: OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values: Options = {};
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const name = (Object.keys(OPTIONS) as OptionName[]).find((option) => option === token.name);
    if (name === undefined) {
      const known = Object.keys(OPTIONS).map((option) => `--${option}`);
      const hint = token.rawName.startsWith('--') ? didYouMean(token.rawName, known) : '';
      throw usage(`there is no option ${token.rawName}${hint}`);
    }
    if (name === 'help' || name === 'version') {
      if (token.value !== undefined) throw usage(`--${name} takes no value, got "${token.value}"`);
      values[name] = true;
    } else {
      // An option in the value's place is a forgotten value, not a strange one; `--host=-x` says it on purpose.
      const isForgotten =
        token.value === undefined || token.value === '' || (!token.inlineValue && token.value.startsWith('-'));
      if (isForgotten) throw usage(`${token.rawName} needs a value`, EXAMPLES[name]);
      values[name] = token.value;
    }
  }
  return { values, positionals };
}

const EXAMPLES = {
  port: '--port 8080',
  host: '--host 0.0.0.0',
  workers: '--workers auto',
  config: '--config gwanmun.config.ts',
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
