import type { ResolvedConfig } from '../config/resolve.js';
import { formatError, GwanmunError, wantsColor } from '../errors.js';
import { Server } from '../supervisor/server.js';
import { banner, readyLine } from './banner.js';
import { onStopSignal } from './signals.js';

/**
 * Serves until a signal asks to stop, and then ends the process with 0. Rejects with a GwanmunError if the server cannot
 * start.
 */
export async function serve(config: ResolvedConfig): Promise<void> {
  const { stderr } = process;
  const isJson = config.errorLog.format === 'json';
  // A server outlives whoever reads its output: a broken pipe is no reason to end.
  for (const stream of [process.stdout, stderr]) stream.on('error', () => {});
  const server = new Server(config, logToStderr);
  // From here on, so that a signal during the start is not lost.
  const unwatch = onStopSignal(() => {
    void server.stop().then(() => process.exit(0));
  });
  try {
    const running = await server.start();
    if (running === undefined) return;
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

/** A line as the core's log has them (docs/logs.md), from before or after the core's life. */
function jsonLine(level: 'error', event: string, fields: Readonly<Record<string, string>>): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`;
}

/** What the supervisor has to tell. */
export function logToStderr(message: string, error?: GwanmunError): void {
  process.stderr.write(`gwanmun: ${message}\n`);
  if (error) process.stderr.write(`${formatError(error, { color: wantsColor(process.stderr) })}\n`);
}
