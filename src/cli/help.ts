// What --help and `gwanmun help` say: examples first.

import { isErrorCode } from '../error-entries.js';
import { createColors } from '../colors.js';
import { GwanmunError } from '../errors.js';
import { didYouMean } from '../config/suggest.js';
import { COMMANDS } from './arguments.js';
import { errorSection } from './error-page.js';

/** The text for a topic: a command, a code of an error, or everything. Throws GWM_USAGE for any other word. */
export function helpText(topic: string | undefined, color: boolean): string {
  const c = createColors(color);
  const code = topic?.toUpperCase();
  if (isErrorCode(code)) return `${errorSection(code).replace(/^## .*/, (title) => c.bold(title.slice(3)))}\n`;
  const text = topic === undefined || topic === 'help' || topic === 'version' ? MAIN : COMMAND_HELP[topic];
  if (text === undefined) {
    throw new GwanmunError('GWM_USAGE', `there is no help for "${topic}"${didYouMean(topic ?? '', COMMANDS)}`, {
      remedy: `gwanmun help COMMAND, one of ${COMMANDS.slice(0, -2).join(', ')}\ngwanmun help GWM_PORT_IN_USE, or another code of an error`,
    });
  }
  return text.replaceAll(/^[A-Z][\w ]*$/gm, (head) => c.bold(head)).replaceAll(/ # .*$/gm, (note) => c.dim(note));
}

/** Fits on a screen of 80 × 24. */
const MAIN = `gwanmun: web server, gateway and application server in one

Examples
  gwanmun                       # what gwanmun.config.ts of this folder says
  gwanmun ./dist                # the files of a folder
  gwanmun app.ts --port 8080    # a module that exports application()
  gwanmun fetch /path app.ts    # one request to it, without a server
  gwanmun init                  # write a configuration and an application

Commands
  gwanmun [serve|dev] [target]  serve; dev reloads when files change
  gwanmun check                 check the configuration, start nothing
  gwanmun fetch /path [target]  print the answer to one request
  gwanmun run <file> [args]     run a Node program with its server on the core
  gwanmun init [folder]         write the files to start with
  gwanmun status|reload|stop    control a running server; also certificates …
  gwanmun help <command|code>   more on a command, or on an error: GWM_…

Options
  -p, --port <number>   -h, --help   --host <address>   -v, --version
  -c, --config <file>   --workers <number|auto>       --tls

Exit codes
  0 stopped   1 failed   2 usage or configuration   3 nothing to serve
`;

const CONTROL = `
Options
      --pid <number>    which server, if it is not the one of this folder
      --json            print JSON

  It acts on the server that was started in this folder, or has its
  configuration here.
`;

const COMMAND_HELP: Record<string, string> = {
  status: `gwanmun status: what is a running server doing?

Examples
  gwanmun status              # workers, queue, connections
  gwanmun status --json       # the same for programs
  gwanmun status --pid 4711   # of one of several servers
${CONTROL}`,
  reload: `gwanmun reload: load configuration and applications again, lose no request

Examples
  gwanmun reload              # the same as: kill -HUP PID

  It waits until the new workers have taken over. If something does not load,
  nothing changes, and the error is printed.
${CONTROL}`,
  certificates: `gwanmun certificates: which certificates does a running server have?

Examples
  gwanmun certificates        # names, issuer, days left, files, what is wrong; whose clients are let in
  gwanmun certificates --json # the same for programs

  Files are watched, and taken over when they change. gwanmun check reads those
  of a configuration without starting anything.
${CONTROL}`,
  trust: `gwanmun trust: have this machine trust the certificates of gwanmun --tls

Examples
  gwanmun trust               # says what it would change
  gwanmun trust --yes         # changes it

  It adds the root of your own local authority to the system's store and those
  of browsers. The root is valid for localhost, the loopback addresses, and names
  below .test and .internal alone. What only root may do is printed.
`,
  'hash-password': `gwanmun hash-password: a password, as a password file has it

Examples
  gwanmun hash-password ann >> users           # asks for the password
  gwanmun hash-password ann < password.txt     # reads a line

  The hash is argon2id, of 19 MiB and 2 passes. A mount names the file:
  auth: { basic: './users' }
`,
  untrust: `gwanmun untrust: take back what gwanmun trust has changed

Examples
  gwanmun untrust             # says what it would change
  gwanmun untrust --yes       # changes it
`,
  stop: `gwanmun stop: finish the requests in progress and end

Examples
  gwanmun stop                # like kill PID, and waits until it has ended
${CONTROL}`,
  'restart-worker': `gwanmun restart-worker [number]: replace a worker, or all, one after the other

Examples
  gwanmun restart-worker      # each new one takes over before the old one goes
  gwanmun restart-worker 2    # one alone
${CONTROL}`,
  scale: `gwanmun scale <number>: run this many workers until the next reload

Examples
  gwanmun scale 4             # or kill -TTIN PID: one more; -TTOU: one less

  Several Python applications get this many each. With workers: { min, max }
  the number stays between the two.
${CONTROL}`,
  upgrade: `gwanmun upgrade: hand over from the running process to a new one

Examples
  gwanmun upgrade             # the same as: kill -USR2 PID

  Use it for a new version of gwanmun or of Node. The new process starts with
  the same command line and gets every listening socket. Once it serves, the old
  one finishes its requests and ends. No connection is refused or cut.
${CONTROL}`,
  serve: `gwanmun [serve] [target]: serve until Ctrl-C or SIGTERM

Examples
  gwanmun                       # what gwanmun.config.ts of this folder says
  gwanmun ./dist                # the files of a folder
  gwanmun ./public --php        # a site in PHP, with php-fpm
  gwanmun ./hook.cgi            # a CGI program; a folder of them: --cgi
  gwanmun app.ts --port 8080    # a module that exports application()
  gwanmun app.ts --workers auto # with a worker process for each core
  gwanmun app.ts --domain example.org   # in public, with HTTPS
  gwanmun serve ./check         # a folder with the name of a command

Options
  -p, --port <number>           port; 0 takes a free one  # PORT, or 3000
      --host <address>          address; 0.0.0.0 is all   # HOST, or 127.0.0.1
      --workers <number|auto>   application processes     # 1
  -c, --config <file>           configuration             # gwanmun.config.ts
      --cert <file>             HTTPS with this certificate (PEM)
      --key <file>              its private key           # in the same file
      --tls                     HTTPS with a certificate for this machine
      --domain <name>           HTTPS for this name, with a certificate that is
                                got by itself; as often as needed. Listens on
                                443 and 80 of every address
      --email <address>         where its authority may write to you
      --php                     the folder is a site in PHP
      --cgi                     the folder has CGI programs

  gunicorn's options work too, with times in seconds: --bind, --timeout,
  --graceful-timeout, --max-requests, --access-logfile, --pid, …
  A flag wins over the configuration, and that wins over the environment.
  NO_COLOR=1 turns colours off.

  At a terminal it prints a few lines that say where it listens. Otherwise it
  prints one line of the log on standard error, with "listening on" and the
  addresses.
`,
  dev: `gwanmun dev [target]: serve during development

Examples
  gwanmun dev                   # what gwanmun.config.ts of this folder says
  gwanmun dev app.ts            # a module that exports application()

  When a source file of the folder (.ts, .js, .json, .py) or any other module
  that is loaded changes, the applications are reloaded. Packages that are
  installed in node_modules are not watched, those of a workspace are.

  The address stays open, and requests wait meanwhile. Errors appear in the
  browser, with the lines of code and the stack. Never use it where strangers
  can reach it.

Options
  as for gwanmun serve
`,
  run: `gwanmun run <file> [arguments]: run a Node program with its servers on the core

Examples
  gwanmun run server.js              # instead of: node server.js
  gwanmun run next start             # a command of an installed package
  gwanmun run server.js --port 8080  # what follows the file is the program's
  gwanmun run --access-log server.js # a line for each request; =short or =json

  Processes that the program forks are not on the core; one that listens says
  so. gwanmun status and gwanmun stop work; there is nothing to reload.
`,
  check: `gwanmun check: check the configuration, its folders and modules; start nothing

Examples
  gwanmun check                     # gwanmun.config.ts of this folder
  gwanmun check -c site.config.ts   # another file

Options
  -c, --config <file>               configuration

Exit codes
  0 valid   2 not valid: all faults are listed   3 no configuration
  1 a certificate has expired, or is not valid yet
`,
  fetch: `gwanmun fetch /path [target]: print the answer to one request, without a server

Examples
  gwanmun fetch /                        # what gwanmun.config.ts serves
  gwanmun fetch -i '/?name=Mina' app.ts  # with the head of the answer
  gwanmun fetch /index.html ./dist       # a folder's file
  gwanmun fetch /notes --json '{"a":1}'  # POST with a JSON body
  gwanmun fetch /form -d @form.txt       # a body from a file

Options
  -i, --include           print the head of the answer too
  -I, --head              send HEAD, and print the head
  -X, --method <method>   default: GET, or POST with a body
  -H, --header <header>   'Name: value', as often as needed
  -d, --data <text>       a form body; @file reads a file, @- standard input
      --json <text>       a JSON body; @ works here too
  -c, --config <file>     configuration

  It starts the real server on a free port of 127.0.0.1 with one worker, sends
  the request, and stops. What the application prints goes to standard error.
  Where the configuration has HTTPS, so does the request; or write the URL.

Exit codes
  0 answered, with a status below 400   4 a 4xx   5 a 5xx   1 no answer
`,
  init: `gwanmun init [folder]: write the files to start with

Examples
  gwanmun init           # in this folder
  gwanmun init site      # in a new folder

  Writes gwanmun.config.ts for what is in the folder: public, dist or static,
  and app.ts or src/app.ts. If there is no application, it writes a small one.
  It adds package.json and tsconfig.json where they are missing, and a script
  "start" to a package.json that has none. It changes nothing else.
`,
};
