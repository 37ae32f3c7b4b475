// Sends requests at a constant rate and tells how long after their due time the answers came. Prints one line of JSON, in milliseconds.
//   node pace.mjs '{"port":…,"request":"…","responseSize":…,"rate":1000,"connections":16,"spinners":2,"warmUp":1,"seconds":4}'

import { connect } from 'node:net';

const { port, request, responseSize, rate, connections, spinners, warmUp, seconds } = JSON.parse(process.argv[2] ?? '');
/** What may still be outstanding when the time is over. */
const DRAIN_MS = 2000;

/** Due times of requests that wait for a free connection. @type {number[]} */
const waiting = [];
/** @typedef {{ due: number, isCounted: boolean, send: (due: number) => void }} Connection */
/** @type {Connection[]} */
const free = [];
/** @type {Set<Connection>} */
const busy = new Set();
/** @type {number[]} */
const latencies = [];
let spins = 0;
let isRecording = false;

for (let index = 0; index < connections; index += 1) await open();
for (let index = 0; index < spinners; index += 1) spin();

await run(warmUp);
isRecording = true;
spins = 0;
const start = performance.now();
await run(seconds);
const lasted = (performance.now() - start) / 1000;
const counted = spins;
const limit = performance.now() + DRAIN_MS;
while (waiting.length + busy.size > 0 && performance.now() < limit) await pause();
// What is not answered by now has waited for so long at least.
const late = [...waiting, ...[...busy].map((connection) => connection.due)];
latencies.push(...late.map((due) => performance.now() - due));

latencies.sort((a, b) => a - b);
const rank = (/** @type {number} */ share) => latencies[Math.ceil(latencies.length * share) - 1];
const figures = { p50: rank(0.5), p99: rank(0.99), max: latencies.at(-1), unanswered: late.length / latencies.length };
process.stdout.write(`${JSON.stringify({ ...figures, spins: counted, lasted })}\n`);
process.exit(0);

/** Requests that are due, every millisecond. @param {number} length seconds */
async function run(length) {
  const begin = performance.now();
  const count = rate * length;
  for (let sent = 0; sent < count;) {
    const due = Math.min(count, Math.floor(((performance.now() - begin) * rate) / 1000));
    for (; sent < due; sent += 1) {
      const time = begin + (sent * 1000) / rate;
      const connection = free.pop();
      if (connection) connection.send(time);
      else waiting.push(time);
    }
    await pause();
  }
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** A connection with one request at a time. @returns {Promise<void>} */
function open() {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let missing = 0;
    /** @type {Connection} */
    const connection = {
      due: 0,
      isCounted: false,
      send(due) {
        connection.due = due;
        connection.isCounted = isRecording;
        missing = responseSize;
        busy.add(connection);
        socket.write(request, 'latin1');
      },
    };
    socket.on('connect', () => {
      free.push(connection);
      resolve();
    });
    socket.on('data', (bytes) => {
      missing -= bytes.length;
      if (missing > 0) return;
      if (missing < 0) fail('an answer has another size than the first one had');
      busy.delete(connection);
      if (connection.isCounted) latencies.push(performance.now() - connection.due);
      const next = waiting.shift();
      if (next === undefined) free.push(connection);
      else connection.send(next);
    });
    socket.on('error', (error) => fail(error.message));
    socket.on('end', () => fail('the server closed a connection'));
  });
}

/** Keeps the application busy: its next request is sent with the answer to the last. */
function spin() {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const ask = () => socket.write('GET /spin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  let input = '';
  socket.on('connect', ask);
  socket.on('data', (bytes) => {
    input += bytes.toString('latin1');
    if (!input.endsWith('spun')) return;
    input = '';
    spins += 1;
    ask();
  });
  socket.on('error', (error) => fail(`/spin: ${error.message}`));
  socket.on('end', () => fail('the server closed the connection to /spin'));
}

/** @param {string} message */
function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
