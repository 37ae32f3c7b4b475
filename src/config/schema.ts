// The shape of a configuration, checked with valibot. Each message is what was expected; check.ts adds what was found and where.

import * as v from 'valibot';
import { loadNative } from '../native.js';
import type { CoreAddressOfUpstream } from './core.js';
import type {
  App,
  ApplicationKind,
  Auth,
  Cgi,
  Config,
  FastCgi,
  Listen,
  Mount,
  Php,
  RateLimit,
  Redirect,
  Respond,
  TcpListen,
  Tls,
  UnixListen,
} from './define.js';
import type { KeyPath } from './locate.js';
import { DIRECTORIES, parseDomain } from './domains.js';
import { foreignKey } from './foreign.js';
import { WSGI_TARGET } from './python.js';
import { didYouMean } from './suggest.js';
import { parseListen, PORT_RANGE } from './listen.js';
import { parseUpstream } from './upstream.js';

/** A safe integer of a range, with one message for whatever is wrong with it. */
function range(min: number, max: number, expected: string) {
  return v.pipe(v.number(expected), v.safeInteger(expected), v.minValue(min, expected), v.maxValue(max, expected));
}

/** An integer of a range; `what` completes "expected …". */
function integer(what: string, min: number, max: number = Number.MAX_SAFE_INTEGER) {
  const bounds = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
  return range(min, max, `expected ${what} ${bounds}`);
}

const bytes = (min: number, max: number) => v.optional(integer('a number of bytes', min, max));
// setTimeout's and poll's range: beyond 2^31 − 1 ms both overflow.
const milliseconds = (min = 1) => v.optional(integer('milliseconds', min, 2_147_483_647));
const text = (what: string) => v.pipe(v.string(`expected ${what}`), v.nonEmpty(`expected ${what}`));

/** An object without other keys than these: an unknown one is most often a misspelt one. */
function object<const Entries extends v.ObjectEntries>(entries: Entries, expected = 'expected an object') {
  return v.strictObject(entries, (issue) => {
    const key = issue.path?.at(-1)?.key;
    if (issue.expected === 'never') {
      const known = Object.keys(entries);
      const foreign = foreignKey(String(key), known);
      if (foreign !== undefined) return `unknown key; ${foreign}`;
      return `unknown key${didYouMean(String(key), known) || `; known are ${known.join(', ')}`}`;
    }
    return issue.expected === 'Object' ? expected : 'is missing';
  });
}

/** Chooses the schema by the input: that branch's message says more than "none of these fits". */
function choose<Input, Output>(pick: (input: unknown) => v.GenericSchema): v.GenericSchema<Input, Output> {
  return v.lazy(pick) as unknown as v.GenericSchema<Input, Output>;
}

const port = range(0, 65535, PORT_RANGE);
const speaksTls = v.optional(
  v.boolean('expected true or false; certificates belong beside listen: tls: { cert, key }'),
);
const redirect = choose<'https' | number, 'https' | number>((input) =>
  typeof input === 'number'
    ? range(1, 65535, "expected 'https', or the port of it that clients see, from 1 to 65535")
    : v.literal('https', "expected 'https', or the port of it that clients see"),
);
const tcp = v.pipe(
  object({
    host: v.optional(text('a host name or an IP address')),
    port: v.optional(port),
    tls: speaksTls,
    redirect: v.optional(redirect),
  }),
  v.check((one) => one.tls !== true || one.redirect === undefined, 'expected tls or redirect, got both'),
);
const unix = object({
  unix: text('the path of a Unix socket'),
  mode: v.optional(integer('a file mode such as 0o660', 0, 0o777)),
  tls: speaksTls,
});
const listenString = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }): TcpListen | UnixListen => {
    const parsed = parseListen(dataset.value);
    if ('ok' in parsed) return parsed.ok;
    addIssue({ message: parsed.fault });
    return NEVER;
  }),
);

type One = TcpListen | UnixListen;
const listenOne = choose<Listen, One>((input) => {
  if (typeof input === 'number')
    return v.pipe(
      port,
      v.transform((number): One => ({ port: number })),
    );
  if (typeof input === 'string') return listenString;
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return 'unix' in input ? unix : tcp;
  return v.never('expected a port, an address, { host, port } or { unix }');
});

const listen = choose<Listen | readonly Listen[], One[]>((input) =>
  Array.isArray(input)
    ? v.pipe(v.array(listenOne), v.minLength(1, 'expected at least one address'))
    : v.pipe(
        listenOne,
        v.transform((one) => [one]),
      ),
);

const mountPath = v.pipe(
  text("a URL path such as '/' or '/admin'"),
  v.transform((path) => (path.length > 1 ? path.replace(/\/+$/, '') || '/' : path)),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const fault = mountPathFault(dataset.value);
    if (fault !== undefined) addIssue({ message: `${fault}, got "${dataset.value}"` });
  }),
);

