import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { isatty } from 'node:tty';
import { wantsColor } from '../colors.js';
import { displayPath } from '../config/display-path.js';
import type { ResolvedConfig } from '../config/resolved.js';
import { fromCore, GwanmunError } from '../errors.js';
import { formatError } from '../format-error.js';
import { coalesce } from '../supervisor/coalesce.js';
import { listenForControl, type ControlRequest } from '../supervisor/control.js';
import { takeInheritance } from '../supervisor/inheritance.js';
import { reapOrphans } from '../supervisor/orphans.js';
import { checkPidFile, writePidFile } from '../supervisor/pid-file.js';
import type { OnLoaded } from '../supervisor/report.js';
import { Server } from '../supervisor/server.js';
import { followFolder } from '../supervisor/started-in.js';
import { ServiceManager } from '../supervisor/service-manager.js';
import { startSuccessor, takeTicketKeys, tellPredecessor } from '../supervisor/successor.js';
import { banner, formatAddress, readyLine } from './banner.js';
import type { Watching } from './watch.js';
import { onStopSignal } from './signals.js';

/** By the shells' convention: 128 + the signal's number. */
const QUIT_CODE = 131;
/** After its workers were ready, another process has so long to say that it serves. */
const SUCCESSOR_SLACK_MS = 10_000;

/**
 * Serves until a signal asks to stop, and then ends the process with 0. SIGHUP, or the control socket, has the configuration that
 * `load` gives taken over. Rejects with a GwanmunError if the server cannot start. `configFiles`, in development: what the configuration
 * was read from, to which `load` adds.
 */
export async function serve(
  config: ResolvedConfig,
  load: () => Promise<ResolvedConfig>,
  configFiles?: ReadonlySet<string>,
): Promise<void> {
  const development = configFiles !== undefined;
  const { stderr } = process;
  const isJson = config.errorLog.format === 'json';
  // A server outlives whoever reads its output: a broken pipe is no reason to end.
  for (const stream of [process.stdout, stderr]) stream.on('error', () => {});
  const inheritance = takeInheritance();
  const manager = new ServiceManager();
  const sources =
    configFiles &&
    import('./watch.js').then(({ Sources }) => new Sources(reloading(server, () => reload(), configFiles)));
  const watch: OnLoaded = (files, since) =>
    void sources?.then(
      (known) => known.add(files, since),
      () => {},
    );
  const ticketKeys = inheritance?.predecessor === undefined ? undefined : takeTicketKeys();
  const server = new Server(config, logToStderr, development ? watch : undefined, inheritance, ticketKeys);
  let closeControl = (): void => {};
  // From here on, so that a signal during the start is not lost.
  const stop = (): Promise<void> => {
    manager.stopping();
    return server.stop().then(() => process.exit(0));
  };
  const unwatch = onStopSignal(() => void stop());
  // However many ask for it while one goes on, one more is enough.
  const reload: () => Promise<void> = coalesce(async () => {
    manager.reloading();
    const began = Date.now();
    try {
      await server.reload(async () => {
        await followFolder();
        return load();
      });
    } catch (error) {
      const fault = error instanceof GwanmunError ? error : fromCore(error);
      const message = 'the reload failed; the server goes on as it was';
      server.tell({ level: 'error', event: 'reload-failed', message, error: fault });
      throw fault;
    } finally {
      if (configFiles !== undefined) watch([...configFiles], began);
      manager.ready('serving');
    }
  });
  let upgrading: Promise<number> | undefined;
  const upgrade = (): Promise<number> =>
    (upgrading ??= succeed(server, config, inheritance?.isActivated === true, manager, development).then(
      (pid) => {
        closeControl();
        void server.leave().then(() => process.exit(0));
        return pid;
      },
      (error: unknown) => {
        upgrading = undefined;
        throw error;
      },
    ));
  listenForSignals(server, { stop, reload, upgrade });
  if (process.pid === 1) reapOrphans();
  try {
    const { pidFile } = config;
    if (pidFile !== undefined) checkPidFile(pidFile, inheritance?.predecessor);
    const began = Date.now();
    const [running] = await Promise.all([server.start(), sources?.then((all) => all.watchFolders(foldersOf(config)))]);
    watch([...(configFiles ?? [])], began);
    if (running === undefined) return;
    closeControl = await openControl(server, { reload, stop, upgrade });
    if (pidFile !== undefined) writePidFile(pidFile);
    // From the start of the process, without the time in which `npm start` built what was out of date.
    const [built] = performance.getEntriesByName('gwanmun:built');
    const ms = performance.now() - (built?.startTime ?? 0);
    const ready = { config, addresses: running.addresses, ms };
    const isPerson = stderr.isTTY && !isJson;
    if (!development && inheritance?.predecessor === undefined) {
      for (const [event, message] of warnings(config)) warn(server, config, event, message);
    }
    stderr.write(`${isPerson ? banner(ready, wantsColor(stderr)) : readyLine(ready)}\n`);
    manager.ready('serving');
    if (inheritance?.predecessor !== undefined) tellPredecessor();
  } catch (error) {
    unwatch();
    if (!isJson || !(error instanceof GwanmunError)) throw error;
    const { code, message, exitCode } = error;
    stderr.write(logLine('error', 'not-started', message, config.errorLog, { code, stack: formatError(error) }));
    process.exit(exitCode);
  }
}

