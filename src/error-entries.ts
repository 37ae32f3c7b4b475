// The registry: every error that a person can meet, one entry each. docs/errors.md and `gwanmun help GWM_…` are made from it.
// The Rust core throws the same codes. After a change run: npm run docs:errors

/** What the registry knows about a code. */
export interface ErrorEntry {
  /** What happened, in a few words. */
  readonly title: string;
  /** Why it happens: Markdown, one paragraph or more. */
  readonly explanation: string;
  /** What to do about it: one line, printed with the error unless more is known there. */
  readonly remedy: string;
  /** For the page: what helps, one Markdown sentence each, the likeliest first. */
  readonly fixes: readonly string[];
  /** For the page: what is typed, and lines of what is then seen. A test provokes it and compares. */
  readonly example: string;
  /** The exit code of a command that ends with it: 1 while running, 2 usage or configuration, 3 nothing to serve. */
  readonly exit: 1 | 2 | 3;
}

/** The registry: code → what it means and what to do. */
export const errorEntries = {
  GWM_ACME_FAILED: {
    title: 'A certificate could not be got from its authority',
    explanation:
      'The authority refused, could not verify that the name leads to this server, or did not answer. What it says stands in the message. The server goes on: names that have a certificate are served with it, and the next attempt is made by itself, after 1, 5, 10, 20 and 30 minutes, 1 and 2 hours, and then every 6 hours.',
    remedy: 'see what the authority says; it is tried again by itself',
    fixes: [
      '`gwanmun certificates` shows each name, what the authority said last, what to do, and when the next attempt is made.',
      'The name’s A and AAAA records have to lead to this server, all of them.',
      'Port 80 or port 443 of these addresses has to be reachable from the internet, also through firewalls and port forwarding.',
      'After a correction, `gwanmun reload` has names tried again sooner, though not more than five times an hour.',
    ],
    example: `$ gwanmun
✗ GWM_ACME_FAILED  127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1`,
    exit: 1,
  },
  GWM_ACME_STORAGE: {
    title: 'Certificates that are got by themselves cannot be kept',
    explanation:
      'The account, keys and certificates have to outlive the server: else it would ask for new ones at every start, and authorities stop that soon. So nothing is asked for before the folder can be written to.',
    remedy: "name a folder that this user may write to: tls: { acme: { domains, storage: './certificates' } }",
    fixes: [
      '`tls.acme.storage` names another folder.',
      'With systemd, `StateDirectory=gwanmun` makes one, and it is found.',
      'In a container, mount a volume there.',
      'If the disk is full, make room: it goes on by itself.',
    ],
    example: `$ gwanmun
✗ GWM_ACME_STORAGE  certificates cannot be kept in /dev/null/acme: ENOTDIR: not a directory, mkdir '/dev/null/acme'`,
    exit: 1,
  },
  GWM_ADDRESS_UNAVAILABLE: {
    title: 'The server cannot listen on this address',
    explanation: 'No network interface of this machine has the address, or its name does not resolve.',
    remedy: 'use 127.0.0.1 for this machine only, or 0.0.0.0 for every interface',
    fixes: [
      '`127.0.0.1` is reachable from this machine only, `0.0.0.0` is every IPv4 interface, `::` is every interface.',
      'In a container, the host’s address is not one of the container’s: listen on `0.0.0.0` and publish the port.',
      '`ip address` shows the addresses that this machine has.',
    ],
    example: `$ gwanmun ./public --host 203.0.113.1
✗ GWM_ADDRESS_UNAVAILABLE  Can't listen on 203.0.113.1:3000: Cannot assign requested address (os error 99).
  at --host 203.0.113.1`,
    exit: 1,
  },
  GWM_APP_AMBIGUOUS: {
    title: 'The module holds more than one application',
    explanation:
      "A module's exports say what kind of application it is: a function named application, a fetch handler, or a default function as Node handler. This one has several.",
    remedy: "name the one you mean: app: { wsgi: './app.ts' }, app: { fetch: './app.ts' } or app: { node: './app.ts' }",
    fixes: ['A configuration can say which one is meant. Without one, export only one of them.'],
    example: `$ gwanmun app.ts
✗ GWM_APP_AMBIGUOUS  app.ts holds a function named application and a default function, which is a Node handler
  at app.ts`,
    exit: 1,
  },
  GWM_APP_FAILED: {
    title: 'The application could not be loaded',
    explanation:
      "Importing the application module threw an error: its own, or one of a module that it imports. The stack shows the frames of your code; those of Node, of dependencies and of gwanmun are left out. Where a configuration names the module, the second place is the mount's key.",
    remedy: 'correct the line that the stack above names, then start again',
    fixes: [
      'Start with the first line of the stack.',
      '`Cannot find package`: run `npm install`, in the folder of the module.',
      'Connect to networks and databases at the first request instead of while the module loads. Then the start does not depend on them.',
    ],
    example: `$ gwanmun
✗ GWM_APP_FAILED  app.ts: no database
  at app.ts:2:7
  for gwanmun.config.ts:2:25  mounts[0].app`,
    exit: 1,
  },
  GWM_APP_MODULE: {
    title: 'There is no such Python module',
    explanation:
      'The module that `wsgi` names is neither in the folder of the configuration nor installed for that Python.',
    remedy: 'check the name of the module, and that python names the environment that has it',
    fixes: [
      'A target is a file of the current folder: `gwanmun app.py`.',
      '`python -c "import mysite.wsgi"`, with the same Python and in the same folder, shows what it finds.',
    ],
    example: `$ gwanmun
✗ GWM_APP_MODULE  There is no module mysite.wsgi`,
    exit: 1,
  },
  GWM_APP_SYNTAX: {
    title: 'The application has a syntax error',
    explanation:
      'The application module, or a module that it imports, is not valid JavaScript or TypeScript. Types are removed and not checked: run `tsc --noEmit` for that.',
    remedy: 'correct the line named above, then start again',
    fixes: [
      'Reading stopped at the place named; the mistake is there or just before.',
      'Types are only allowed in files that end in `.ts`, `.mts` or `.cts`.',
    ],
    example: `$ gwanmun app.ts
✗ GWM_APP_SYNTAX  app.ts: Unexpected token
  at app.ts:2:17
      1 | export function application(environ, startResponse) {
    > 2 |   startResponse(= '200 OK', []);
        |                 ^
      3 |   return 'hello';`,
    exit: 1,
  },
  GWM_BODY_REFUSED: {
    title: 'The request body is refused',
    explanation:
      'A mount with `stream: true` calls the application before the whole body is there. The rest of it was over `limits.body`, came too slowly, or was malformed. The client got an error.',
    remedy: 'if the request was legitimate, raise limits.body or timeouts.body',
    fixes: [
      'Undo what the request began: its body will not be complete.',
      '`limits.body` bounds the size, `timeouts.body` the time between two pieces.',
    ],
    example: `GwanmunError [GWM_BODY_REFUSED]: wsgi.input: The request body is refused`,
    exit: 1,
  },
  GWM_BUILD: {
    title: 'gwanmun could not be built',
    explanation:
      'In a clone of the project, `npm start`, `npm test` and `npm run build` build what is out of date. One of the steps failed; its output is above.',
    remedy: 'correct what the lines above say, then run the same command again',
    fixes: [
      '`npm ci` and `cargo` need the network the first time.',
      "Is a linker missing? Install a C compiler, such as Debian's `build-essential`.",
    ],
    example: `$ npm run build
✗ dependencies  0.0 s
✗ GWM_BUILD  dependencies: npm ended with 1`,
    exit: 1,
  },
  GWM_CARGO: {
    title: 'Rust is missing or too old',
    explanation:
      "The native core is written in Rust. In a clone of the project, the first `npm start` builds it with cargo, Rust's build tool. To install gwanmun as a package, you need no Rust.",
    remedy: 'install Rust (https://rustup.rs), open a new terminal, and run the same command again',
    fixes: [
      "`curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh` installs it for this user.",
      'If it is installed but not found, add its folder, `~/.cargo/bin`, to `PATH`.',
      'If it is too old: `rustup update`.',
    ],
    example: `$ npm start
✗ GWM_CARGO  cargo is not installed; the native core needs Rust 1.95 or newer`,
    exit: 1,
  },
  GWM_CERT_INVALID: {
    title: 'The certificate cannot be used',
    explanation:
      'The file of a certificate is missing, unreadable or damaged, or what is in it is no certificate that clients would take. A file that is changed while the server runs does not stop it: the certificate before stays in use, and the log and `gwanmun certificates` say what is wrong with the new one.',
    remedy: 'name the PEM file that holds the certificate and its intermediates: cert: ./fullchain.pem',
    fixes: [
      'certbot keeps it as `/etc/letsencrypt/live/NAME/fullchain.pem`. Only root may read that folder: start the server as root, with `user`.',
      '`openssl x509 -in FILE -noout -text` shows what is in a certificate.',
      'Clients compare names with `subjectAltName` alone. They refuse RSA keys of less than 2048 bits, SHA-1, and certificates that are not for servers.',
      '`gwanmun check` reads certificates without starting anything.',
      'Authorities of clients (`ca`) and revocation lists (`crl`) are PEM too; of a list in DER form: `openssl crl -inform der -in list.crl -out crl.pem`.',
    ],
    example: `$ gwanmun ./public --cert missing.pem
✗ GWM_CERT_INVALID  the certificate missing.pem does not exist
  at --cert missing.pem`,
    exit: 2,
  },
  GWM_CERT_KEY: {
    title: 'The private key cannot be used',
    explanation:
      'The file of a private key is missing, unreadable or encrypted, or the key belongs to another certificate. While the server runs, files may be replaced one after the other: until both fit, the certificate before stays in use.',
    remedy: 'name the PEM file that holds the key of this certificate: key: ./privkey.pem',
    fixes: [
      'Decrypt a key that has a passphrase: `openssl pkey -in encrypted.pem -out key.pem`.',
      '`openssl pkey -in key.pem -pubout` and `openssl x509 -in cert.pem -noout -pubkey` print the same lines if the two belong together.',
      'A key is for its owner alone: `chmod 600 key.pem`. With `user`, the server reads it as root.',
    ],
    example: `$ gwanmun ./public --cert cert.pem --key other.pem
✗ GWM_CERT_KEY  other.pem (for cert.pem): The private key does not belong to the certificate. Name the key that the certificate was issued for.
  at --key other.pem`,
    exit: 2,
  },
  GWM_CERT_LOCAL: {
    title: 'There is no certificate for this machine',
    explanation:
      'For development, gwanmun makes certificates for `localhost` with an authority of its own. It keeps both in the folder `gwanmun` of the user’s data: `$XDG_DATA_HOME`, or `~/.local/share`. There is nothing of it yet, or the folder may not be written to, or what is in it is damaged.',
    remedy: 'see that the folder belongs to this user, or name another one: XDG_DATA_HOME=FOLDER',
    fixes: [
      'What is in the folder can be removed at any time; then it is made anew, and `gwanmun trust` has to be run again.',
      'A server that others reach needs a certificate of a public authority: `--cert FILE --key FILE`.',
    ],
    example: `$ gwanmun ./public --tls
✗ GWM_CERT_LOCAL  a certificate for this machine cannot be made in /dev/null/gwanmun: ENOTDIR: not a directory, mkdir '/dev/null/gwanmun'`,
    exit: 1,
  },
  GWM_CLIENT_DISCONNECTED: {
    title: 'The client has left',
    explanation:
      'A mount with `stream: true` calls the application before the whole body is there, and the client left before it had sent all of it. So a body never looks shorter than it is.',
    remedy: 'undo what the request began',
    fixes: ['Write what arrives to a temporary place, and move it when the body has ended.'],
    example: `GwanmunError [GWM_CLIENT_DISCONNECTED]: wsgi.input: The client has left`,
    exit: 1,
  },
  GWM_CLIENT_TOO_SLOW: {
    title: 'The client is too far behind',
    explanation:
      'The server keeps what the application gives to `write()` until the client takes it, so that no other request has to wait. It keeps at most 256 MiB, and the client is that far behind.',
    remedy: 'return or yield the body instead of writing it',
    fixes: [
      '`yield` the pieces from a generator: the next is asked for when the client has room.',
      "Return `environ['wsgi.file_wrapper'](path)` for a file: the server sends it by itself.",
    ],
    example: `GwanmunError [GWM_CLIENT_TOO_SLOW]: write has 268435456 bytes that the client has not taken`,
    exit: 1,
  },
  GWM_CONFIG_EXPORT: {
    title: 'The configuration file exports no configuration',
    explanation:
      'A configuration file has a default export: an object, or a function that returns one or a promise of one.',
    remedy: "write: export default defineConfig({ mounts: [{ path: '/', app: './app.ts' }] })",
    fixes: [
      '`export const config = …` is a named export; write `export default …`.',
      '`gwanmun init` writes a configuration to start from.',
    ],
    example: `$ gwanmun
✗ GWM_CONFIG_EXPORT  gwanmun.config.ts has no default export; it exports config
  at gwanmun.config.ts`,
    exit: 2,
  },
  GWM_CONFIG_INVALID: {
    title: 'The configuration is not valid',
    explanation:
      'A key or a value of the configuration is not one that gwanmun knows, or a folder or module that it names is not there. All faults are listed at once, each with its line.',
    remedy: 'correct it, then run: gwanmun check',
    fixes: [
      'Paths are relative to the configuration file, not to the current folder.',
      'Every key is in [configuration.md](configuration.md); `defineConfig` lets an editor complete them.',
    ],
    example: `$ gwanmun check
✗ GWM_CONFIG_INVALID  gwanmun.config.ts has 2 faults

  gwanmun.config.ts:2:25  mounts[0].flies
    unknown key; did you mean "files"?

  gwanmun.config.ts:3:15  timeouts.body
    expected milliseconds from 1 to 2147483647, got "30s"
`,
    exit: 2,
  },
  GWM_CONFIG_LOAD: {
    title: 'The configuration file could not be loaded',
    explanation: 'Importing the configuration file threw an error, it has a syntax error, or it may not be read.',
    remedy: 'correct the file, then run: gwanmun check',
    fixes: [
      'JSON has no comments, no trailing commas, and double quotes only; a `.ts` or `.mjs` file is freer.',
      "`Cannot find package 'gwanmun'`: run `npm install gwanmun` there, or `import type` only, which needs nothing installed.",
    ],
    example: `$ gwanmun check
✗ GWM_CONFIG_LOAD  gwanmun.config.json is not valid JSON: Expected double-quoted property name
  at gwanmun.config.json:3:1
      1 | {
      2 |   "mounts": [{ "path": "/", "files": "./public" }],
    > 3 | }
        | ^`,
    exit: 2,
  },
  GWM_CONFIG_NOT_FOUND: {
    title: 'There is no such configuration file',
    explanation: 'The file that `--config` names does not exist.',
    remedy: 'check the path; without --config, gwanmun.config.ts of the current folder is used',
    fixes: ['The path is relative to the current folder.', '`gwanmun init` writes a configuration to start from.'],
    example: `$ gwanmun --config gwanmun.config.ts
✗ GWM_CONFIG_NOT_FOUND  gwanmun.config.ts does not exist`,
    exit: 2,
  },
  GWM_CONTRACT: {
    title: 'The contract between server and application is broken',
    explanation:
      '`validator()` saw the application or the server do something that the [application contract](application-contract.md) does not allow.',
    remedy: 'the message names a row of docs/application-contract.md: correct the side that it blames',
    fixes: ['Content-Length counts bytes, not characters: `Buffer.byteLength(text)`, or leave it out.'],
    example: `$ gwanmun fetch / app.ts
2026-11-25T02:03:39.191Z error worker 1 (GET /): GwanmunError [GWM_CONTRACT]: W55: the body has 4 bytes, but Content-Length says 10`,
    exit: 1,
  },
  GWM_CONTROL: {
    title: 'The running server could not be reached',
    explanation:
      '`gwanmun status`, `reload`, `stop` and `restart-worker` ask a running server over its control socket. There is no such server in this folder, there are several, or the server does not know the command.',
    remedy: 'list what is running: gwanmun status',
    fixes: [
      'The commands see the servers of the user that runs them: use `sudo -u USER gwanmun status` for those of another.',
      'They act on the server that was started in the current folder, or has its configuration there. `--pid` names another one.',
      '`XDG_RUNTIME_DIR` must be the same for both. The sockets are in its folder `gwanmun`; if it is not set, in `/tmp/gwanmun-UID`.',
    ],
    example: `$ gwanmun status
✗ GWM_CONTROL  No gwanmun of this user is running`,
    exit: 1,
  },
  GWM_CORE: {
    title: 'The server core failed',
    explanation: 'The Rust core, or gwanmun itself, met an error that has no code of its own. That should not happen.',
    remedy: 'the message names the cause; if it looks like a bug in gwanmun, please report it',
    fixes: [
      'A message of the operating system, such as `Cannot allocate memory`, is about a limit: see `ulimit -a`, or the limits of the container.',
      'Otherwise please report it, with the whole output and the configuration.',
    ],
    example: `✗ GWM_CORE  Can't create an event descriptor: Cannot allocate memory (os error 12)`,
    exit: 1,
  },
  GWM_FD_LIMIT: {
    title: 'Too many open files',
    explanation:
      'The process has reached its limit of file descriptors. To start, gwanmun needs a few for each I/O thread, address and worker. Then it needs one for each connection and open file.',
    remedy: 'raise the limit: ulimit -n 65536',
    fixes: [
      '`ulimit -n` shows the limit of this shell, `ulimit -n 65536` raises it for this shell.',
      'systemd: `LimitNOFILE=65536` in the unit. Docker: `--ulimit nofile=65536`.',
      'Fewer I/O threads need fewer: `threads: 1`.',
    ],
    example: `$ ulimit -n 60; gwanmun --port 0
✗ GWM_FD_LIMIT  Can't listen on 127.0.0.1:0: Too many open files (os error 24).
  at --port 0`,
    exit: 1,
  },
  GWM_FETCH: {
    title: 'The request got no answer',
    explanation:
      '`gwanmun fetch` started the server, and the connection ended before the whole response had come. Most often the application failed after it had begun to answer: its error is above.',
    remedy: 'see what the application printed above',
    fixes: [
      'If the headers were sent already, an error cannot become a 500 any more. The connection is cut, so that the client can tell.',
    ],
    example: `$ gwanmun fetch / app.ts
✗ GWM_FETCH  The answer to / was cut off: the connection ended before it did`,
    exit: 1,
  },
  GWM_INIT_EXISTS: {
    title: 'There is a configuration already',
    explanation: '`gwanmun init` writes a configuration where there is none, and does not overwrite one.',
    remedy: 'gwanmun check',
    fixes: [
      '`gwanmun` serves what the configuration says.',
      'To start over, rename the configuration, or name another folder: `gwanmun init site`.',
    ],
    example: `$ gwanmun init
✗ GWM_INIT_EXISTS  gwanmun.config.ts is here already; nothing was written
  at gwanmun.config.ts`,
    exit: 2,
  },
  GWM_INPUT_CLOSED: {
    title: 'The request body is read after the request',
    explanation:
      '`wsgi.input` belongs to its request: when the response has ended, its buffer or file is gone. Work that continues afterwards needs its own copy.',
    remedy: 'read the body before the response ends',
    fixes: [
      "`const body = environ['wsgi.input'].read();` at the beginning gives a copy that stays.",
      'If an `await` is missing, an async application may end its response before it reads.',
    ],
    example: `GwanmunError [GWM_INPUT_CLOSED]: wsgi.input: The request body is read after the request; read the body before the response ends`,
    exit: 1,
  },
  GWM_LOG_FILE: {
    title: 'A log file cannot be written',
    explanation: 'The file or its folder does not exist, or this user may not write there.',
    remedy: 'create the folder, let this user write there, or name another file',
    fixes: [
      '`ls -ld FOLDER` shows who may write there.',
      'Without `file`, requests are logged to standard output and errors to standard error, which is what containers and systemd expect.',
    ],
    example: `$ gwanmun
✗ GWM_LOG_FILE  The log /srv/site/logs can't be written: Is a directory (os error 21).
  at gwanmun.config.ts:3:15  errorLog.file`,
    exit: 1,
  },
  GWM_MAX_HEADER_SIZE: {
    title: 'Request heads cannot be as large as the program asks for',
    explanation:
      'The `maxHeaderSize` of an `http.Server`, or the `--max-http-header-size` that Node was started with, is larger than a request head that gwanmun can pass to an application. This is a warning. Heads up to the size that it names are accepted.',
    remedy: 'leave maxHeaderSize at 16384 unless you need more, and send large data in the body',
    fixes: ['A client that sends a larger head gets a 431, as it would from Node.'],
    example: `[GWM_MAX_HEADER_SIZE] Warning: gwanmun takes request heads of up to 65000 bytes, not of 1048576`,
    exit: 1,
  },
  GWM_NATIVE_MISSING: {
    title: 'The native core is not there',
    explanation: 'No prebuilt core for this platform is installed or can be loaded, and none has been built here.',
    remedy: 'npm install --include=optional gwanmun\nin a clone of the project: npm run build',
    fixes: [
      '`npm install --omit=optional` and `--no-optional` leave out the core.',
      'A `node_modules` from another operating system or processor has the core for that one: remove it and install again.',
    ],
    example: `$ gwanmun ./public
✗ GWM_NATIVE_MISSING  The native core for linux-x64-gnu is not installed: @gwanmun/core-linux-x64-gnu`,
    exit: 1,
  },
  GWM_NODE_VERSION: {
    title: 'This Node.js is too old',
    explanation: 'gwanmun needs Node.js 20.19 or newer.',
    remedy: 'install a current Node.js (https://nodejs.org), then start again',
    fixes: ['`node --version` shows which one is found first; a version manager may have another one for this folder.'],
    example: `$ gwanmun ./public
✗ GWM_NODE_VERSION  gwanmun needs Node.js 20.19 or newer; this is 18.20.4.
  try: install a current Node.js (https://nodejs.org), then start again`,
    exit: 1,
  },
  GWM_NO_APPLICATION: {
    title: 'The module exports no application',
    explanation:
      "An application module exports a function named `application`, or a Node handler by default. Where a configuration names the module, the second place is the mount's key.",
    remedy:
      'write: export function application(environ, startResponse) { … }, or export default (request, response) => { … }',
    fixes: ['Another name: `export { handler as application };`'],
    example: `$ gwanmun
✗ GWM_NO_APPLICATION  app.ts does not export application; it exports aplication
  at app.ts
  for gwanmun.config.ts:2:25  mounts[0].app
  try: did you mean "aplication"? then: export { aplication as application }`,
    exit: 1,
  },
  GWM_NO_ENTRY: {
    title: 'There is nothing to serve here',
    explanation:
      'No target was named, and the current folder has no `gwanmun.config.ts` (or `.mts`, `.js`, `.mjs`, `.json`).',
    remedy: 'name a folder, an application or a configuration file',
    fixes: ['`gwanmun init` writes a configuration and an application to start from.'],
    example: `$ gwanmun
✗ GWM_NO_ENTRY  There is nothing to serve here: no target, and no gwanmun.config.ts in this folder
  try: gwanmun ./public            # serve the files of a folder`,
    exit: 3,
  },
  GWM_NULL_DEVICE: {
    title: 'There is no /dev/null',
    explanation:
      'Every program that gwanmun starts gets `/dev/null` as its standard input. It is missing, or is not a device. That happens in a chroot without `/dev`, or after a careless `rm` or `mv`.',
    remedy: 'make it, as root: rm -f /dev/null; mknod -m 666 /dev/null c 1 3',
    fixes: [
      '`ls -l /dev/null` should show `crw-rw-rw-` and `1, 3`.',
      'For a chroot: `mount --bind /dev FOLDER/dev`, or `mknod` in its `dev`.',
    ],
    example: `$ gwanmun app.ts
✗ GWM_NULL_DEVICE  Worker 1 could not be started: there is no /dev/null`,
    exit: 1,
  },
  GWM_PID_FILE: {
    title: 'The file with the process id cannot be used',
    explanation:
      '`pidFile`, or `--pid`, holds the id of the main process while it runs. The file names another process that is running, most often the same server, started earlier. Or it cannot be written.',
    remedy: 'stop that process first, or remove the file if it is not a gwanmun',
    fixes: [
      '`gwanmun status` shows the server that runs here, `gwanmun stop` ends it, `gwanmun reload` loads its configuration again.',
      'The file of a process that has ended is overwritten.',
    ],
    example: `$ gwanmun ./public --pid site.pid
✗ GWM_PID_FILE  site.pid names process 4711, which is running`,
    exit: 1,
  },
  GWM_PLATFORM: {
    title: 'This platform is not supported',
    explanation: 'gwanmun needs what only Linux has, such as epoll and openat2.',
    remedy: 'use Linux: in a container, a virtual machine or, on Windows, the Windows Subsystem for Linux',
    fixes: ['`wsl --install` installs Linux on a Windows machine. gwanmun runs there.'],
    example: `> gwanmun .\\public
✗ GWM_PLATFORM  gwanmun does not run on Windows: it passes file descriptors between processes.`,
    exit: 1,
  },
  GWM_PORT_FORBIDDEN: {
    title: 'The port may not be used',
    explanation: 'Ports below 1024, such as 80 and 443, are for privileged users.',
    remedy:
      'start it as root with user: \'www-data\', or by a socket unit of systemd\nor allow it: sudo setcap cap_net_bind_service=+ep "$(readlink -f "$(which node)")"\nor for all programs: sudo sysctl net.ipv4.ip_unprivileged_port_start=80\nor use a port from 1024 on',
    fixes: [
      'Started as root with `user`, the server binds the ports, reads the keys of certificates, and then is that user.',
      'systemd: a [socket unit](guides/operating.md#systemd) binds the ports, or `AmbientCapabilities=CAP_NET_BIND_SERVICE` in the service unit allows it.',
      '`sudo setcap cap_net_bind_service=+ep "$(readlink -f "$(which node)")"` allows it for every program that this Node.js runs; an update of Node.js takes that away.',
      '`sudo sysctl net.ipv4.ip_unprivileged_port_start=80` allows it for every program of the machine.',
      'In a container, listen on 8080 and publish it: `--publish 80:8080`.',
    ],
    example: `$ gwanmun ./public --port 80
✗ GWM_PORT_FORBIDDEN  This user may not listen on 127.0.0.1:80: Permission denied (os error 13).
  at --port 80`,
    exit: 1,
  },
  GWM_PORT_IN_USE: {
    title: 'The port is in use',
    explanation:
      'Another program is listening on the same address and port, or on the same Unix socket. The message names that program, if this user is allowed to see it. Often it is the same server, started earlier in another terminal.',
    remedy: 'stop the other program, or choose another port (0 takes a free one)',
    fixes: [
      '`kill PID` stops the program that the message names.',
      '`sudo ss -ltnp` also shows programs of other users.',
      '`--port 0` takes a free port; the first line of output names it.',
    ],
    example: `$ gwanmun ./public --port 3000
✗ GWM_PORT_IN_USE  Port 3000 on 127.0.0.1 is already in use by process 4711: node server.js
  at --port 3000
  try: stop it (kill 4711), or choose another port (0 takes a free one)`,
    exit: 1,
  },
  GWM_PRIVILEGES: {
    title: 'The server cannot become that user',
    explanation:
      '`user` and `group` say what the server and its workers run as once the addresses are bound. Only root can become somebody else, and the name has to be one that the system knows.',
    remedy: 'start as root, or leave user and group out and start as that user',
    fixes: [
      'For ports below 1024 you do not need root: use socket activation of systemd, or `setcap cap_net_bind_service=+ep` on the node program.',
      '`id NAME` shows whether the user exists, `getent group NAME` whether the group does.',
    ],
    example: `$ gwanmun ./public --user nobody-here
✗ GWM_PRIVILEGES  There is no user "nobody-here"`,
    exit: 1,
  },
  GWM_PROCESS_LIMIT: {
    title: 'No more processes or threads can be started',
    explanation:
      'The user, the service or the container has reached its limit of memory or of processes, where every thread counts as one. A server has about 20 threads, and one more for each of `threads`. Each Node worker is a process with about a dozen threads.',
    remedy:
      'raise the limit: ulimit -u, TasksMax= of systemd, --pids-limit of Docker; or have fewer threads and workers',
    fixes: [
      '`ulimit -u` shows the limit of this user, `ps -L -u USER | wc -l` how many there are. systemd: `TasksMax=512` and `LimitNPROC=` in the unit. Docker: `--pids-limit 512`. Kubernetes: the pids limit of the node.',
      '`threads: 1` and `workers: 1` in the configuration need the fewest.',
      'A worker that `was ended by SIGABRT` at its start, with a line of Node about threads, reached the same limit.',
    ],
    example: `$ ulimit -u 24; gwanmun
✗ GWM_PROCESS_LIMIT  Can't start an I/O thread: Resource temporarily unavailable (os error 11).`,
    exit: 1,
  },
  GWM_PYTHON_MISSING: {
    title: 'Python could not be started',
    explanation: 'The interpreter for a Python application is not there, or is not a program for this machine.',
    remedy: "install Python 3.8 or newer, or name it in the mount: python: './venv/bin/python'",
    fixes: [
      'Without `python`, gwanmun uses `venv` or `.venv` beside the configuration, or else `python3` from PATH.',
      'Was a virtual environment copied from another machine? Create it again: `python3 -m venv --clear venv`.',
    ],
    example: `$ gwanmun
✗ GWM_PYTHON_MISSING  Python could not be started`,
    exit: 1,
  },
  GWM_PYTHON_VERSION: {
    title: 'This Python is too old',
    explanation: 'Python applications need Python 3.8 or newer.',
    remedy: "create an environment with a newer one (python3.12 -m venv venv), or name it: python: './venv/bin/python'",
    fixes: ['`python3 --version` shows which one is found.'],
    example: `$ gwanmun
✗ GWM_PYTHON_VERSION  old-python is Python 3.6.9; 3.8 or newer is needed`,
    exit: 1,
  },
  GWM_READ_TOO_SLOW: {
    title: 'The client sends its body too slowly for a read that waits',
    explanation:
      'On a mount with `stream: true`, `read()` waits for the client, and every other request of the worker waits with it. It has waited for `timeout` in all. The client gets a 408.',
    remedy: 'read without blocking: `for await`, readAsync(); or no `stream: true`',
    fixes: [
      "`for await (const piece of environ['wsgi.input'])` waits for the client alone.",
      'Without `stream: true` the whole body is there before the application is called.',
    ],
    example: `GwanmunError [GWM_READ_TOO_SLOW]: wsgi.input: The client sends its body too slowly for a read that waits`,
    exit: 1,
  },
  GWM_READ_WOULD_BLOCK: {
    title: 'A read would have to block',
    explanation:
      'The read needs more of a streamed body than has arrived. With `serve()`, client and application may share an event loop, so it would wait forever.',
    remedy: 'use `for await`, readAsync(), or no `stream: true`; or run the application in a worker process',
    fixes: [
      "`for await (const piece of environ['wsgi.input'])` waits without blocking.",
      'Without `stream: true` the whole body is there before the application is called.',
    ],
    example: `GwanmunError [GWM_READ_WOULD_BLOCK]: wsgi.input: A read would have to block`,
    exit: 1,
  },
  GWM_SOCKET_PATH: {
    title: 'The Unix socket cannot be made',
    explanation:
      'Its folder does not exist, the path is too long (at most 107 bytes), this user may not write there, or a file that is not a socket has that name. A socket that nobody listens on any more is replaced; any other file is left alone.',
    remedy: 'check the path and its folder',
    fixes: [
      'A relative path starts at the configuration file, and the absolute path is what counts. `/run/site.sock` is shorter.',
      '`ls -l` shows what has that name. gwanmun removes nothing but a stale socket.',
    ],
    example: `$ gwanmun
✗ GWM_SOCKET_PATH  Can't listen on unix:/srv/site/run/site.sock: No such file or directory (os error 2).
  at gwanmun.config.ts:3:3  listen`,
    exit: 1,
  },
  GWM_SUCCESSOR: {
    title: 'The upgrade failed',
    explanation:
      '`gwanmun upgrade`, or SIGUSR2, starts a new gwanmun with the same command line and hands it every listening socket. Once the new one serves, the old one finishes its requests and ends. An upgrade is refused where the old one must not end: in `gwanmun dev`, and as process 1 of a container, because the container would end with it.',
    remedy: 'see what the new process said in the log above',
    fixes: [
      '`gwanmun reload` loads the configuration and the applications again, without a new process.',
      'In a container, use a rolling update: start a second container, then stop the first.',
      'The new process writes to the same standard error, and says there what is wrong.',
    ],
    example: `$ gwanmun upgrade
✗ GWM_SUCCESSOR  The new process ended with 2; everything goes on as it was`,
    exit: 1,
  },
  GWM_TARGET: {
    title: 'The target cannot be served',
    explanation: 'A target is a folder of files, an application module or a Python module.',
    remedy: 'name a folder, or a file that ends in .ts, .mts, .js, .mjs or .py',
    fixes: [
      'If a folder is named like a command, write its path: `gwanmun ./check`.',
      'For a configuration, use `--config FILE`.',
    ],
    example: `$ gwanmun ap.ts
✗ GWM_TARGET  there is no file or folder ap.ts; did you mean "app.ts"?`,
    exit: 2,
  },
  GWM_TLS_OPTION: {
    title: 'An option of https.createServer cannot be honoured',
    explanation:
      'Under `gwanmun run` or `gwanmun/register`, the connections of an `https.Server` are the core’s. It honours `cert`, `key`, `passphrase`, `minVersion`, `setSecureContext()`, `addContext()`, and `requestCert` with `ca` and `crl`. Another option would change what is spoken; instead of ignoring it, `listen()` fails.',
    remedy: 'leave the option out, or run the program with node alone',
    fixes: [
      'Give certificates for several names by `server.addContext(hostname, { cert, key })`; the core chooses by the names that are in them.',
      'Renew a certificate with `server.setSecureContext({ cert, key })`: connections go on.',
      "Where clients may come without a certificate, let gwanmun serve the handler, with `clientCertificates: { ca, mode: 'optional' }`.",
      '`http2.createSecureServer` and `tls.createServer` are not taken over: they are Node’s own.',
    ],
    example: `GwanmunError [GWM_TLS_OPTION]: the core cannot honour SNICallback of https.createServer`,
    exit: 1,
  },
  GWM_TRUST: {
    title: 'A store of certificates could not be changed',
    explanation:
      '`gwanmun trust --yes` puts the root of the local authority where clients on this machine look for authorities, and `gwanmun untrust --yes` takes it out again. The program of the system that does it has failed; its words are in the message.',
    remedy: 'see what would be done with: gwanmun trust; do it by hand, or name the root to the client alone',
    fixes: [
      '`curl --cacert FILE`, `NODE_EXTRA_CA_CERTS=FILE` and `SSL_CERT_FILE=FILE` of Python need no store.',
      'A browser that is open may hold its database: close it, and try again.',
    ],
    example: `$ gwanmun trust --yes
✗ GWM_TRUST  browsers by /srv/site/.pki/nssdb: certutil ended with 255: certutil: function failed`,
    exit: 1,
  },
  GWM_UPGRADE: {
    title: 'Upgrades are not supported yet',
    explanation:
      'A program listens for `upgrade` on an `http.Server` that runs on the core. The event is not emitted, and such requests, including those of WebSocket, get a 501. This is a warning: everything else works.',
    remedy: 'for now, serve WebSocket from a server of its own',
    fixes: ['Server-sent events work: they need no upgrade.'],
    example: `[GWM_UPGRADE] Warning: gwanmun does not do upgrades yet`,
    exit: 1,
  },
  GWM_USAGE: {
    title: 'The command line is not valid',
    explanation: 'An option, its value or a command is not one that gwanmun knows.',
    remedy: 'run: gwanmun --help',
    fixes: [
      '`gwanmun help COMMAND` shows the options of a command, with examples.',
      'A value that begins with a dash is written with `=`: `--header=-x`.',
    ],
    example: `$ gwanmun --prot 80
✗ GWM_USAGE  there is no option --prot; did you mean "--port"?`,
    exit: 2,
  },
  GWM_WATCH_LIMIT: {
    title: 'No more files can be watched',
    explanation:
      '`gwanmun dev` uses inotify to watch the folders of the project, and those of other files that it loads. Each user has a limited number of watches and instances, and editors, build tools and other servers use them too. Without `dev`, gwanmun watches nothing.',
    remedy: 'sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024',
    fixes: [
      'To make it permanent, write the same settings into a file in `/etc/sysctl.d`. For a container, change them on its host.',
      'Folders named `node_modules`, `venv`, `.git` and the like are not watched. Start `gwanmun dev` in the folder of one project, not in one that holds many.',
      'Until then, use `gwanmun`, and `gwanmun reload` after a change.',
    ],
    example: `$ gwanmun dev
✗ GWM_WATCH_LIMIT  ENOSPC: System limit for number of file watchers reached, watch '/srv/site'`,
    exit: 1,
  },
  GWM_WORKER_EXITED: {
    title: 'A worker exited',
    explanation: 'The worker process ended before its applications were ready.',
    remedy: 'see what the worker printed above; an application must not call process.exit()',
    fixes: [
      'A library that calls `process.exit()`, an uncaught error in a timer, and a crash in native code end a worker.',
      '`was ended by SIGKILL`: the system was out of memory, or the container reached its limit.',
      '`was ended by SIGABRT`, after a line of Node about a thread: no more threads can be started, see [GWM_PROCESS_LIMIT](#gwm_process_limit).',
    ],
    example: `$ gwanmun app.ts
✗ GWM_WORKER_EXITED  Worker 1 exited with code 9 before it was ready`,
    exit: 1,
  },
  GWM_WORKER_TIMEOUT: {
    title: 'A worker was not ready in time',
    explanation: 'Its applications were still loading when `startTimeout` had passed.',
    remedy: 'look for a top-level await that never ends, or raise startTimeout',
    fixes: [
      'A connection to a database that does not answer, awaited while the module loads, is the usual cause.',
      '`startTimeout: 120_000` in the configuration gives it two minutes.',
    ],
    example: `$ gwanmun
✗ GWM_WORKER_TIMEOUT  Worker 1 was not ready after 300 ms
  at gwanmun.config.ts:3:3  startTimeout`,
    exit: 1,
  },
} as const satisfies Record<string, ErrorEntry>;

/** A code of the registry. */
export type ErrorCode = keyof typeof errorEntries;

/** Whether a string is a code of the registry. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorEntries, code);
}
