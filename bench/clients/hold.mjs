// Opens connections, has one request answered on each, prints a line, and holds them until it is ended.
//   node hold.mjs '{"port":…,"connections":10000,"request":"…","responseSize":…,"tls":{…}}'    tls: options of `tls.connect`, if it is to be used

import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

const { port, connections, request, responseSize, tls } = JSON.parse(process.argv[2] ?? '');
const AT_ONCE = 100;

let opened = 0;
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (opened < connections) {
      opened += 1;
      await ask();
    }
  }),
);
process.stdout.write('held\n');

/** @returns {Promise<void>} */
function ask() {
  return new Promise((resolve) => {
    let missing = responseSize;
    const send = () => socket.write(request, 'latin1');
    const address = { port, host: '127.0.0.1' };
    const socket = tls ? connectTls({ ...address, ...tls }, send) : connect(address, send);
    socket.on('data', (bytes) => {
      missing -= bytes.length;
      if (missing === 0) resolve();
      if (missing < 0) fail('an answer has another size than the first one had');
    });
    socket.on('error', (error) => fail(error.message));
    socket.on('end', () => fail('the server closed a connection'));
  });
}

/** @param {string} message */
function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