interface Actions {
  readonly stop: () => Promise<void>;
  readonly reload: () => Promise<void>;
  /** Gives the new process's id. */
  readonly upgrade: () => Promise<number>;
}

/** The signals that do not end the server in order; those are {@link onStopSignal}'s. */
function listenForSignals(server: Server, { stop, reload, upgrade }: Actions): void {
  // Else Node would open its inspector.
  process.on('SIGUSR1', () => server.reopenLogs());
  process.on('SIGUSR2', () => {
    upgrade().catch((error: unknown) => {
      const message = 'the upgrade failed; this process goes on serving';
      server.tell({ level: 'error', event: 'upgrade-failed', message, error: fromCore(error) });
    });
  });
  process.on('SIGQUIT', () => {
    void server
      .report()
      .then(() => server.stop(0))
      .then(() => process.exit(QUIT_CODE));
  });
  for (const [signal, by] of [
    ['SIGTTIN', 1],
    ['SIGTTOU', -1],
  ] as const) {
    process.on(signal, () => {
      server.scale({ by }).catch((error: unknown) => {
        const message = 'an additional worker did not start';
        server.tell({ level: 'error', event: 'worker-not-started', message, error: fromCore(error) });
      });
    });
  }
  const hasTerminal = isatty(0);
  process.on('SIGHUP', () => {
    // The window was closed: nobody is there any more.
    if (hasTerminal && !isThereATerminal()) void stop();
    else void reload().catch(() => {});
  });
}

/** Starts the process that takes this one's place, and gives its id. Rejects with GWM_SUCCESSOR. */
async function succeed(
  server: Server,
  { startTimeout }: ResolvedConfig,
  isActivated: boolean,
  manager: ServiceManager,
  development: boolean,
): Promise<number> {
  if (process.pid === 1 || development) {
    const why = development
      ? 'gwanmun dev cannot be upgraded while it runs'
      : 'Process 1 cannot hand over to another process: when it ends, so does its container';
    throw new GwanmunError('GWM_SUCCESSOR', why, {
      remedy: development ? 'stop it and start it again' : 'start a second container, then stop this one',
    });
  }
  const patience = startTimeout + SUCCESSOR_SLACK_MS;
  const { sockets, ticketKeys, certificateReader: reader } = server;
  const pid = await startSuccessor({ sockets, isActivated, reader, ticketKeys, env: manager.env, patience });
  manager.succeededBy(pid);
  server.tell({
    level: 'info',
    event: 'upgraded',
    message: `process ${pid} has taken over; this one finishes its requests and ends`,
  });
  return pid;
}

