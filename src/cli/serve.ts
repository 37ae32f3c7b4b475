import { processCount, type ResolvedConfig } from '../config/resolve.js';
import { formatError, GwanmunError, wantsColor } from '../errors.js';
import { Server } from '../supervisor/server.js';
import { banner, readyLine } from './banner.js';
import { onStopSignal } from './signals.js';

/**
 * Serves until a signal asks to stop, and then ends the process with 0. `source` is what the banner calls the
 * configuration. Rejects with a GwanmunError if the server cannot start.
 */
export async function serve(config: ResolvedConfig, source: string): Promise<void> {
  const { stderr } = process;
  const isJson = config.errorLog.format === 'json';
  // A server outlives whoever reads its output: a broken pipe is no reason to end.
  for (const stream of [process.stdout, stderr]) stream.on('error', () => {});
  const server = new Server(config, log);
  // From here on, so that a signal during the start is not lost.
  const unwatch = onStopSignal(() => {
    void server.stop().then(() => process.exit(0));
  });
  try {
    const running = await server.start();
    if (running === undefined) return;
    const ready = readyLine(running.addresses, processCount(config));
    if (isJson) stderr.write(jsonLine('info', 'listening', { msg: ready }));
    else stderr.write(`${stderr.isTTY ? banner(config, running.addresses, source) : ready}\n`);
  } catch (error) {
    unwatch();
    if (!isJson || !(error instanceof GwanmunError)) throw error;
    const { code, message, exitCode } = error;
    stderr.write(jsonLine('error', 'not-started', { code, msg: message, stack: formatError(error) }));
    process.exit(exitCode);
  }
}

/** A line as the core's log has them (docs/logs.md), from before or after the core's life. */
function jsonLine(level: 'info' | 'error', event: string, fields: Readonly<Record<string, string>>): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`;
}

function log(message: string, error?: GwanmunError): void {
  process.stderr.write(`gwanmun: ${message}\n`);
  if (error) process.stderr.write(`${formatError(error, { color: wantsColor(process.stderr) })}\n`);
}
