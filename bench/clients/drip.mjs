// Opens connections and sends a byte of a request's head a second on each; one that the server gives up is opened anew. Prints a line once
// all are open, and goes on until it is ended.
//   node drip.mjs '{"port":…,"connections":10000}'

import { connect } from 'node:net';

const { port, connections } = JSON.parse(process.argv[2] ?? '');
const HEAD = `GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ${'x'.repeat(4000)}`;
const AT_ONCE = 100;
/** Each connection has its turn once a second. */
const TURNS = 100;

/** @typedef {{ socket: import('node:net').Socket, sent: number, isOpen: boolean }} Drop */
/** @type {Drop[]} */
const drops = [];

/** @param {number} index @returns {Promise<void>} */
function open(index) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const drop = { socket, sent: 0, isOpen: false };
    drops[index] = drop;
    socket.on('connect', () => {
      drop.isOpen = true;
      resolve();
    });
    socket.on('error', () => {});
    socket.resume();
    socket.on('close', () => {
      drop.isOpen = false;
      void open(index);
    });
  });
}

let opened = 0;
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (opened < connections) await open(opened++);
  }),
);
process.stdout.write('open\n');

let turn = 0;
setInterval(() => {
  for (let index = turn % TURNS; index < connections; index += TURNS) {
    const drop = /** @type {Drop} */ (drops[index]);
    if (!drop.isOpen) continue;
    drop.socket.write(HEAD[drop.sent % HEAD.length] ?? 'x', 'latin1');
    drop.sent += 1;
  }
  turn += 1;
}, 1000 / TURNS);
