// Every error that a person can meet: one entry here, one code, one page's worth of words.
// The Rust core throws the same codes; the entries for those say so only by their meaning.

import pc from 'picocolors';

/** Colours on or off by choice, not by what picocolors finds out about standard output. */
export const createColors: (enabled: boolean) => ReturnType<typeof pc.createColors> = pc.createColors;

/** What the registry knows about a code. */
export interface ErrorEntry {
  /** What happened, in a few words. */
  readonly title: string;
  /** Why it happens. */
  readonly explanation: string;
  /** What to do about it. */
  readonly remedy: string;
  /** The exit code of a command that ends with it: 1 while running, 2 usage or configuration, 3 nothing to serve. */
  readonly exit: 1 | 2 | 3;
}

/** The registry: code → what it means and what to do. */
export const errorEntries = {
  GWM_ADDRESS_UNAVAILABLE: {
    title: 'The address cannot be listened on',
    explanation: 'No network interface of this machine has the address, or its name does not resolve.',
    remedy: 'use 127.0.0.1 for this machine only, or 0.0.0.0 for every interface',
    exit: 1,
  },
  GWM_APP_AMBIGUOUS: {
    title: 'The module holds more than one application',
    explanation:
      "A module's exports say what kind of application it is: a function named application, a fetch handler, or a default function as Node handler. This one has several.",
    remedy: "say which: app: { wsgi: './app.ts' }, app: { fetch: './app.ts' } or app: { node: './app.ts' }",
    exit: 1,
  },
  GWM_APP_FAILED: {
    title: 'The application could not be loaded',
    explanation: 'Importing the application module threw an error.',
    remedy: 'the stack above names the file and line; mend it and start again',
    exit: 1,
  },
  GWM_APP_MODULE: {
    title: 'There is no such Python module',
    explanation:
      'The module that wsgi names is neither in the folder of the configuration nor installed for that Python.',
    remedy: 'check the name of the module, and that python names the environment that has it',
    exit: 1,
  },
  GWM_APP_SYNTAX: {
    title: 'The application has a syntax error',
    explanation: 'The application module, or a module it imports, is not valid JavaScript or TypeScript.',
    remedy: 'mend the line named above and start again',
    exit: 1,
  },
  GWM_BODY_REFUSED: {
    title: 'The request body is refused',
    explanation:
      'The rest of the request body is over limits.body, came too slowly, or is malformed; the client was told.',
    remedy: 'nothing is to be done for this request; raise limits.body or timeouts.body if it was right',
    exit: 1,
  },
  GWM_CLIENT_DISCONNECTED: {
    title: 'The client has left',
    explanation: 'The client left before it had sent all of the request body.',
    remedy: 'nothing is to be done for this request: undo what it began',
    exit: 1,
  },
  GWM_CONFIG_EXPORT: {
    title: 'The configuration file exports no configuration',
    explanation: 'A configuration file has a default export: an object, or a function that returns one.',
    remedy: "write: export default defineConfig({ mounts: [{ path: '/', app: './app.ts' }] })",
    exit: 2,
  },
  GWM_CONFIG_INVALID: {
    title: 'The configuration is not valid',
    explanation: 'A key or a value of the configuration is not one that gwanmun knows.',
    remedy: 'correct it, then run: gwanmun check',
    exit: 2,
  },
  GWM_CONFIG_LOAD: {
    title: 'The configuration file could not be loaded',
    explanation: 'Importing the configuration file threw an error.',
    remedy: 'correct the file, then run: gwanmun check',
    exit: 2,
  },
  GWM_CONFIG_NOT_FOUND: {
    title: 'There is no such configuration file',
    explanation: 'The file named by --config does not exist.',
    remedy: 'check the path; without --config, gwanmun.config.ts of the current folder is used',
    exit: 2,
  },
  GWM_CONTRACT: {
    title: 'The contract between server and application is broken',
    explanation: 'The validator saw the application or the server do what the application contract does not allow.',
    remedy: 'the message names the row of docs/application-contract.md; mend the side that it blames',
    exit: 1,
  },
  GWM_CORE: {
    title: 'The server core failed',
    explanation: 'The Rust core reported an error that has no code of its own.',
    remedy: 'the message names the cause; if it looks like a fault of gwanmun, please report it',
    exit: 1,
  },
  GWM_FD_LIMIT: {
    title: 'Too many open files',
    explanation: 'The process has reached its limit of file descriptors.',
    remedy: 'raise the limit: ulimit -n 65536',
    exit: 1,
  },
  GWM_INPUT_CLOSED: {
    title: 'The request body is read after the request',
    explanation: 'wsgi.input belongs to its request: when the response has ended, its buffer or file is gone.',
    remedy: 'read the body before the response ends',
    exit: 1,
  },
  GWM_LOG_FILE: {
    title: 'A log file cannot be written',
    explanation: 'The file or its folder does not exist, or this user may not write there.',
    remedy: 'create the folder, give this user the right to write there, or name another file',
    exit: 1,
  },
  GWM_NATIVE_MISSING: {
    title: 'The native core is not there',
    explanation: 'No prebuilt core for this platform is installed or can be loaded, and none has been built here.',
    remedy: 'npm install --include=optional gwanmun\nin a clone of the project: npm run build',
    exit: 1,
  },
  GWM_NODE_VERSION: {
    title: 'This Node.js is too old',
    explanation: 'gwanmun needs Node.js 20.19 or newer.',
    remedy: 'install a current Node.js, then start again',
    exit: 1,
  },
  GWM_NO_APPLICATION: {
    title: 'The module exports no application',
    explanation: 'An application module exports a function named application, or a Node handler by default.',
    remedy:
      'write: export function application(environ, startResponse) { … }, or export default (request, response) => { … }',
    exit: 1,
  },
  GWM_NO_ENTRY: {
    title: 'There is nothing to serve here',
    explanation: 'No target was named, and the current folder has no gwanmun.config.ts (or .mts, .js, .mjs, .json).',
    remedy: 'name a folder, an application or a configuration file',
    exit: 3,
  },
  GWM_PLATFORM: {
    title: 'This platform is not supported',
    explanation: 'gwanmun is made of what Linux has: epoll, openat2, descriptors that pass between processes.',
    remedy: 'use Linux: in a container, a virtual machine or, on Windows, the Windows Subsystem for Linux',
    exit: 1,
  },
  GWM_PORT_FORBIDDEN: {
    title: 'The port may not be used',
    explanation: 'Ports below 1024 are for privileged users.',
    remedy: 'use a port from 1024 on, or allow it: sudo setcap cap_net_bind_service=+ep "$(which node)"',
    exit: 1,
  },
  GWM_PORT_IN_USE: {
    title: 'The port is in use',
    explanation: 'Another program is listening on the same address and port.',
    remedy: 'stop the other program, or choose another port: gwanmun --port 3001 (0 takes a free one)',
    exit: 1,
  },
  GWM_PYTHON_MISSING: {
    title: 'Python could not be started',
    explanation: 'The interpreter for a Python application is not there, or is not a program for this machine.',
    remedy: "install Python 3.8 or newer, or name it in the mount: python: './venv/bin/python'",
    exit: 1,
  },
  GWM_PYTHON_VERSION: {
    title: 'This Python is too old',
    explanation: 'Python applications need Python 3.8 or newer.',
    remedy: "make an environment of a newer one (python3.12 -m venv venv), or name it: python: './venv/bin/python'",
    exit: 1,
  },
  GWM_READ_WOULD_BLOCK: {
    title: 'A read would have to block',
    explanation:
      'More of the streamed body has to come, and in-process the client may be served by the same event loop.',
    remedy: 'use `for await`, readAsync(), or no `stream: true`; or run the application in a worker process',
    exit: 1,
  },
  GWM_SOCKET_PATH: {
    title: 'The Unix socket cannot be made',
    explanation: 'Its folder does not exist, the path is too long, this user may not write there, or it is in use.',
    remedy: 'check the path and its folder, or whether another server listens on it',
    exit: 1,
  },
  GWM_TARGET: {
    title: 'The target cannot be served',
    explanation: 'A target is a folder of files, an application module or a Python module.',
    remedy: 'name a folder, or a file that ends in .ts, .mts, .js, .mjs or .py',
    exit: 2,
  },
  GWM_USAGE: {
    title: 'The command line is not valid',
    explanation: 'An option, its value or a command is not one that gwanmun knows.',
    remedy: 'run: gwanmun --help',
    exit: 2,
  },
  GWM_WORKER_EXITED: {
    title: 'A worker exited',
    explanation: 'The worker process ended before its applications were ready.',
    remedy: 'see what the worker printed above; an application must not call process.exit()',
    exit: 1,
  },
  GWM_WORKER_TIMEOUT: {
    title: 'A worker did not get ready in time',
    explanation: 'Its applications were still loading when startTimeout had passed.',
    remedy: 'look for a top-level await that never ends, or raise startTimeout',
    exit: 1,
  },
  GWM_WRITE_WOULD_BLOCK: {
    title: 'write() would have to block',
    explanation:
      'The client is slow, and in-process it may be served by the same event loop: waiting would be forever.',
    remedy: 'return or yield the body instead, or run the application in a worker process',
    exit: 1,
  },
} as const satisfies Record<string, ErrorEntry>;