/** What is wrong with a mount's path: it has to be in the normal form in which the core compares decoded paths. */
function mountPathFault(path: string): string | undefined {
  if (!path.startsWith('/')) return "expected a path that begins with '/'";
  if (path.includes('%')) return "expected the decoded path, without '%'";
  if (/[?#\\]/.test(path)) return "expected a path without '?', '#' and '\\'";
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'expected a path without control characters';
  if (path.includes('//')) return 'expected a path without empty segments';
  if (/\/\.\.?(\/|$)/.test(path)) return "expected a path without '.' and '..' segments";
  return undefined;
}

const indexName = v.pipe(
  text("a file's name"),
  v.check((name) => !/[/\0]/.test(name) && name !== '.' && name !== '..', "expected a file's name without '/'"),
);

const wsgi = v.pipe(
  text("'module:callable'"),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed || WSGI_TARGET.test(dataset.value)) return;
    const module = /^(?:\.\/)?([^.:]+)\.py(:.*)?$/.exec(dataset.value);
    const hint = module
      ? `; a module is named without .py: '${module[1]?.replaceAll('/', '.')}${module[2] ?? ''}'`
      : '';
    addIssue({ message: `expected 'module:callable', got "${dataset.value}"${hint}` });
  }),
);

/** An application's module, and its kind where that is said. */
export interface CheckedApp {
  readonly module: string;
  readonly kind?: ApplicationKind;
}

const modulePath = text('the path of an application module');
const appExpected = 'expected the path of an application module, or one of { wsgi }, { fetch } and { node } with it';
const app = choose<App, CheckedApp>((input) =>
  typeof input === 'object' && input !== null && !Array.isArray(input)
    ? v.pipe(
        object({ wsgi: v.optional(modulePath), fetch: v.optional(modulePath), node: v.optional(modulePath) }),
        v.rawTransform(({ dataset, addIssue, NEVER }): CheckedApp => {
          const [one, ...others] = Object.entries(dataset.value) as [ApplicationKind, string | undefined][];
          if (one?.[1] !== undefined && others.length === 0) return { kind: one[0], module: one[1] };
          addIssue({ message: appExpected });
          return NEVER;
        }),
      )
    : v.pipe(
        v.string(appExpected),
        v.nonEmpty(appExpected),
        v.transform((module): CheckedApp => ({ module })),
      ),
);

/** A text or a list of them. */
function oneOrMore(one: v.GenericSchema<string>) {
  return choose<string | readonly string[], string[]>((input) =>
    Array.isArray(input)
      ? v.array(one)
      : v.pipe(
          one,
          v.transform((text) => [text]),
        ),
  );
}

/** An object of names that have a form, and values. */
function record<Value extends v.GenericSchema>(name: v.GenericSchema<string>, value: Value) {
  return v.record(name, value, 'expected an object');
}

const tryPath = v.pipe(
  text("a path such as '$path.html'"),
  v.check(
    (path) => /^(?:\/|\$path)/.test(path) && !/\$path.*\$path|[\0\\]|\/\.\.?(?:\/|$)|\/\//.test(path),
    "expected a path that begins with '/' or '$path', such as '$path.html' or '/index.html'",
  ),
);
const extensionName = v.pipe(
  v.string(),
  v.regex(/^\.[\w+-]{1,32}$/, "expected an extension such as '.foo': a dot, then letters, digits, '_', '+' and '-'"),
);
const pattern = v.pipe(
  v.string(),
  v.check(
    (text) => text !== '' && text.length <= 1024 && (text.startsWith('/') || !text.includes('/')),
    "expected a pattern such as '/assets/*', which begins with '/', or '*.html' for names of files",
  ),
);
// RFC 9110 section 5.5, in ASCII.
const headerValue = v.pipe(
  v.string('expected a string'),
  v.regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, 'expected visible ASCII characters'),
);
/** What the core says itself, or has a key of its own here. */
const OWN_HEADERS =
  /^(?:accept-ranges|cache-control|connection|content-(?:encoding|length|range|type)|date|etag|last-modified|server|transfer-encoding|vary)$/i;
const headerName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z][\w-]{0,127}$/, "expected the name of a header, such as 'X-Frame-Options'"),
  v.check((name) => !OWN_HEADERS.test(name), 'expected another header: the server sets this one itself'),
);
const cacheControl = v.pipe(
  v.string('expected a string'),
  v.check(
    (value) => cacheControlOf(value) !== undefined,
    "expected '1y immutable', '10m', 'no-cache', 'no-store', or directives such as 'private, max-age=60'",
  ),
  v.transform((value) => cacheControlOf(value) as string),
);
const errorStatus = v.pipe(v.string(), v.regex(/^[45]\d\d$/, 'expected a status from 400 to 599'));

