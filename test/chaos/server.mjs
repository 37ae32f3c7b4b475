// A gwanmun as an operator runs it, for the proofs.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/**
 * Starts a server in a folder of its own.
 * @param {{ app: string, config?: object, env?: Record<string, string>, files?: Record<string, string> }} options the text of the application's module,
 *   and of files beside it, which nobody else may read
 */
export async function startServer({ app, config = {}, env = {}, files = {} }) {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-chaos-'));
  writeFileSync(join(folder, 'app.mjs'), app);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
  const whole = {
    listen: { host: '127.0.0.1', port: 0 },
    accessLog: false,
    mounts: [{ path: '/', app: './app.mjs' }],
    ...config,
  };
  writeFileSync(join(folder, 'gwanmun.config.mjs'), `export default ${JSON.stringify(whole)};\n`);
  const child = spawn(process.execPath, [MAIN], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', FOLDER: folder, ...env },
  });
  let log = '';
  /** @type {Set<() => void>} */
  const waiting = new Set();
  child.stderr.setEncoding('utf8').on('data', (text) => {
    log += text;
    for (const wake of waiting) wake();
  });
  child.stderr.once('close', () => {
    for (const wake of waiting) wake();
  });
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));

  /** Waits until the log has something more that fits. @param {RegExp} pattern @param {number} from */
  async function says(pattern, from = 0) {
    for (;;) {
      const match = pattern.exec(log.slice(from));
      if (match) return match;
      // A successor has it too.
      if (child.stderr.closed) throw new Error(`the server ended without ${pattern}:\n${log}`);
      await new Promise((resolve) => {
        const wake = () => {
          waiting.delete(wake);
          resolve(undefined);
        };
        waiting.add(wake);
      });
    }
  }

  const [, port] = await says(/127\.0\.0\.1:(\d+)/);
  return {
    port: Number(port),
    pid: /** @type {number} */ (child.pid),
    folder,
    says,
    kill: (/** @type {NodeJS.Signals} */ signal) => child.kill(signal),
    get log() {
      return log;
    },
    /** Settles with how the first process has ended. */
    exited,
    /** Ends it, and gives how. */
    async stop() {
      child.kill('SIGTERM');
      const end = await exited;
      rmSync(folder, { recursive: true, force: true });
      return end;
    },
  };
}
