// The two ways in which gwanmun hosts an application: in a worker process, and in the process of the program that calls serve().

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, vi } from 'vitest';
import { serve } from '../../dist/index.js';
import { header, RawClient, type Response } from '../http/raw-client.js';
import { Gwanmun } from '../workers/gwanmun-process.js';
import { application } from './application.js';

const APPLICATION = fileURLToPath(new URL('application.ts', import.meta.url));

/** What the deployer adds to every environ (W11). */
export const ENVIRON = { APP_MODE: 'caf\u00e9', HTTP_X_USER: 'the deployer', 'site.name': "it's" };

/** A server that hosts `application.ts`. */
export class Host {
  readonly port: number;
  readonly isWorker: boolean;
  private readonly readLog: () => string;
  private readonly stop: () => Promise<void>;

  constructor(port: number, isWorker: boolean, readLog: () => string, stop: () => Promise<void>) {
    this.port = port;
    this.isWorker = isWorker;
    this.readLog = readLog;
    this.stop = stop;
  }

  connect(): Promise<RawClient> {
    return RawClient.connect({ port: this.port });
  }

  /** Sends one request on a connection of its own and reads the answer. */
  async ask(line: string, headers: readonly string[] = [], body = ''): Promise<Response> {
    const client = await this.connect();
    try {
      await client.send(request(line, headers, body));
      return await client.response(line.split(' ')[0]);
    } finally {
      client.close();
    }
  }

  /** As {@link ask}; the answer is JSON. */
  async json(line: string, headers: readonly string[] = [], body = ''): Promise<unknown> {
    const response = await this.ask(line, headers, body);
    const text = response.body.toString();
    if (response.status !== 200) throw new Error(`${line}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** Waits until the application has noted `event`, and gives how often. */
  async noted(event: string): Promise<number> {
    return Number((await this.ask(`GET /noted?${encodeURIComponent(event)}`)).body.toString());
  }

  /** Waits until the error log, or the server's own output, has `text`. */
  async logged(text: string): Promise<string> {
    return vi.waitFor(
      () => {
        const log = this.readLog();
        if (!log.includes(text)) throw new Error(`not in the log: ${text}\n${log.slice(-2000)}`);
        return log;
      },
      { timeout: 10_000, interval: 10 },
    );
  }

  close(): Promise<void> {
    return this.stop();
  }
}

/** A request with a Host and, if there is a body, its length. */
export function request(line: string, headers: readonly string[] = [], body = ''): string {
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body, 'latin1')}`];
  return [`${line} HTTP/1.1`, 'Host: example.test:8080', ...headers, ...length, '', body].join('\r\n');
}

/** The value of a header; undefined if the response has none. */
export { header };

/** Declares the tests once for each host. */
export function inEachHost(title: string, tests: (host: () => Host) => void): void {
  describe.each(['worker process', 'in-process'])(`${title}, %s`, (kind) => {
    let host: Host | undefined;
    let folder = '';
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'gwanmun-contract-'));
      const errorLog = join(folder, 'error.log');
      writeFileSync(errorLog, '');
      host = kind === 'in-process' ? await inProcess(errorLog) : await workerProcess(errorLog);
    });
    afterAll(async () => {
      await host?.close();
      rmSync(folder, { recursive: true, force: true });
    });
    tests(() => host as Host);
  });
}

async function inProcess(errorLog: string): Promise<Host> {
  const server = await serve({
    port: 0,
    errorLog: { file: errorLog },
    environ: ENVIRON,
    mounts: ['/', '/mounted'].map((path) => ({ path, application })),
  });
  return new Host(
    server.port as number,
    false,
    () => readFileSync(errorLog, 'utf8'),
    () => server.close({ graceMs: 0 }),
  );
}

async function workerProcess(errorLog: string): Promise<Host> {
  const gwanmun = new Gwanmun({
    config: {
      errorLog: { file: errorLog },
      accessLog: false,
      environ: ENVIRON,
      mounts: ['/', '/mounted'].map((path) => ({ path, app: APPLICATION })),
    },
  });
  return new Host(
    await gwanmun.port(),
    true,
    () => gwanmun.stdout + gwanmun.stderr + readFileSync(errorLog, 'utf8'),
    () => gwanmun[Symbol.asyncDispose](),
  );
}