/** Fields of responses that only the server can say: how a body is framed and coded, whether the connection goes on. */
const FRAMING =
  /^(?:connection|content-(?:encoding|length|range)|date|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i;
const fieldName = v.pipe(
  v.string('expected the name of a header'),
  v.regex(/^[A-Za-z][\w-]{0,127}$/, "expected the name of a header, such as 'X-Robots-Tag'"),
  v.check((name) => !FRAMING.test(name), 'expected another header: this one is for the server to say'),
);
const fields = record(fieldName, headerValue);
const headerRules = object({
  set: v.optional(fields),
  default: v.optional(fields),
  remove: v.optional(list(fieldName, 'expected a list of names')),
});
type SecurityHeaders = boolean | Readonly<Record<string, string | false>>;
const securityHeaders = choose<SecurityHeaders, SecurityHeaders>((input) =>
  typeof input === 'object' && input !== null
    ? record(
        fieldName,
        choose<string | false, string | false>((value) => (value === false ? v.literal(false) : headerValue)),
      )
    : v.boolean('expected true, false or an object'),
);

/** A list, read-only for those who write it. */
function list<Input, Output>(one: v.GenericSchema<Input, Output>, expected: string) {
  return choose<readonly Input[], Output[]>(() => v.array(one, expected));
}

/** The core reads them, and says what is wrong with one. */
const networks = list(
  v.pipe(
    v.string("expected a network such as '10.0.0.0/8'"),
    v.rawCheck(({ dataset, addIssue }) => {
      const fault = dataset.typed ? loadNative().networkFault(dataset.value) : null;
      if (fault !== null) addIssue({ message: fault });
    }),
  ),
  'expected a list of networks',
);
const allowNetworks = v.pipe(
  networks,
  v.check((entries) => entries.length > 0, 'expected at least one network: nobody could enter'),
);
const allow = choose<'all' | readonly string[], 'all' | string[]>((input) =>
  typeof input === 'string' ? v.literal('all', "expected a list of networks, or 'all'") : allowNetworks,
);

const userName = v.pipe(
  v.string(),
  v.regex(/^[^:\p{Cc}]+$/u, "expected the name of a user, without ':' and control characters"),
);
const AUTH = "expected { basic: './users' }";
const login = object(
  {
    basic: choose<string | Readonly<Record<string, string>>, string | Record<string, string>>((input) =>
      typeof input === 'object' && input !== null
        ? v.pipe(
            // What the hash is, the core knows. No message shows it.
            record(userName, v.string('expected a hash, as gwanmun hash-password writes it')),
            v.check((users) => Object.keys(users).length > 0, 'expected at least one user: nobody could enter'),
          )
        : text('the path of a password file'),
    ),
    realm: v.optional(headerValue),
    attempts: v.optional(
      choose<number | false, number | false>((input) =>
        input === false ? v.literal(false) : integer('a number, or false,', 1, 10_000),
      ),
    ),
  },
  AUTH,
);
const auth = choose<false | Auth, false | v.InferOutput<typeof login>>((input) =>
  input === false ? v.literal(false) : login,
);

const RATE_KEY = "expected 'address', 'all' or 'header:NAME'";
const rateKey = choose<NonNullable<RateLimit['key']>, 'address' | 'all' | { header: string }>(() =>
  v.pipe(
    v.string(RATE_KEY),
    v.regex(/^(?:address|all|header:[A-Za-z][\w-]{0,127})$/, RATE_KEY),
    v.transform((key) => (key.startsWith('header:') ? { header: key.slice(7) } : (key as 'address' | 'all'))),
  ),
);
const rateNumber = (what: string) => integer(what, 1, 0xffff_ffff);
const rate = object(
  {
    requests: rateNumber('a number of requests'),
    per: v.optional(rateNumber('milliseconds')),
    burst: v.optional(rateNumber('a number of requests')),
    key: v.optional(rateKey),
    name: v.optional(text('a name')),
    status: v.optional(integer('a status', 400, 599)),
    dryRun: v.optional(v.boolean('expected true or false')),
  },
  'expected { requests: 10, per: 1000 }',
);
const rateLimit = choose<false | RateLimit, false | v.InferOutput<typeof rate>>((input) =>
  input === false ? v.literal(false) : rate,
);

const origin = v.pipe(
  v.string('expected an origin'),
  v.check(
    isOrigin,
    "expected an origin such as 'https://app.example', without a path; 'https://*.example.org' is every subdomain",
  ),
);
const token = v.pipe(v.string('expected a name'), v.regex(/^(?:\*|[A-Za-z][\w-]{0,127})$/, 'expected a name'));
const cors = v.pipe(
  object(
    {
      origins: v.pipe(
        list(origin, 'expected a list of origins'),
        v.check((origins) => origins.length > 0, 'expected at least one origin'),
      ),
      credentials: v.optional(v.boolean('expected true or false')),
      methods: v.optional(list(token, 'expected a list of methods')),
      headers: v.optional(list(token, 'expected a list of headers')),
      expose: v.optional(list(token, 'expected a list of headers')),
      maxAge: milliseconds(0),
    },
    "expected { origins: ['https://app.example'] }",
  ),
  v.check(
    ({ origins, credentials }) => credentials !== true || !origins.includes('*'),
    "expected the origins by name: with credentials, '*' would let every site act as whoever visits it",
  ),
);

/** Whether browsers send it as `Origin` (Fetch section 3.1), or it is a pattern of such. */
function isOrigin(text: string): boolean {
  if (text === '*' || text === 'null') return true;
  const plain = text.replace(/^(https?:\/\/)\*\./, '$1');
  return URL.canParse(plain) && new URL(plain).origin === plain && !plain.includes('*');
}

/** A fixed answer, with every default filled in. */
export interface CheckedRespond {
  readonly status: number;
  readonly headers: readonly [name: string, value: string][];
  readonly body: string;
}

const RESPOND = 'expected a text, or { status, headers, body }';
const respond = choose<string | Respond, CheckedRespond>((input) =>
  typeof input === 'object' && input !== null && !Array.isArray(input)
    ? v.pipe(
        object({
          status: v.optional(integer('a status', 200, 599)),
          headers: v.optional(fields),
          body: v.optional(v.string('expected a text')),
        }),
        v.check(
          ({ status, body }) => (status !== 204 && status !== 304) || body === undefined || body === '',
          'expected no body: a response with this status has none',
        ),
        v.transform(({ status = 200, headers = {}, body = '' }): CheckedRespond => {
          const own = Object.entries(headers);
          const isTyped =
            own.some(([name]) => name.toLowerCase() === 'content-type') || status === 204 || status === 304;
          return { status, headers: isTyped ? own : [['Content-Type', PLAIN], ...own], body };
        }),
      )
    : v.pipe(
        v.string(RESPOND),
        v.transform((body): CheckedRespond => ({ status: 200, headers: [['Content-Type', PLAIN]], body })),
      ),
);
const PLAIN = 'text/plain; charset=utf-8';

/** A redirect whose target is encoded. */
export interface CheckedRedirect {
  readonly to: string;
  readonly status: number;
}

const target = v.pipe(
  v.string("expected a path such as '/new', or a URL"),
  v.check(
    (to) => targetOf(to) !== undefined,
    "expected a path that begins with one '/', such as '/new', or a URL such as 'https://www.example.org'",
  ),
  v.transform((to) => targetOf(to) as string),
);
const redirectMount = choose<string | Redirect, CheckedRedirect>((input) =>
  typeof input === 'object' && input !== null && !Array.isArray(input)
    ? v.pipe(
        object({
          to: target,
          status: v.optional(v.picklist([301, 302, 303, 307, 308], 'expected 301, 302, 303, 307 or 308')),
        }),
        v.transform(({ to, status = 308 }): CheckedRedirect => ({ to, status })),
      )
    : v.pipe(
        target,
        v.transform((to): CheckedRedirect => ({ to, status: 308 })),
      ),
);

/** A target as it stands in `Location`. Undefined: it is none. A backslash is a slash to browsers (A124). */
function targetOf(text: string): string | undefined {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f\\]/.test(text)) return undefined;
  if (/^\/(?!\/)/.test(text)) {
    const url = new URL(`http://a${text}`);
    return `${url.pathname}${url.search}${url.hash}`;
  }
  if (!/^https?:\/\/[^/]/i.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.username === '' && url.password === '' ? url.href : undefined;
}

