// What is kept, whatever happens to the disk, and who may write it at a time.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Locks } from '../../src/acme/lock.js';
import { fileName, Storage } from '../../src/acme/storage.js';
import { FakeAuthority } from './fake-authority.js';
import { FakeClock, Site } from './site.js';

const DIRECTORY = 'https://ca.example/dir';
let root: string;
let told: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gwanmun-storage-'));
  told = [];
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true });
});

const open = (folder = root, owner?: { uid: number; gid: number }): Storage =>
  Storage.open(folder, DIRECTORY, (message) => told.push(message), owner);

const json = (text: string): unknown => JSON.parse(text);

test('T174 folders are 0700 and files 0600, and what was open is closed and told', () => {
  const storage = open(join(root, 'new/acme'));
  storage.write('account.json', '{}');
  expect(statSync(join(root, 'new/acme')).mode & 0o777).toBe(0o700);
  expect(statSync(join(storage.folder, 'account.json')).mode & 0o777).toBe(0o600);
  chmodSync(join(storage.folder, 'certificates'), 0o755);
  open(join(root, 'new/acme'));
  expect(statSync(join(storage.folder, 'certificates')).mode & 0o777).toBe(0o700);
  expect(told).toEqual([expect.stringContaining('was open to other users')]);
});

test('a folder that has other things in it stays as open as it is, and whose it is', () => {
  writeFileSync(join(root, 'index.html'), '');
  chmodSync(root, 0o755);
  open(root, { uid: 65_534, gid: 65_534 });
  const { mode, uid } = statSync(root);
  expect([mode & 0o777, uid]).toEqual([0o755, process.geteuid?.()]);
});

test.skipIf(process.getuid?.() !== 0)(
  'what root makes for a user can be reached by that user, and is that user’s',
  () => {
    const folder = join(root, 'lib/gwanmun/acme');
    const storage = open(folder, { uid: 65_534, gid: 65_534 });
    storage.write('account.json', '{}');
    expect(statSync(join(root, 'lib/gwanmun')).mode & 0o055).toBe(0o055);
    for (const path of [folder, storage.folder, join(storage.folder, 'names'), join(storage.folder, 'account.json')]) {
      expect([path, statSync(path).uid]).toEqual([path, 65_534]);
    }
  },
);

test('T175 what is damaged is moved aside, and told', () => {
  const storage = open();
  storage.write('names/a.example.json', '{"failures":');
  storage.write('names/b.example.json', '{}');
  expect(storage.read('names/a.example.json', json)).toBeUndefined();
  expect(storage.read('names/b.example.json', json)).toEqual({});
  expect(readdirSync(join(storage.folder, 'damaged'))).toEqual([
    expect.stringMatching(/^names_a\.example\.json\.\d+$/),
  ]);
  expect(told).toEqual([expect.stringContaining('is damaged')]);
});

test('T174 what a process had begun when it died is nobody’s, and goes', () => {
  const storage = open();
  storage.write('account.json', '{"a":1}');
  const [old, fresh] = ['account.json.1.1.tmp', 'account.json.2.1.tmp'].map((name) => join(storage.folder, name)) as [
    string,
    string,
  ];
  writeFileSync(old, '{"a":');
  writeFileSync(fresh, '{"a":');
  utimesSync(old, 0, 0);
  open();
  expect([existsSync(old), existsSync(fresh)]).toEqual([false, true]);
  expect(storage.read('account.json', json)).toEqual({ a: 1 });
});

test('T176 what cannot be written to is an error before anything is asked for', () => {
  writeFileSync(join(root, 'file'), '');
  expect(() => open(join(root, 'file'))).toThrow(expect.objectContaining({ code: 'GWM_ACME_STORAGE' }));
});

test('names as long as names can be have files', () => {
  const domain = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
  const storage = open();
  storage.write(`certificates/${fileName(domain)}.pem`, 'text');
  expect(storage.read(`certificates/${fileName(domain)}.pem`, (text) => text)).toBe('text');
});

test('T176 a full disk: nothing is ordered, it is told once, and it goes on when there is room', async () => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.now = () => clock.now();
  await using site = new Site({ directory: authority.directory, fetch: authority.fetch, clock });
  const write = site.storage.write.bind(site.storage);
  let isFull = true;
  site.storage.write = (file, text) => {
    if (isFull) throw new Error('ENOSPC: no space left on device, write');
    write(file, text);
  };
  site.begin();
  const { error } = await site.says(/the certificate for a\.example is not renewed/);
  expect(error).toMatchObject({ code: 'GWM_ACME_STORAGE', message: expect.stringContaining('ENOSPC') as string });
  for (let minutes = 0; minutes < 5; minutes++) {
    clock.pass(60_000);
    await new Promise(setImmediate);
  }
  expect(authority.orders).toEqual([]);
  expect(site.notices.filter(({ level }) => level === 'error')).toHaveLength(1);
  isFull = false;
  await vi.waitFor(() => {
    clock.pass(60_000);
    expect(site.certificates.size).toBe(1);
  });
});

test('a disk that is full when the certificate comes: it is kept until there is room, and not ordered again', async () => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.now = () => clock.now();
  await using site = new Site({ directory: authority.directory, fetch: authority.fetch, clock });
  const write = site.storage.write.bind(site.storage);
  let isFull = true;
  site.storage.write = (file, text) => {
    if (isFull && file.startsWith('certificates/')) throw new Error('ENOSPC: no space left on device, write');
    write(file, text);
  };
  site.begin();
  await site.says(/ENOSPC/);
  isFull = false;
  await vi.waitFor(() => {
    clock.pass(60_000);
    expect(site.certificates.size).toBe(1);
  });
  expect(authority.orders).toHaveLength(1);
});

test('T177 a lock is one process’s; one whose process has died is free at once', () => {
  const locks = new Locks(root);
  const lock = locks.take('a');
  expect(lock?.isHeld()).toBe(true);
  expect(new Locks(root).take('a')).toBeUndefined();
  lock?.release();
  const again = locks.take('a');
  expect(again).toBeDefined();
  again?.release();
  // No process has this number.
  const taken = locks.take('a');
  const file = join(root, 'a');
  const content = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...content, pid: 4_194_305 }));
  expect(new Locks(root).take('a')?.isHeld()).toBe(true);
  expect(taken?.isHeld()).toBe(false);
  expect(readdirSync(root)).toEqual(['a']);
});

test('T177 a lock of another machine is free when it has not beaten for 30 s by our own clock', () => {
  const file = join(root, 'a');
  mkdirSync(root, { recursive: true });
  writeFileSync(file, JSON.stringify({ id: 'other', pid: 1, space: 'elsewhere' }));
  const now = vi.spyOn(performance, 'now').mockReturnValue(0);
  const locks = new Locks(root);
  expect(locks.take('a')).toBeUndefined();
  now.mockReturnValue(29_000);
  expect(locks.take('a')).toBeUndefined();
  // It beats.
  utimesSync(file, 1, 1);
  now.mockReturnValue(31_000);
  expect(locks.take('a')).toBeUndefined();
  now.mockReturnValue(62_000);
  const lock = locks.take('a');
  expect(lock?.isHeld()).toBe(true);
  lock?.release();
  expect(existsSync(file)).toBe(false);
});
