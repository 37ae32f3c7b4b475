// What the dispatcher costs per request in JavaScript: batches of 32 requests through a link that drops what is sent.
//   node bench/micro/dispatcher.mjs
// The `drop` columns leave out the two system calls per batch that a real link makes.

import { join } from 'node:path';
import { rolldown } from 'rolldown';

const root = join(import.meta.dirname, '../..');
const file = join(root, 'target/bench/dispatcher.mjs');
const build = await rolldown({
  input: join(root, 'src/gateway/dispatcher.ts'),
  platform: 'node',
  resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
});
await build.write({ file, format: 'esm' });
const { Dispatcher } = await import(file);

const BATCH = 32;
const ROUNDS = 20_000;

function frame(kind, flags, stream, extra, payload) {
  const size = 16 + payload.length;
  const bytes = Buffer.alloc((size + 7) & ~7);
  bytes.writeUInt32LE(size, 0);
  bytes[4] = kind;
  bytes[5] = flags;
  bytes.writeUInt32LE(stream, 8);
  bytes.writeUInt32LE(extra, 12);
  bytes.set(payload, 16);
  return bytes;
}

function head(stream, names, headers) {
  let text = '';
  const piece = (value) => {
    const start = text.length;
    text += value;
    return start * 65_536 + text.length;
  };
  const words = [0, names, 0, headers.length, 0, 0, 3000 * 65_536 + 50_000];
  words[9] = piece('GET');
  words[10] = piece('/hello');
  words[11] = 0;
  words[12] = words[10];
  words[13] = 0;
  words[14] = piece('localhost');
  words[15] = piece('127.0.0.1');
  for (const [name, value] of headers) words.push(piece(name), piece(value));
  words[7] = words.length * 4;
  words[8] = text.length;
  const table = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => table.writeUInt32LE(word ?? 0, index * 4));
  return frame(5, 1, stream, 0, Buffer.concat([table, Buffer.from(text, 'latin1')]));
}

const simple = [['Host', 'localhost:3000']];
const browser = [
  ['Host', 'www.example.com'],
  [
    'User-Agent',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
  ],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'],
  ['Accept-Language', 'en-GB,en;q=0.9,ko;q=0.8'],
  ['Accept-Encoding', 'gzip, deflate, br, zstd'],
  ['Referer', 'https://www.example.com/articles/2026/11/a-page'],
  ['Cookie', 'session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes'],
  ['Sec-Fetch-Dest', 'document'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['Sec-Fetch-Site', 'same-origin'],
  ['Upgrade-Insecure-Requests', '1'],
  ['Cache-Control', 'max-age=0'],
];

const HEADERS = () => [['Content-Type', 'text/plain']];
const applications = {
  string: (environ, startResponse) => {
    startResponse('200 OK', HEADERS());
    return 'Hello, World!';
  },
  array: (environ, startResponse) => {
    startResponse('200 OK', HEADERS());
    return ['Hello, World!'];
  },
  async: async (environ, startResponse) => {
    startResponse('200 OK', HEADERS());
    return 'Hello, World!';
  },
  generator: function* generator(environ, startResponse) {
    startResponse('200 OK', HEADERS());
    yield 'Hello, World!';
  },
};

async function measure(application, names, headers) {
  let onFrames;
  let received;
  class Link {
    constructor(fd, buffer, outgoing, frames) {
      received = Buffer.from(buffer);
      onFrames = frames;
    }
    send() {
      return 0;
    }
    takeFd() {
      return -1;
    }
    close() {}
  }
  const dispatcher = new Dispatcher({
    applications: [application],
    name: 'bench',
    concurrency: 256,
    onDrained() {},
    native: { Link },
  });
  dispatcher.addLink(0, new Int32Array(1024), 0);
  dispatcher.ready();
  const deliver = (bytes) => {
    received.set(bytes);
    onFrames(bytes.length);
  };
  const hello = Buffer.alloc(16);
  hello.writeUInt32LE(1, 0);
  hello.writeUInt32LE(262_144, 4);
  deliver(
    frame(1, 0, 0, 0, Buffer.concat([hello, Buffer.from('SERVER_SOFTWARE\0gwanmun\0GATEWAY_INTERFACE\0CGI/1.1\0')])),
  );
  deliver(frame(3, 0, 0, 1, Buffer.from(headers.map(([name]) => `${name.toLowerCase()}\0`).join(''))));
  const batch = Buffer.concat(Array.from({ length: BATCH }, (_, index) => head(index + 1, names, headers)));
  received.set(batch);
  let best = Infinity;
  for (let run = 0; run < 5; run++) {
    const start = process.hrtime.bigint();
    for (let round = 0; round < ROUNDS / 5; round++) {
      onFrames(batch.length);
      if (application === applications.async || application === applications.generator) await new Promise(setImmediate);
    }
    best = Math.min(best, Number(process.hrtime.bigint() - start) / (ROUNDS / 5) / BATCH);
  }
  dispatcher.close();
  return best;
}

console.log(`node ${process.versions.node}, batches of ${BATCH}, best of 5 runs, ns per request`);
for (const [name, application] of Object.entries(applications)) {
  const results = [
    await measure(application, 1, simple),
    await measure(application, 1, browser),
    await measure(application, 0, browser),
  ];
  const [one, many, loop] = results.map((ns) => ns.toFixed(0).padStart(5));
  console.log(`${name.padEnd(10)} one header ${one}   browser ${many}   browser, names not known ${loop}`);
}