/** What a mount says of a FastCGI program, after its check. */
export interface CheckedFastCgi {
  /** Undefined: php-fpm is looked for. */
  readonly to?: CoreAddressOfUpstream | undefined;
  readonly root?: { readonly here: string; readonly there?: string | undefined } | undefined;
  readonly index?: string | false | undefined;
  readonly splitPath?: readonly string[] | undefined;
  readonly scripts?: readonly string[] | undefined;
  readonly noExec?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly passAuthorization?: boolean | undefined;
  readonly maxConnections?: number | undefined;
  readonly children?: number | undefined;
  readonly timeout?: number | undefined;
}

/** Keys that mean nothing without `root`. */
const SCRIPT_KEYS = ['index', 'splitPath', 'scripts', 'noExec'] as const;

/** The first key that is about scripts, though there is no folder of them. */
function keyWithoutRoot(own: CheckedFastCgi): string | undefined {
  return own.root === undefined ? SCRIPT_KEYS.find((key) => own[key] !== undefined) : undefined;
}

const address = v.pipe(
  text("an address such as 'unix:/run/php/php-fpm.sock'"),
  v.rawTransform(({ dataset, addIssue, NEVER }): CoreAddressOfUpstream => {
    const parsed = parseUpstream(dataset.value);
    if ('ok' in parsed) return parsed.ok;
    addIssue({ message: parsed.fault });
    return NEVER;
  }),
);

type Root = NonNullable<FastCgi['root']>;
const scriptRoot = choose<Root, NonNullable<CheckedFastCgi['root']>>((input) =>
  typeof input === 'object' && input !== null
    ? object(
        {
          here: text('the path of a folder'),
          there: v.pipe(text('an absolute path'), v.startsWith('/', 'expected an absolute path')),
        },
        'expected { here, there }',
      )
    : v.pipe(
        text('the path of a folder, or { here, there }'),
        v.transform((here) => ({ here })),
      ),
);
const scriptPath = v.pipe(
  text("a path such as '/uploads'"),
  v.check((path) => !/[\0\\?#]|\/\/|(?:^|\/)\.\.?(?:\/|$)/.test(path), "expected a path such as '/uploads'"),
);
const paths = (what: string) =>
  choose<readonly string[], string[]>(() => v.array(scriptPath, `expected a list of paths such as ['${what}']`));
const variableName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z_][\w.-]{0,255}$/, "expected a name such as 'APP_ENV': letters, digits, '_', '.' and '-'"),
);
const program = {
  index: v.optional(
    choose<string | false, string | false>((input) =>
      input === false ? v.literal(false) : v.pipe(v.string('expected the name of a script, or false'), indexName),
    ),
  ),
  splitPath: v.optional(oneOrMore(extensionName)),
  scripts: v.optional(paths('index.php')),
  noExec: v.optional(paths('/uploads')),
  env: v.optional(
    record(
      variableName,
      // oxlint-disable-next-line no-control-regex -- NUL is what must not be there
      v.pipe(v.string('expected a string'), v.regex(/^[^\0]*$/, 'expected a string without NUL')),
    ),
  ),
  passAuthorization: v.optional(v.boolean('expected true or false')),
  maxConnections: v.optional(integer('a number', 1, 65535)),
  timeout: milliseconds(0),
};
const fastcgi = choose<string | FastCgi, CheckedFastCgi>((input) =>
  typeof input === 'object' && input !== null
    ? v.pipe(
        object({ to: address, root: v.optional(scriptRoot), ...program }),
        v.rawCheck(({ dataset, addIssue }) => {
          const key = dataset.typed ? keyWithoutRoot(dataset.value) : undefined;
          if (key !== undefined) addIssue({ message: `has ${key}, which is about scripts, but no root` });
        }),
      )
    : v.pipe(
        v.string("expected an address such as '127.0.0.1:9000', or { to, root }"),
        address,
        v.transform((to): CheckedFastCgi => ({ to })),
      ),
);
const php = choose<string | Php, CheckedFastCgi>((input) =>
  typeof input === 'object' && input !== null
    ? v.pipe(
        object({
          root: scriptRoot,
          to: v.optional(address),
          children: v.optional(integer('a number', 1, 1024)),
          ...program,
        }),
        v.check(
          ({ to, children }) => to === undefined || children === undefined,
          'expected to or children, got both: children are for a php-cgi that is started here',
        ),
      )
    : v.pipe(
        v.string('expected the path of a folder, or { root }'),
        v.nonEmpty('expected the path of a folder, or { root }'),
        v.transform((here): CheckedFastCgi => ({ root: { here } })),
      ),
);

