// A file system that answers no more, as one on a network does whose server is gone, holds up who asks for its files, and nobody else.
// It is a FUSE of our own that is told to stop, which only root may mount.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { get } from './client.js';
import { Folder, Gwanmun, MAIN } from './gwanmun.js';

/** Serves files of 1 MiB whose names begin with f, until a line comes; then it reads requests and answers none. */
const FILE_SYSTEM = `
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
LOOKUP, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR = 1, 3, 14, 15, 18, 25, 26, 27, 29
SILENT = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET
ENOENT, ENOSYS, SIZE = 2, 38, 1 << 20
try:
    fd = os.open("/dev/fuse", os.O_RDWR)
except OSError as error:
    sys.exit(str(error))
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hangs", sys.argv[1].encode(), b"fuse.hangs", 6, options):
    sys.exit(os.strerror(ctypes.get_errno()))
print("ready", flush=True)
nodes, hangs = {}, False

def attributes(node):
    folder = node == 1
    sizes = (node, 0 if folder else SIZE, 8, 1, 1, 1)
    return struct.pack("=6Q10I", *sizes, 0, 0, 0, 0o40755 if folder else 0o100644, 1, 0, 0, 0, 4096, 0)

def answer(operation, node, body):
    if operation == INIT:
        return struct.pack("=4I2H2I2H8I", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, *[0] * 8)[:64]
    if operation == GETATTR:
        return struct.pack("=Q2I", 0, 0, 0) + attributes(node)
    if operation == LOOKUP:
        name = body.split(b"\\0")[0]
        if not name.startswith(b"f"):
            return ENOENT
        own = nodes.setdefault(name, len(nodes) + 2)
        return struct.pack("=4Q2I", own, 0, 0, 0, 0, 0) + attributes(own)
    if operation in (OPEN, OPENDIR):
        return struct.pack("=Q2I", 1, 0, 0)
    if operation == READ:
        offset, size = struct.unpack("=QI", body[8:20])
        return b"z" * max(0, min(size, SIZE - offset))
    return b"" if operation in (RELEASE, FLUSH, RELEASEDIR) else ENOSYS

while True:
    for source in select.select([fd, 0], [], [])[0]:
        if source == 0:
            if not os.read(0, 100):
                libc.umount2(sys.argv[1].encode(), 3)  # by force, and lazily
                sys.exit()
            hangs = True
            print("hangs", flush=True)
            continue
        request = os.read(fd, 1 << 20)
        length, operation, unique, node = struct.unpack("=2I2Q", request[:24])
        if hangs or operation in SILENT:
            continue
        result = answer(operation, node, request[40:])
        error, payload = (-result, b"") if isinstance(result, int) else (0, result)
        os.write(fd, struct.pack("=IiQ", 16 + len(payload), error, unique) + payload)
`;

const folder = new Folder();
mkdirSync(folder.at('network'));
folder.write('site/known.txt', 'known');
for (let index = 0; index < 20; index += 1) folder.write(`site/fresh-${index}.txt`, `fresh ${index}`);
const tried = spawnSync('python3', ['-c', FILE_SYSTEM, folder.at('network')], { input: '', timeout: 10_000 });
const canMount = tried.status === 0;
let server: Gwanmun;
let fileSystem: ChildProcess;
let said = '';
let sent: Promise<unknown>;
const ended: Promise<number | null>[] = [];

beforeAll(async () => {
  if (!canMount) return;
  fileSystem = spawn('python3', ['-c', FILE_SYSTEM, folder.at('network')], { stdio: ['pipe', 'pipe', 'inherit'] });
  fileSystem.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
  await vi.waitFor(() => expect(said).toContain('ready'), { timeout: 10_000 });
  server = await Gwanmun.start(folder, {
    threads: 1,
    mounts: [
      { path: '/network', files: './network' },
      { path: '/', files: './site' },
    ],
  });
});
afterAll(async () => {
  if (canMount) {
    // By force: the kernel lets no thread go, not even of a process that was killed, that waits for a request which was read.
    fileSystem.kill('SIGKILL');
    spawnSync('umount', ['-l', '-f', folder.at('network')]);
    await server[Symbol.asyncDispose]();
  }
  folder[Symbol.dispose]();
});

/** Begins a command of gwanmun in the server's folder. */
function begin(...args: string[]): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder.path, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  return { child, output: () => output };
}

async function command(...args: string[]): Promise<{ code: number | null; said: string }> {
  const { child, output } = begin(...args);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said: output() };
}

