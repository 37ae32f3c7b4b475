import { closeSync, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { displayPath } from '../config/display-path.js';
import type { ResolvedConfig } from '../config/resolve.js';
import { formatError, fromCore, GwanmunError, wantsColor } from '../errors.js';
import { listenForControl } from '../supervisor/control.js';
import { checkPidFile, removePidFile, writePidFile } from '../supervisor/pid-file.js';
import { Server } from '../supervisor/server.js';
import { banner, readyLine } from './banner.js';
import { onStopSignal } from './signals.js';

/**
 * Serves until a signal asks to stop, and then ends the process with 0. SIGHUP, or the control socket, has the configuration that
 * `load` gives taken over. Rejects with a GwanmunError if the server cannot start.
 */
export async function serve(
  config: ResolvedConfig,
  load: () => Promise<ResolvedConfig>,
  development = false,
): Promise<void> {
  const { stderr } = process;
  const isJson = config.errorLog.format === 'json';
  // A server outlives whoever reads its output: a broken pipe is no reason to end.
  for (const stream of [process.stdout, stderr]) stream.on('error', () => {});
  const server = new Server(config, logToStderr, development);
  // From here on, so that a signal during the start is not lost.
  const stop = (): Promise<void> => server.stop().then(() => process.exit(0));
  const unwatch = onStopSignal(() => void stop());
  const reload = async (): Promise<void> => {
    try {
      await server.reload(load);
    } catch (error) {
      const fault = error instanceof GwanmunError ? error : fromCore(error);
      const message = 'the reload failed, and everything goes on as it was';
      server.tell({ level: 'error', event: 'reload-failed', message, error: fault });
      throw fault;
    }
  };
  // Else Node would open its inspector.
  process.on('SIGUSR1', () => server.reopenLogs());
  for (const [signal, by] of [
    ['SIGTTIN', 1],
    ['SIGTTOU', -1],
  ] as const) {
    process.on(signal, () => {
      server.scale({ by }).catch((error: GwanmunError) => {
        server.tell({ level: 'error', event: 'worker-not-started', message: 'one more worker does not start', error });
      });
    });
  }
  const { isTTY: hasTerminal } = process.stdin;
  process.on('SIGHUP', () => {
    // The window was closed: nobody is there any more.
    if (hasTerminal && !isThereATerminal()) void stop();
    else void reload().catch(() => {});
  });
  const { pidFile } = config;
  try {
    if (pidFile !== undefined) checkPidFile(pidFile);
    const [running] = await Promise.all([
      server.start(),
      development ? reloadOnChange(server, config, reload) : undefined,
    ]);
    if (running === undefined) return;
    await openControl(server, { reload, stop });
    if (pidFile !== undefined) {
      writePidFile(pidFile);
      process.once('exit', () => removePidFile(pidFile));
    }
    // performance.now() counts from the start of the process.
    const ready = { config, addresses: running.addresses, ms: performance.now() };
    const isPerson = stderr.isTTY && !isJson;
    stderr.write(`${isPerson ? banner(ready, wantsColor(stderr)) : readyLine(ready)}\n`);
  } catch (error) {
    unwatch();
    if (!isJson || !(error instanceof GwanmunError)) throw error;
    const { code, message, exitCode } = error;
    stderr.write(jsonLine('error', 'not-started', { code, msg: message, stack: formatError(error) }));
    process.exit(exitCode);
  }
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

/** `gwanmun dev`: what changes is loaded anew. */
async function reloadOnChange(server: Server, config: ResolvedConfig, reload: () => Promise<void>): Promise<void> {
  const { watchSources } = await import('./watch.js');
  const { directory, source } = config.origin;
  // A target that was named in its place has no text.
  const file = source.text === undefined ? undefined : resolve(source.name);
  const folders = [directory, ...config.applications.map(({ module }) => dirname(module))];
  let working: Promise<unknown> = Promise.resolve();
  await watchSources([...new Set(folders)], (files) => {
    const [first = ''] = files;
    const what = `${displayPath(first)}${files.length > 1 ? ` and ${files.length - 1} more` : ''}`;
    working = working.then(async () => {
      const began = performance.now();
      // Another configuration takes its applications along.
      if (file !== undefined && files.includes(file)) await reload().catch(() => {});
      else if (await server.loadAnew()) {
        const message = `${what} changed; loaded anew in ${Math.round(performance.now() - began)} ms`;
        server.tell({ level: 'info', event: 'reloaded', message });
      }
    });
  });
}

/** Lets operators ask by `gwanmun status` and the like. Without it the server serves all the same. */
async function openControl(
  server: Server,
  { reload, stop }: { reload: () => Promise<void>; stop: () => Promise<void> },
): Promise<void> {
  try {
    const close = await listenForControl(async (request) => {
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
        case 'stop':
          // The answer is that the socket closes, with the process.
          return stop();
      }
    });
    process.once('exit', close);
  } catch (error) {
    const message = `there is no control socket, so that gwanmun status and the like cannot reach this server: ${(error as Error).message}`;
    server.tell({ level: 'warn', event: 'control', message });
  }
}

async function restartWorkers(server: Server, worker: number | undefined): Promise<number[]> {
  const numbers = await server.restartWorkers(worker);
  if (worker === undefined || numbers.length > 0) return numbers;
  throw new GwanmunError('GWM_CONTROL', `There is no worker ${worker}`, {
    remedy: 'see their numbers: gwanmun status',
  });
}

/** A line as the core's log has them (docs/logs.md), from before or after the core's life. */
function jsonLine(level: 'error', event: string, fields: Readonly<Record<string, string>>): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`;
}

/** What the supervisor has to tell. */
export function logToStderr(message: string, error?: GwanmunError): void {
  process.stderr.write(`gwanmun: ${message}\n`);
  if (error) process.stderr.write(`${formatError(error, { color: wantsColor(process.stderr) })}\n`);
}