/** What a mount says of programs that are started, after its check. */
export interface CheckedCgi {
  readonly folder?: string | undefined;
  readonly program?: string | undefined;
  readonly maxProcesses?: number | undefined;
  readonly timeout?: number | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly passAuthorization?: boolean | undefined;
  readonly limits?:
    | {
        readonly cpu?: number | undefined;
        readonly memory?: number | undefined;
        readonly fileSize?: number | undefined;
      }
    | undefined;
}

const cgi = choose<string | Cgi, CheckedCgi>((input) =>
  typeof input === 'object' && input !== null
    ? v.pipe(
        object({
          folder: v.optional(text('the path of a folder')),
          program: v.optional(text('the path of a program')),
          maxProcesses: v.optional(integer('a number', 1, 65535)),
          timeout: milliseconds(0),
          env: program.env,
          passAuthorization: program.passAuthorization,
          limits: v.optional(
            object({
              cpu: milliseconds(),
              memory: bytes(1, Number.MAX_SAFE_INTEGER),
              fileSize: bytes(0, Number.MAX_SAFE_INTEGER),
            }),
          ),
        }),
        v.check(
          ({ folder, program: one }) => (folder === undefined) !== (one === undefined),
          'expected either folder or program',
        ),
      )
    : v.pipe(
        v.string("expected the path of a folder such as './cgi-bin', or { program }"),
        v.nonEmpty("expected the path of a folder such as './cgi-bin', or { program }"),
        v.transform((folder): CheckedCgi => ({ folder })),
      ),
);

/** The keys that say who answers where there is no file. */
const ANSWERERS = ['app', 'wsgi', 'php', 'fastcgi', 'cgi'] as const;

const mount = v.pipe(
  object({
    path: mountPath,
    files: v.optional(text('the path of a folder')),
    app: v.optional(app),
    stream: v.optional(v.boolean('expected true or false')),
    sendfile: v.optional(oneOrMore(text('the path of a folder'))),
    wsgi: v.optional(wsgi),
    python: v.optional(text('the path or name of a Python interpreter')),
    php: v.optional(php),
    fastcgi: v.optional(fastcgi),
    cgi: v.optional(cgi),
    index: v.optional(oneOrMore(indexName)),
    tryFiles: v.optional(
      choose<readonly string[], string[]>(() =>
        v.pipe(v.array(tryPath, 'expected a list of paths'), v.minLength(1, 'expected at least one path')),
      ),
    ),
    types: v.optional(record(extensionName, headerValue)),
    cacheControl: v.optional(record(pattern, cacheControl)),
    headers: v.optional(record(pattern, record(headerName, headerValue))),
    nosniff: v.optional(v.boolean('expected true or false')),
    errorPages: v.optional(record(errorStatus, text('the path of a file'))),
    listing: v.optional(v.boolean('expected true or false')),
    symlinks: v.optional(v.picklist(['inside', 'never', 'anywhere'], "expected 'inside', 'never' or 'anywhere'")),
    compression: v.optional(v.boolean('expected true or false')),
    respond: v.optional(respond),
    redirect: v.optional(redirectMount),
    allow: v.optional(allow),
    deny: v.optional(networks),
    auth: v.optional(auth),
    rateLimit: v.optional(rateLimit),
    passAuthorization: v.optional(v.boolean('expected true or false')),
    responseHeaders: v.optional(headerRules),
    securityHeaders: v.optional(securityHeaders),
    cors: v.optional(cors),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const { files, respond: fixed, redirect: elsewhere } = dataset.value;
    const answerer = ANSWERERS.find((key) => dataset.value[key] !== undefined);
    const kinds = [files ?? answerer, fixed, elsewhere].filter((kind) => kind !== undefined).length;
    if (kinds === 0) {
      addIssue({
        message: 'expected files, an application (app, wsgi, php, fastcgi or cgi), or both; or respond, or redirect',
      });
    }
    if (kinds > 1) addIssue({ message: 'expected one of files with an application, respond, and redirect, got more' });
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const [one, other] = ANSWERERS.filter((key) => dataset.value[key] !== undefined);
    if (other !== undefined) addIssue({ message: `expected ${one} or ${other}, got both` });
  }),
  v.check(
    ({ php: site, files }) => site === undefined || files === undefined,
    'expected php without files: the folder of php is that of the files too',
  ),
  v.check(
    ({ php: site, fastcgi: other, cgi: started, stream }) =>
      (site ?? other ?? started) === undefined || stream !== true,
    'expected no stream: a program gets whole bodies, so that no slow client holds a process',
  ),
  v.check(({ wsgi: target, python }) => python === undefined || target !== undefined, 'has python, but no wsgi'),
  v.check(
    ({ stream, wsgi: target }) => target === undefined || stream !== true,
    'expected no stream: a Python application always gets whole bodies',
  ),
);