/** A code of the registry. */
export type ErrorCode = keyof typeof errorEntries;

/** Where an error is: a file, a place in it, a key of the configuration. */
export interface Where {
  readonly file?: string | undefined;
  /** From 1. */
  readonly line?: number | undefined;
  /** From 1. */
  readonly column?: number | undefined;
  /** A key path of the configuration, such as `mounts[1].files`, or an option or environment variable. */
  readonly key?: string | undefined;
}

/** One of several faults that are reported together. */
export interface Problem {
  readonly message: string;
  readonly where?: Where | undefined;
}

export interface GwanmunErrorOptions {
  readonly where?: Where | undefined;
  /** Instead of the registry's remedy, where more is known. Several lines are alternatives. */
  readonly remedy?: string | undefined;
  readonly problems?: readonly Problem[] | undefined;
  /** The stack of an error in the user's code; printed as it is. */
  readonly userStack?: string | undefined;
  readonly cause?: unknown;
}

/** An error for people: a code of the registry, what happened, where, and what to do. */
export class GwanmunError extends Error {
  override readonly name = 'GwanmunError';
  readonly code: ErrorCode;
  readonly where: Where | undefined;
  readonly remedy: string;
  readonly problems: readonly Problem[];
  readonly userStack: string | undefined;

  constructor(code: ErrorCode, message?: string, options: GwanmunErrorOptions = {}) {
    super(message ?? errorEntries[code].title, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.where = options.where;
    this.remedy = options.remedy ?? errorEntries[code].remedy;
    this.problems = options.problems ?? [];
    this.userStack = options.userStack;
  }

  /** The exit code of a command that ends with this error. */
  get exitCode(): number {
    return errorEntries[this.code].exit;
  }

  /** What crosses a process boundary; {@link GwanmunError.fromJSON} makes it an error again. */
  toJSON(): SerializedError {
    const { code, message, where, remedy, problems, userStack } = this;
    return { code, message, where, remedy, problems, userStack };
  }

  static fromJSON(error: SerializedError): GwanmunError {
    return new GwanmunError(error.code, error.message, error);
  }
}

/** A {@link GwanmunError} as plain data. */
export interface SerializedError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly where?: Where | undefined;
  readonly remedy?: string | undefined;
  readonly problems?: readonly Problem[] | undefined;
  readonly userStack?: string | undefined;
}

