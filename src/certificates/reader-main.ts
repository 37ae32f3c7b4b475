// The process that stays root to read certificates and keys for a server that does not. It runs no code of the user's, and gives nothing but
// certificates, private keys and revocation lists in PEM: a server that was taken over does not get other files of root's by it.

import { Socket } from 'node:net';
import { isAbsolute } from 'node:path';
import { loadNative } from '../native.js';
import { LocalFiles, type FileReading } from './files.js';
import { lines, type ReaderReply, type ReaderRequest } from './reader-protocol.js';

/** The main process's end, behind standard input, output and error. */
const CONNECTION = 3;

const socket = new Socket({ fd: CONNECTION, readable: true, writable: true });
const files = new LocalFiles(loadNative().silentPaths, (changed) => send({ changed }));

// A service manager sends them to all processes; this one ends when no server has a use for it.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
socket.on('error', () => process.exit());
socket.on('close', () => process.exit());
process.title = 'gwanmun: reads certificates';

lines(socket, (line) => {
  const request = parse(line);
  if (request === undefined) return;
  if ('watch' in request) files.watch(new Map(request.watch));
  else {
    const { id, read } = request;
    void files.read(read).then((readings) => send({ id, readings: readings.map(pemAlone) }));
  }
});

function send(reply: ReaderReply): void {
  socket.write(`${JSON.stringify(reply)}\n`);
}

function parse(line: string): ReaderRequest | undefined {
  try {
    const request = JSON.parse(line) as ReaderRequest;
    const paths = 'watch' in request ? request.watch.map(([path]) => path) : request.read;
    return paths.every((path) => typeof path === 'string' && isAbsolute(path)) ? request : undefined;
  } catch {
    return undefined; // A process that was to take the server's place has ended in the middle of it.
  }
}

/** Of a line that begins a section, its end is not there yet while the file is being written. */
const SECTION =
  /-----BEGIN (CERTIFICATE|X509 CRL|(?:RSA |EC |ENCRYPTED )?PRIVATE KEY)-----(?:[^]*?-----END \1-----|\r?\n|$)/g;

/** The text without anything but certificates, keys and revocation lists. Lines keep their numbers, which errors name. */
function pemAlone(reading: FileReading): FileReading {
  if (!('text' in reading)) return reading;
  const { text } = reading;
  let kept = '';
  let end = 0;
  for (const match of text.matchAll(SECTION)) {
    kept += text.slice(end, match.index).replaceAll(/[^\n]/g, '') + match[0];
    end = match.index + match[0].length;
  }
  return { ...reading, text: kept };
}