const mounts = v.pipe(
  v.array(mount, 'expected a list of mounts'),
  v.minLength(1, 'expected at least one mount'),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const seen = new Map<string, number>();
    for (const [index, value] of dataset.value.entries()) {
      const first = seen.get(value.path);
      if (first === undefined) seen.set(value.path, index);
      else {
        addIssue({
          message: `the path "${value.path}" is taken by mounts[${first}]; give one mount both files and app, or another path`,
          path: [
            { type: 'array', origin: 'value', input: dataset.value, key: index, value },
            { type: 'object', origin: 'value', input: value as never, key: 'path', value: value.path },
          ],
        });
      }
    }
  }),
);

/** What is in a certificate's or a key's place: a path, or what the file would hold. */
export type PemSource = { readonly file: string } | { readonly text: string };

/** A certificate as it was written. */
export interface CheckedCertificate {
  readonly cert: PemSource;
  readonly key: PemSource;
  readonly isDefault: boolean;
  /** Where it was written: `['tls']`, or `['tls', 'certificates', 0]`. */
  readonly path: KeyPath;
}

export interface CheckedTls {
  readonly certificates: readonly CheckedCertificate[];
  readonly acme: CheckedAcme | undefined;
  readonly minVersion: '1.2' | '1.3';
  readonly clients: CheckedClients | undefined;
}

/** What clients are asked for, as it was written. */
export interface CheckedClients {
  readonly ca: PemSource;
  readonly crl: PemSource | undefined;
  readonly isRequired: boolean;
}

const pem = choose<string | Uint8Array, PemSource>((input) => {
  const expected = 'expected the path of a PEM file';
  return input instanceof Uint8Array
    ? v.pipe(
        v.instance(Uint8Array, expected),
        v.transform((bytes): PemSource => ({ text: Buffer.from(bytes).toString('latin1') })),
      )
    : v.pipe(
        v.string(expected),
        v.nonEmpty(expected),
        v.transform((text): PemSource => (text.includes('-----BEGIN ') ? { text } : { file: text })),
      );
});

const certificate = object(
  { cert: pem, key: v.optional(pem), default: v.optional(v.boolean('expected true or false')) },
  'expected { cert, key }',
);

const domain = v.pipe(
  v.string("expected a name such as 'example.org'"),
  v.rawTransform(({ dataset, addIssue, NEVER }): string => {
    const parsed = parseDomain(dataset.value);
    if ('ok' in parsed) return parsed.ok;
    addIssue({ message: parsed.fault });
    return NEVER;
  }),
);
const directory = v.pipe(
  v.string("expected 'letsencrypt', 'letsencrypt-staging' or the https: address of a directory"),
  v.check(
    (text) => text in DIRECTORIES || /^https:\/\/[^\s/]/.test(text),
    "expected 'letsencrypt', 'letsencrypt-staging' or the https: address of a directory",
  ),
);
const acme = object(
  {
    domains: choose<string | readonly string[], string[]>((input) =>
      Array.isArray(input)
        ? v.pipe(v.array(domain), v.minLength(1, 'expected at least one name'))
        : v.pipe(
            domain,
            v.transform((one) => [one]),
          ),
    ),
    email: v.optional(
      v.pipe(
        text('an address such as admin@example.org'),
        v.regex(/^[^\s@,?]+@[^\s@,?]+$/, 'expected an address such as admin@example.org'),
      ),
    ),
    directory: v.optional(directory),
    storage: v.optional(text('the path of a folder')),
    profile: v.optional(text("a profile such as 'shortlived'")),
    keyType: v.optional(v.picklist(['ecdsa', 'rsa'], "expected 'ecdsa' or 'rsa'")),
    ca: v.optional(text('the path of a PEM file')),
    externalAccount: v.optional(
      object(
        {
          kid: text('the id that the authority has given you'),
          key: v.pipe(
            text('the key that the authority has given you'),
            v.regex(/^[\w-]+=*$/, 'expected the key that the authority has given you, in base64url'),
          ),
        },
        'expected { kid, key }',
      ),
    ),
  },
  "expected { domains: ['example.org'] }",
);
/** How certificates are got by themselves, as it was written; the domains are in their normal form. */
export type CheckedAcme = v.InferOutput<typeof acme>;
const clientCertificates = v.pipe(
  object(
    {
      ca: pem,
      mode: v.optional(v.picklist(['require', 'optional'], "expected 'require' or 'optional'")),
      crl: v.optional(pem),
    },
    "expected { ca: './clients-ca.pem' }",
  ),
  v.transform(({ ca, mode, crl }): CheckedClients => ({ ca, crl, isRequired: mode !== 'optional' })),
);

