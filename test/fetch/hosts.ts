// The two ways in which a fetch application is hosted: in a worker process, and in the program that calls serve().

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, vi } from 'vitest';
import { serve } from '../../dist/index.js';
import { RawClient, type Response as RawResponse } from '../http/raw-client.js';
import { Gwanmun } from '../workers/gwanmun-process.js';
import application from './application.js';

export class Host {
  readonly port: number;
  private readonly readLog: () => string;
  private readonly stop: () => Promise<void>;

  constructor(port: number, readLog: () => string, stop: () => Promise<void>) {
    this.port = port;
    this.readLog = readLog;
    this.stop = stop;
  }

  connect(): Promise<RawClient> {
    return RawClient.connect({ port: this.port });
  }

  /** Sends one request on a connection of its own and reads the answer. */
  async ask(line: string, headers: readonly string[] = [], body = ''): Promise<RawResponse> {
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
    if (response.status !== 200) throw new Error(`${line}: ${response.status} ${response.body.toString()}`);
    return JSON.parse(response.body.toString());
  }

  /** Waits until the application has noted an event. */
  async noted(event: string): Promise<string> {
    return (await this.ask(`GET /noted?event=${encodeURIComponent(event)}`)).body.toString();
  }

  /** Waits until the error log, or the server's own output, has `text`. */
  async logged(text: string): Promise<void> {
    await vi.waitFor(
      () => {
        const log = this.readLog();
        if (!log.includes(text)) throw new Error(`not in the log: ${text}\n${log.slice(-2000)}`);
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
  const host = headers.some((header) => /^host:/i.test(header)) ? [] : ['Host: example.test:8080'];
  return [`${line} HTTP/1.1`, ...host, ...headers, ...length, '', body].join('\r\n');
}

/** Declares the tests once for each host. */
export function inEachHost(title: string, tests: (host: () => Host) => void): void {
  describe.each(['worker process', 'in-process'])(`${title}, %s`, (kind) => {
    let host: Host | undefined;
    let folder = '';
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'gwanmun-fetch-'));
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
    fetch: application.fetch,
    mounts: [{ path: '/mounted', fetch: application.fetch }],
  });
  return new Host(
    server.port as number,
    () => readFileSync(errorLog, 'utf8'),
    () => server.close({ graceMs: 0 }),
  );
}

async function workerProcess(errorLog: string): Promise<Host> {
  const app = fileURLToPath(new URL('application.ts', import.meta.url));
  const gwanmun = new Gwanmun({
    config: {
      errorLog: { file: errorLog },
      accessLog: false,
      mounts: ['/', '/mounted'].map((path) => ({ path, app })),
    },
  });
  return new Host(
    await gwanmun.port(),
    () => gwanmun.stdout + gwanmun.stderr + readFileSync(errorLog, 'utf8'),
    () => gwanmun[Symbol.asyncDispose](),
  );
}