describe.runIf(canMount)('a file system that hangs (skipped where FUSE can’t be mounted)', () => {
  test('sends its files while it is well', async () => {
    const { status, body } = await get(server.port, '/network/f-known');
    expect(status).toBe(200);
    expect(body.equals(Buffer.alloc(1 << 20, 'z'))).toBe(true);
  });

  test(
    'holds up neither the I/O thread nor the other mounts, and its requests get a 503',
    { timeout: 60_000 },
    async () => {
      expect((await get(server.port, '/network/f-known')).status).toBe(200);
      fileSystem.stdin?.write('hang\n');
      await vi.waitFor(() => expect(said).toContain('hangs'), { timeout: 10_000 });
      // What the cache knows is sent from the file, which hangs; its client's connection ends by the write timeout.
      sent = get(server.port, '/network/f-known').catch(() => undefined);
      const hung = Array.from({ length: 40 }, (_, index) => get(server.port, `/network/f-${index}`));
      for (let index = 0; index < 20; index += 1) {
        expect((await get(server.port, `/fresh-${index}.txt`)).body.toString()).toBe(`fresh ${index}`);
        expect((await get(server.port, '/missing')).status).toBe(404);
      }
      for (const { status } of await Promise.all(hung)) expect(status).toBe(503);
      await server.says(/Files can't be looked up.*the folder .*network has not answered for 10 s/);
      // Every thread of the mount has hung for so long: it is not tried again.
      expect((await get(server.port, '/network/f-more')).status).toBe(503);
      expect((await get(server.port, '/known.txt')).body.toString()).toBe('known');
      // A reload that names it fails in time, and the main process hears of others meanwhile.
      const reload = command('reload');
      expect((await command('status')).code).toBe(0);
      expect(await reload).toMatchObject({
        code: 2,
        said: expect.stringMatching(
          /GWM_CONFIG_INVALID +mounts\[0\]\.files: network has not answered for 10 s: check its disk/,
        ),
      });
      expect((await get(server.port, '/known.txt')).body.toString()).toBe('known');
    },
  );

  test('holds up no start that names something of it, wherever it names it', { timeout: 60_000 }, async () => {
    const mount = { path: '/', files: './site' };
    const at = (name: string): string => `./network/${name}`;
    const starts: [expected: string, config: Record<string, unknown> | string[]][] = [
      ['GWM_TARGET  network', ['./network']],
      ['GWM_TARGET  network/f-app.ts', [at('f-app.ts')]],
      ['GWM_CONFIG_LOAD  network/f.json', ['--config', at('f.json')]],
      ['mounts[0].files: network', { mounts: [{ path: '/', files: './network' }] }],
      ['mounts[0].app: network/f-app.ts', { mounts: [{ path: '/', app: at('f-app.ts') }] }],
      ['mounts[0].python: network/f-python', { mounts: [{ path: '/', wsgi: 'site', python: at('f-python') }] }],
      ['mounts[0].sendfile[0]: network', { mounts: [{ ...mount, sendfile: './network' }] }],
      ['mounts[0].errorPages.404: network/f-404', { mounts: [{ ...mount, errorPages: { 404: at('f-404') } }] }],
      ['accessLog.file: network', { accessLog: { file: at('access.log') } }],
      ['errorLog.file: network', { errorLog: { file: at('error.log') } }],
      ['listen[0]: network/x.sock', { listen: `unix:${at('x.sock')}` }],
      ['the certificate network/f-cert.pem', { tls: { cert: at('f-cert.pem') } }],
      ['pidFile: network', { pidFile: at('pid') }],
      ['compressionCache: network', { compressionCache: './network' }],
    ];
    const told = starts.map(async ([expected, config], index) => {
      const name = `start-${index}.json`;
      if (!Array.isArray(config)) folder.write(name, JSON.stringify({ listen: 0, mounts: [mount], ...config }));
      const { child, output } = begin(...(Array.isArray(config) ? config : ['--config', name]));
      ended.push(once(child, 'close').then(([code]) => code as number | null));
      await vi.waitFor(() => expect(output()).toContain(`${expected} has not answered for 10 s`), { timeout: 40_000 });
    });
    await Promise.all(told);
  });

  test('lets the server end once it is gone', async () => {
    fileSystem.stdin?.end();
    await once(fileSystem, 'close');
    expect(await server.stop()).toBe(0);
    await sent;
    // The kernel has kept the processes that asked it.
    expect(new Set(await Promise.all(ended))).toEqual(new Set([2]));
  });
});