const tls = v.pipe(
  object(
    {
      acme: v.optional(acme),
      cert: v.optional(pem),
      key: v.optional(pem),
      certificates: v.optional(
        choose<NonNullable<Tls['certificates']>, v.InferOutput<typeof certificate>[]>(() =>
          v.pipe(
            v.array(certificate, 'expected a list of { cert, key }'),
            v.minLength(1, 'expected at least one certificate'),
          ),
        ),
      ),
      minVersion: v.optional(v.picklist(['1.2', '1.3'], "expected '1.2' or '1.3'")),
      clientCertificates: v.optional(clientCertificates),
    },
    "expected { cert: './fullchain.pem', key: './privkey.pem' }",
  ),
  v.rawTransform(({ dataset, addIssue, NEVER }): CheckedTls => {
    const { cert, key, certificates, acme: own, minVersion = '1.2', clientCertificates: clients } = dataset.value;
    const one = cert !== undefined || key !== undefined;
    const isNothing = !one && certificates === undefined && own === undefined;
    if ((one && certificates !== undefined) || (one && cert === undefined) || isNothing) {
      const what = certificates !== undefined ? 'both' : one ? 'a key alone' : 'none of them';
      addIssue({
        message: `expected { cert, key }, { certificates: [{ cert, key }] } or { acme: { domains } }, got ${what}`,
      });
      return NEVER;
    }
    const checked = (given: v.InferOutput<typeof certificate>, path: KeyPath): CheckedCertificate => ({
      cert: given.cert,
      key: given.key ?? given.cert,
      isDefault: given.default ?? false,
      path,
    });
    if (cert !== undefined) return { certificates: [checked({ cert, key }, ['tls'])], acme: own, minVersion, clients };
    const all = (certificates ?? []).map((given, index) => checked(given, ['tls', 'certificates', index]));
    return { certificates: all, acme: own, minVersion, clients };
  }),
);

const hsts = v.pipe(
  v.string("expected a duration such as '1y'"),
  v.check(
    (value) => hstsOf(value) !== undefined,
    "expected a duration such as '1y', which 'includeSubDomains' and 'preload' may follow",
  ),
  v.transform((value) => hstsOf(value) as string),
);

const format = v.picklist(['combined', 'short', 'json'], "expected 'combined', 'short' or 'json'");
type AccessLog = NonNullable<Config['accessLog']>;
const accessLog = choose<AccessLog, AccessLog>((input) => {
  if (typeof input === 'object' && input !== null) {
    return object({ format: v.optional(format), file: v.optional(text('the path of a file')) });
  }
  const expected = "expected 'combined', 'short', 'json', false or { format, file }";
  return v.union([v.picklist(['combined', 'short', 'json']), v.literal(false)], expected);
});

const errorLog = object({
  format: v.optional(v.picklist(['text', 'json'], "expected 'text' or 'json'")),
  level: v.optional(v.picklist(['error', 'warn', 'info', 'debug'], "expected 'error', 'warn', 'info' or 'debug'")),
  file: v.optional(text('the path of a file')),
});

type RequestId = NonNullable<Config['requestId']>;
const requestId = choose<RequestId, RequestId>(() =>
  v.union([v.boolean(), v.literal('generate')], "expected true, false or 'generate'"),
);

const server = choose<boolean | string, boolean | string>((input) =>
  typeof input === 'string'
    ? // RFC 9110 section 5.5: a field value is visible characters, with spaces and tabs between them.
      v.pipe(v.string(), v.regex(/^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/, 'expected visible ASCII characters'))
    : v.boolean('expected a string, true or false'),
);

const workersExpected = "expected a whole number from 1 to 1024, 'auto' or { min, max }";
const workerCount = range(1, 1024, 'expected a whole number from 1 to 1024');
type Workers = NonNullable<Config['workers']>;
const workers = choose<Workers, Workers>((input) => {
  if (typeof input === 'number') return range(1, 1024, workersExpected);
  if (typeof input !== 'object' || input === null) return v.literal('auto', workersExpected);
  return v.pipe(
    object({ min: workerCount, max: workerCount }, workersExpected),
    v.check(({ min, max }) => min <= max, 'expected a max of at least min'),
  );
});

/** Names that cannot take the place of what the gateway itself says. */
const environName = v.pipe(
  v.string(),
  v.regex(
    /^(?!wsgi\.|gwanmun\.|__proto__$)[A-Za-z_][\w.-]{0,255}$/,
    "expected a name such as 'APP_MODE': letters, digits, '_', '.' and '-', not wsgi.… or gwanmun.…",
  ),
);
const environ = v.pipe(
  v.record(
    environName,
    // oxlint-disable-next-line no-control-regex -- NUL is what must not be there
    v.pipe(v.string('expected a string'), v.regex(/^[\u0001-\u00ff]*$/, 'expected characters from U+0001 to U+00FF')),
    'expected an object of names and strings',
  ),
  // They cross to a worker in one frame.
  v.check(
    (pairs) => Object.entries(pairs).reduce((sum, [name, value]) => sum + name.length + value.length + 2, 0) <= 32_768,
    'expected at most 32768 characters in all',
  ),
);