/** What an operator should know of a configuration that does what it says. */
function warnings(config: ResolvedConfig): [event: string, message: string][] {
  const { privileges, workers, login, mounts, listen, trustedProxies } = config;
  const said: [event: string, message: string][] = [];
  // Whatever an application is tricked into doing, it does as root.
  if (process.getuid?.() === 0 && privileges.user === undefined && workers > 0) {
    said.push(['root', "the server and its applications run as root; name another user: user: 'www-data'"]);
  }
  // A48: anybody on the way can read a password. Behind a proxy the way is the proxy's.
  const hasLogin = login !== undefined || mounts.some(({ rules }) => rules.login !== undefined);
  const open = listen.find(
    (one) => one.kind === 'tcp' && one.tls !== true && one.redirect === undefined && !isLoopback(one.host),
  );
  if (hasLogin && open !== undefined && trustedProxies.length === 0) {
    said.push([
      'auth',
      `${formatAddress(open)} asks for passwords without HTTPS, so anybody on the way can read them; see tls`,
    ]);
  }
  return said;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function warn(server: Server, { errorLog }: ResolvedConfig, event: string, message: string): void {
  // What the log's thread writes may come after the line that the server is ready.
  const isLog = errorLog.file === undefined && (errorLog.timed || errorLog.format === 'json');
  if (!isLog) server.tell({ level: 'warn', event, message });
  else if (errorLog.level !== 'error') process.stderr.write(logLine('warn', event, message, errorLog));
}

/** Whether this process still has the terminal that it was started at. */
function isThereATerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

/** `gwanmun dev`: what happens when files change. */
function reloading(server: Server, reload: () => Promise<void>, configFiles: ReadonlySet<string>): Watching {
  let working: Promise<unknown> = Promise.resolve();
  return {
    onChange(files) {
      const [first = ''] = files;
      const what = `${displayPath(first)}${files.length > 1 ? ` and ${files.length - 1} more` : ''}`;
      working = working.then(async () => {
        const began = performance.now();
        // Another configuration takes its applications along.
        if (files.some((file) => configFiles.has(file))) await reload().catch(() => {});
        else if (await server.loadAnew()) {
          const message = `${what} changed; reloaded in ${Math.round(performance.now() - began)} ms`;
          server.tell({ level: 'info', event: 'reloaded', message });
        }
      });
    },
    onFault(error) {
      const message = 'some files are not watched; changes in them are not loaded';
      server.tell({ level: 'warn', event: 'watch', message, error });
    },
  };
}

/** Where the sources of a project are. */
function foldersOf({ origin: { directory }, applications }: ResolvedConfig): string[] {
  return [...new Set([directory, ...applications.map(({ module }) => dirname(module))])];
}

/** Lets operators ask by `gwanmun status` and the like. Without it the server serves all the same. Gives what ends it. */
async function openControl(server: Server, { reload, stop, upgrade }: Actions): Promise<() => void> {
  const handle = async (request: ControlRequest): Promise<unknown> => {
    switch (request.command) {
      case 'status':
        return server.status();
      case 'reload':
        await reload();
        return server.status();
      case 'restart-worker':
        return restartWorkers(server, request.worker);
      case 'scale':
        return server.scale({ to: request.workers });
      case 'upgrade':
        return upgrade();
      case 'stop':
        // The answer is that the socket closes, with the process.
        return stop();
    }
  };
  try {
    const close = await listenForControl(handle);
    process.once('exit', close);
    return close;
  } catch (error) {
    const message = `gwanmun status, stop and reload cannot reach this server: its control socket could not be opened: ${(error as Error).message}`;
    server.tell({ level: 'warn', event: 'control', message });
    return () => {};
  }
}

async function restartWorkers(server: Server, worker: number | undefined): Promise<number[]> {
  const numbers = await server.restartWorkers(worker);
  if (worker === undefined || numbers.length > 0) return numbers;
  throw new GwanmunError('GWM_CONTROL', `There is no worker ${worker}`, {
    remedy: 'see their numbers: gwanmun status',
  });
}

/** A line as the core's log has them (docs/logs.md), from before or after the core's life, or ahead of what the log's thread writes. */
function logLine(
  level: 'error' | 'warn',
  event: string,
  msg: string,
  { format }: ResolvedConfig['errorLog'],
  fields: Readonly<Record<string, string>> = {},
): string {
  const time = new Date().toISOString();
  const text = format === 'json' ? JSON.stringify({ time, level, event, msg, ...fields }) : `${time} ${level} ${msg}`;
  return `${text}\n`;
}

/** What the supervisor has to tell. */
export function logToStderr(message: string, error?: GwanmunError): void {
  process.stderr.write(`gwanmun: ${message}\n`);
  if (error) process.stderr.write(`${formatError(error, { color: wantsColor(process.stderr) })}\n`);
}
