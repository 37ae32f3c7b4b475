// The control socket: one line of JSON asks, one line of JSON answers. Only the server's own user may connect.

import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server as SocketServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GwanmunError, type SerializedError } from '../errors.js';

/** What can be asked of a server. `reload`, `restart-worker`, `scale` and `upgrade` answer when it is done. */
export type ControlRequest =
  | { readonly command: 'status' | 'reload' | 'stop' | 'upgrade' }
  | { readonly command: 'restart-worker'; readonly worker?: number }
  | { readonly command: 'scale'; readonly workers: number };

/** `{ result }`, or `{ error }` with what {@link GwanmunError.toJSON} gives. */
export type ControlResponse = { readonly result: unknown } | { readonly error: SerializedError };

/** What a request does. Throws a GwanmunError for the one who asks. */
export type ControlHandler = (request: ControlRequest) => Promise<unknown>;

/** A request has at most so many bytes, and comes within so many milliseconds. */
const MOST_BYTES = 4096;
const PATIENCE_MS = 5000;

/** The folder that holds the sockets of this user's servers, one each, named by the process: `1234.sock`. */
export function controlFolder(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_RUNTIME_DIR'];
  if (base !== undefined && base !== '' && existsSync(base)) return join(base, 'gwanmun');
  return join(tmpdir(), `gwanmun-${process.getuid?.() ?? 'user'}`);
}

/** Listens for requests. Resolves to a function that ends that; rejects if the socket cannot be made. */
export async function listenForControl(handle: ControlHandler, folder: string = controlFolder()): Promise<() => void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(folder);
  // In a folder that everybody may write to, somebody else may have made it.
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0) {
    throw new Error(`${folder} is not this user's alone; remove it, or set XDG_RUNTIME_DIR`);
  }
  const path = join(folder, `${process.pid}.sock`);
  rmSync(path, { force: true });
  const server = createServer((socket) => answer(socket, handle));
  const previous = process.umask(0o177);
  try {
    await listen(server, path);
  } finally {
    process.umask(previous);
  }
  server.unref();
  return () => {
    server.close();
    rmSync(path, { force: true });
  };
}

function listen(server: SocketServer, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve();
    });
  });
}

function answer(socket: Socket, handle: ControlHandler): void {
  let text = '';
  let isAsked = false;
  // Whoever leaves does not want the answer.
  socket.on('error', () => {});
  socket.setTimeout(PATIENCE_MS, () => socket.destroy());
  socket.setEncoding('utf8');
  const reply = (response: ControlResponse): void => void socket.end(`${JSON.stringify(response)}\n`);
  socket.on('data', (part: string) => {
    if (isAsked) return;
    text += part;
    const end = text.indexOf('\n');
    if (end < 0 && text.length <= MOST_BYTES) return;
    isAsked = true;
    // What it asks for may take its time.
    socket.setTimeout(0);
    const request = end < 0 ? undefined : parse(text.slice(0, end));
    if (request === undefined) {
      const fault = new GwanmunError('GWM_CONTROL', 'the control socket does not know this command');
      reply({ error: fault.toJSON() });
      return;
    }
    handle(request).then(
      (result) => reply({ result: result ?? null }),
      (error: unknown) => {
        const known =
          error instanceof GwanmunError
            ? error
            : new GwanmunError('GWM_CORE', (error as Error)?.message ?? String(error));
        reply({ error: known.toJSON() });
      },
    );
  });
}

const COMMANDS: readonly unknown[] = [
  'status',
  'reload',
  'stop',
  'restart-worker',
  'scale',
  'upgrade',
] satisfies ControlRequest['command'][];

function parse(line: string): ControlRequest | undefined {
  try {
    const request = JSON.parse(line) as { command?: unknown; worker?: unknown; workers?: unknown } | null;
    if (typeof request !== 'object' || request === null || !COMMANDS.includes(request.command)) return undefined;
    const { worker, workers } = request;
    const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) > 0;
    if (worker !== undefined && !isCount(worker)) return undefined;
    if (request.command === 'scale' && !isCount(workers)) return undefined;
    return request as ControlRequest;
  } catch {
    return undefined;
  }
}