type Account = string | number;
const account = choose<Account, Account>((input) =>
  typeof input === 'number'
    ? integer('an id', 0, 0xffff_fffe)
    : v.pipe(v.string('expected a name or an id'), v.regex(/^[^\s:-][^\s:]*$/, 'expected a name or an id')),
);

/** A function; its arguments are of its type alone. */
function hook() {
  return v.optional(v.custom<(info: never) => unknown>((value) => typeof value === 'function', 'expected a function'));
}

const U32 = 0xffff_ffff;
/** What the core takes: a head has to fit a frame, with the table of its pieces. */
export const MAX_HEAD_BYTES = 61_440;

/** The schema of a configuration; its output has every address parsed and every mount's path normalised. */
export const configSchema = object(
  {
    listen: v.optional(listen),
    mounts,
    tls: v.optional(tls),
    hsts: v.optional(hsts),
    workers: v.optional(workers),
    recycle: v.optional(
      object({
        requests: v.optional(integer('a number', 1, Number.MAX_SAFE_INTEGER)),
        memory: bytes(1, Number.MAX_SAFE_INTEGER),
        age: milliseconds(),
        jitter: v.optional(integer('a number', 0, Number.MAX_SAFE_INTEGER)),
      }),
    ),
    concurrency: v.optional(integer('a number', 1, 65535)),
    queue: v.optional(object({ length: v.optional(integer('a number', 0, U32)), timeout: milliseconds() })),
    limits: v.optional(
      object({
        requestLine: bytes(256, MAX_HEAD_BYTES),
        headerBytes: bytes(256, MAX_HEAD_BYTES),
        headerCount: v.optional(integer('a number', 1, 1000)),
        body: bytes(0, Number.MAX_SAFE_INTEGER),
        bodyInMemory: bytes(0, 262_144),
        spool: bytes(0, Number.MAX_SAFE_INTEGER),
        minRate: bytes(0, 1_048_576),
      }),
    ),
    timeouts: v.optional(
      object({ header: milliseconds(), body: milliseconds(), keepAlive: milliseconds(0), write: milliseconds() }),
    ),
    compression: v.optional(v.boolean('expected true or false')),
    compressionCache: v.optional(text('the path of a folder')),
    server: v.optional(server),
    accessLog: v.optional(accessLog),
    errorLog: v.optional(errorLog),
    requestId: v.optional(requestId),
    environ: v.optional(environ),
    trustedProxies: v.optional(networks),
    allow: v.optional(allowNetworks),
    deny: v.optional(networks),
    auth: v.optional(login),
    rateLimit: v.optional(rate),
    responseHeaders: v.optional(headerRules),
    securityHeaders: v.optional(securityHeaders),
    threads: v.optional(integer('a number', 1, 1024)),
    timeout: milliseconds(0),
    startTimeout: milliseconds(),
    drainTimeout: milliseconds(0),
    shutdownTimeout: milliseconds(0),
    pidFile: v.optional(text('the path of a file')),
    user: v.optional(account),
    group: v.optional(account),
    umask: v.optional(integer('a mask such as 0o027', 0, 0o777)),
    hooks: v.optional(object({ onReady: hook(), onWorkerStart: hook(), onWorkerExit: hook(), onReload: hook() })),
  },
  'expected an object with mounts',
);

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 };

/** The header for `'1y immutable'`, `'10m'`, `'no-cache'` or directives as they are (RFC 9111 section 5.2). Undefined: none of these. */
function cacheControlOf(value: string): string | undefined {
  const [, count, unit = '', immutable = ''] = /^(\d{1,9})([smhdwy])( immutable)?$/.exec(value) ?? [];
  if (count !== undefined) {
    const seconds = Math.min(Number(count) * (SECONDS[unit] ?? 0), 2_147_483_648);
    return `public, max-age=${seconds}${immutable === '' ? '' : ', immutable'}`;
  }
  return /^[a-z][a-z-]*(?:=(?:\d+|"[ !#-~]*"))?(?:, ?[a-z][a-z-]*(?:=(?:\d+|"[ !#-~]*"))?)*$/i.test(value)
    ? value
    : undefined;
}

/** The header for `'1y'` or `'1y includeSubDomains preload'` (RFC 6797 section 6.1). Undefined: neither. */
function hstsOf(value: string): string | undefined {
  const [, count, unit = '', subdomains = '', preload = ''] =
    /^(\d{1,9})([smhdwy])( includeSubDomains)?( preload)?$/i.exec(value) ?? [];
  if (count === undefined) return undefined;
  const seconds = Math.min(Number(count) * (SECONDS[unit.toLowerCase()] ?? 0), 2_147_483_648);
  return `max-age=${seconds}${subdomains === '' ? '' : '; includeSubDomains'}${preload === '' ? '' : '; preload'}`;
}

/** A configuration that has passed the schema. */
export type CheckedConfig = v.InferOutput<typeof configSchema>;

// The schema and the documented types are two descriptions of one thing: these lines fail to compile when they part.
void ((config: Config): Omit<v.InferInput<typeof configSchema>, 'mounts'> => config);
void ((value: Mount): v.InferInput<typeof mount> => value);
