// A disk that stalls holds up who asks for that file, and nobody else. The kernel itself is made to stall: fanotify(7) lets a program hold
// an open() for as long as it likes, which only root may have.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { connected, get } from './client.js';
import { Folder, Gwanmun } from './gwanmun.js';

/** Holds every open() of a file until a line comes; then it lets all go. */
const HOLDER = `
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
FAN_CLASS_CONTENT, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, FAN_ALLOW = 4, 1, 0x10000, -100, 1
fd = libc.fanotify_init(FAN_CLASS_CONTENT, os.O_RDONLY)
if fd < 0 or libc.fanotify_mark(fd, FAN_MARK_ADD, ctypes.c_uint64(FAN_OPEN_PERM), AT_FDCWD, sys.argv[1].encode()) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("ready", flush=True)
held, released = [], False
while True:
    for source in select.select([fd, 0], [], [])[0]:
        if source == 0:
            if not os.read(0, 100):
                sys.exit()
            released = True
        else:
            data = os.read(fd, 4096)
            while data:
                length, own = struct.unpack("=I12xi", data[:20])
                held.append(own)
                data = data[length:]
                print("held", flush=True)
    while released and held:
        own = held.pop()
        os.write(fd, struct.pack("=iI", own, FAN_ALLOW))
        os.close(own)
`;

const folder = new Folder();
const content = randomBytes(100);
folder.write('site/slow.bin', content);
folder.write('site/known.txt', 'known');
folder.write('site/large.bin', Buffer.alloc(1 << 20, 'x'));
for (let index = 0; index < 20; index += 1) folder.write(`site/fresh-${index}.txt`, `fresh ${index}`);
const canHold = spawnSync('python3', ['-c', HOLDER, folder.at('site/slow.bin')], { input: '' }).status === 0;
let server: Gwanmun;
let holder: ChildProcess;
let said = '';

beforeAll(async () => {
  if (!canHold) return;
  server = await Gwanmun.start(folder, { threads: 1, mounts: [{ path: '/', files: './site' }] });
  holder = spawn('python3', ['-c', HOLDER, folder.at('site/slow.bin')], { stdio: ['pipe', 'pipe', 'inherit'] });
  holder.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
  await vi.waitFor(() => expect(said).toContain('ready'), { timeout: 10_000 });
});
afterAll(async () => {
  if (canHold) {
    holder.kill('SIGKILL');
    await once(holder, 'close');
    await server[Symbol.asyncDispose]();
  }
  folder[Symbol.dispose]();
});

describe.runIf(canHold)('while the disk holds a file', () => {
  test('other files and requests go on, on the same I/O thread; and then it is answered', async () => {
    expect((await get(server.port, '/known.txt')).body.toString()).toBe('known');
    // As many as want it: they must not take the threads that others need.
    const waiting = Array.from({ length: 12 }, () => get(server.port, '/slow.bin'));
    await expect.poll(() => said, { timeout: 10_000 }).toContain('held');
    for (let index = 0; index < 20; index += 1) {
      expect((await get(server.port, `/fresh-${index}.txt`)).body.toString()).toBe(`fresh ${index}`);
      expect((await get(server.port, '/known.txt')).body.toString()).toBe('known');
      expect((await get(server.port, '/missing')).status).toBe(404);
    }
    expect((await get(server.port, '/large.bin')).body.length).toBe(1 << 20);
    let answered = 0;
    for (const one of waiting) void one.then(() => (answered += 1));
    await connected(server.port);
    expect(answered).toBe(0);
    holder.stdin?.write('go\n');
    for (const { status, body } of await Promise.all(waiting)) {
      expect(status).toBe(200);
      expect(body.equals(content)).toBe(true);
    }
  });
});
