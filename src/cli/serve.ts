import { processCount, type ResolvedConfig } from '../config/resolve.js';
import { formatError, wantsColor, type GwanmunError } from '../errors.js';
import { Server } from '../supervisor/server.js';
import { banner, readyLine } from './banner.js';
import { onStopSignal } from './signals.js';

/**
 * Serves until a signal asks to stop, and then ends the process with 0. `source` is what the banner calls the
 * configuration. Rejects with a GwanmunError if the server cannot start.
 */
export async function serve(config: ResolvedConfig, source: string): Promise<void> {
  const { stderr } = process;
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
    const line = stderr.isTTY
      ? banner(config, running.addresses, source)
      : readyLine(running.addresses, processCount(config));
    stderr.write(`${line}\n`);
  } catch (error) {
    unwatch();
    throw error;
  }
}

function log(message: string, error?: GwanmunError): void {
  process.stderr.write(`gwanmun: ${message}\n`);
  if (error) process.stderr.write(`${formatError(error, { color: wantsColor(process.stderr) })}\n`);
}