/** Whether a string is a code of the registry. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorEntries, code);
}

/** Makes what the core threw a {@link GwanmunError}: its `code` and message are kept, the remedy is the registry's. */
export function fromCore(error: unknown, where?: Where): GwanmunError {
  if (error instanceof GwanmunError) return error;
  const code = isRecord(error) && isErrorCode(error['code']) ? error['code'] : 'GWM_CORE';
  return new GwanmunError(code, error instanceof Error ? error.message : String(error), { where, cause: error });
}

/**
 * The error as a person reads it, without a final newline:
 *
 *     ✗ GWM_PORT_IN_USE  Port 3000 of 127.0.0.1 is in use
 *       at gwanmun.config.ts  listen.port
 *       try: stop the other program, or …
 */
export function formatError(error: GwanmunError, options: { color?: boolean } = {}): string {
  const c = createColors(options.color ?? false);
  const lines = [`${c.red('✗')} ${c.bold(error.code)}  ${error.message}`];
  if (error.where) lines.push(`  ${c.dim('at')} ${formatWhere(error.where)}`);
  for (const problem of error.problems) {
    lines.push('', `  ${c.yellow(formatWhere(problem.where ?? {}))}`, `    ${problem.message}`);
  }
  if (error.problems.length > 0) lines.push('');
  if (error.userStack !== undefined) lines.push(...error.userStack.split('\n').map((line) => `    ${c.dim(line)}`));
  const [first = '', ...rest] = error.remedy.split('\n');
  lines.push(`  ${c.green('try:')} ${first}`, ...rest.map((line) => `       ${line}`));
  return lines.join('\n');
}

/** `file:line:column  key`, as much as is known. */
export function formatWhere(where: Where): string {
  const place = [where.file, where.line, where.column].filter((part) => part !== undefined).join(':');
  return [place, where.key].filter((part) => part !== undefined && part !== '').join('  ');
}

/** Whether a stream is to get colours: NO_COLOR and FORCE_COLOR decide, else whether a person watches. */
export function wantsColor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR']) return env['FORCE_COLOR'] !== '0';
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
