// Clients that count everything: each request that is sent, each answer, each failure and why.

import { connect } from 'node:net';

/**
 * @typedef {object} Count
 * @property {number} sent
 * @property {number} answered with 200, whole, and as `check` wants it
 * @property {number} connections
 * @property {Map<string, number>} failures why → how many
 * @property {string[]} failed the ids of requests that failed
 */

/**
 * Runs `clients` loops until `total` requests have been sent. Every second request of a loop is on a connection of its own; the others
 * share one. Each has an id in its path, which the answer has to repeat.
 * @param {{ port: number, clients: number, total: number, check: (body: string, id: string) => string | undefined, stopped?: () => boolean }} options
 *   `check` says what is wrong with a body
 * @returns {Promise<Count>}
 */
export async function load({ port, clients, total, check, stopped = () => false }) {
  /** @type {Count} */
  const count = { sent: 0, answered: 0, connections: 0, failures: new Map(), failed: [] };
  /** @param {string} id @param {string} why */
  const fail = (id, why) => {
    count.failures.set(why, (count.failures.get(why) ?? 0) + 1);
    count.failed.push(id);
  };

  /** @param {number} client */
  async function loop(client) {
    /** @type {Client | undefined} */
    let kept;
    for (let turn = 0; count.sent < total && !stopped(); turn += 1) {
      count.sent += 1;
      const id = `${client}-${turn}`;
      const isOwn = turn % 2 === 1;
      if (isOwn || kept === undefined || kept.isClosed) count.connections += 1;
      const connection = isOwn
        ? new Client(port)
        : kept === undefined || kept.isClosed
          ? (kept = new Client(port))
          : kept;
      try {
        const { status, body } = await connection.get(`/${id}`, isOwn);
        const fault = status === 200 ? check(body, id) : `status ${status}`;
        if (fault === undefined) count.answered += 1;
        else fail(id, fault);
      } catch (error) {
        fail(id, error instanceof Error ? error.message : String(error));
        connection.destroy();
      }
    }
    kept?.destroy();
  }

  await Promise.all(Array.from({ length: clients }, (_, client) => loop(client)));
  return count;
}

/** One request on a connection of its own. @param {number} port @param {string} path */
export function get(port, path) {
  return new Client(port).get(path, true);
}

/** One connection, one request at a time. */
class Client {
  isClosed = false;
  /** @param {number} port */
  constructor(port) {
    this.input = '';
    /** @type {(() => void) | undefined} */
    this.wake = undefined;
    /** @type {string | undefined} */
    this.ending = undefined;
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (/** @type {string} */ data) => {
      this.input += data;
      this.wake?.();
    });
    const end = (/** @type {string} */ why) => {
      this.ending ??= why;
      this.isClosed = true;
      this.wake?.();
    };
    this.socket.on('end', () => end('the connection ended'));
    this.socket.on('error', (/** @type {NodeJS.ErrnoException} */ error) => end(error.code ?? error.message));
    this.socket.on('close', () => end('the connection closed'));
  }

  /** @param {string} path @param {boolean} isLast @returns {Promise<{ status: number, body: string }>} */
  async get(path, isLast) {
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: chaos.test\r\n${isLast ? 'Connection: close\r\n' : ''}\r\n`);
    for (;;) {
      const answer = this.parse();
      if (answer !== undefined) {
        if (answer.isLast || isLast) {
          this.isClosed = true;
          this.socket.destroy();
        }
        return answer;
      }
      if (this.ending !== undefined) {
        throw new Error(
          this.input === '' ? `${this.ending} without an answer` : `${this.ending} in the middle of an answer`,
        );
      }
      await new Promise((resolve) => (this.wake = /** @type {() => void} */ (resolve)));
      this.wake = undefined;
    }
  }

  parse() {
    const end = this.input.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const head = this.input.slice(0, end + 2);
    const status = Number(head.slice(9, 12));
    const isLast = /\r\nconnection: *close\r\n/i.test(head);
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    if (length !== undefined) {
      const whole = end + 4 + Number(length);
      if (this.input.length < whole) return undefined;
      const body = this.input.slice(end + 4, whole);
      this.input = this.input.slice(whole);
      return { status, body, isLast };
    }
    let body = '';
    for (let at = end + 4; ;) {
      const line = this.input.indexOf('\r\n', at);
      if (line < 0) return undefined;
      const size = Number.parseInt(this.input.slice(at, line), 16);
      if (this.input.length < line + 2 + size + 2) return undefined;
      if (size === 0) {
        this.input = this.input.slice(line + 4);
        return { status, body, isLast };
      }
      body += this.input.slice(line + 2, line + 2 + size);
      at = line + 2 + size + 2;
    }
  }

  destroy() {
    this.isClosed = true;
    this.socket.destroy();
  }
}
