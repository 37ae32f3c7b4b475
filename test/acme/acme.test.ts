// Which name needs what, and when: with an authority that does as it is told, and time that passes when it is let.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import type { Fetch } from '../../src/acme/fetch.js';
import { DIRECTORIES } from '../../src/config/domains.js';
import { renewalIdOf } from '../../src/acme/request.js';
import { FakeAuthority, problem } from './fake-authority.js';
import { FakeClock, Site, type SiteOptions } from './site.js';

/** Runs TypeScript in a process of its own. */
const JITI = fileURLToPath(new URL('../../node_modules/jiti/lib/jiti-cli.mjs', import.meta.url));
const DIES = fileURLToPath(new URL('dies.ts', import.meta.url));
const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];

function site(authority: FakeAuthority, options: Partial<SiteOptions> = {}): Site {
  return new Site({ directory: authority.directory, fetch: authority.fetch, random: () => 0.5, ...options });
}

test('T149 a refused nonce is followed by a fresh one, three times at the most', async () => {
  const authority = new FakeAuthority();
  let refusals = 3;
  authority.refuse = (path) =>
    path === '/new' && refusals-- > 0 ? problem('badNonce', 'another one, please') : undefined;
  await using one = site(authority).begin();
  await one.says(/was issued/);
  refusals = 4;
  await using two = site(authority).begin();
  await two.says(/another one, please/);
});

test('T168 an authority that is down for a day: attempts become fewer, and then there is the certificate', async () => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.now = () => clock.now();
  let attempts = 0;
  let isDown = true;
  authority.refuse = () => {
    if (!isDown) return undefined;
    attempts++;
    throw new Error('connect ECONNREFUSED');
  };
  await using own = site(authority, { clock }).begin();
  const { error } = await own.says(/connect ECONNREFUSED/);
  expect(error?.remedy).toContain('HTTPS_PROXY');
  for (let minutes = 0; minutes < 24 * 60; minutes += 10) {
    clock.pass(10 * MINUTE);
    // Whatever is to be tried has been.
    await vi.waitFor(() => expect(own.acme.status()[0]?.nextAttempt).toBeGreaterThan(clock.now()));
  }
  expect(attempts).toBeGreaterThan(8);
  expect(attempts).toBeLessThan(14);
  isDown = false;
  clock.pass(7 * HOUR);
  await own.says(/was issued/);
  expect(own.acme.status()).toMatchObject([{ state: 'issued', failures: 0 }]);
});

test('T169 a limit of the authority holds as long as it says, also across restarts, and no reload shortens it', async () => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.now = () => clock.now();
  let isLimited = true;
  authority.refuse = (path) =>
    path === '/new' && isLimited ? problem('rateLimited', 'too many', 429, { 'retry-after': '180000' }) : undefined;
  await using first = site(authority, { clock }).begin();
  await first.says(/too many/);
  await first.acme.end();
  isLimited = false;
  await using second = site(authority, { clock, storage: first.folder }).begin();
  second.acme.hurry();
  clock.pass(49 * HOUR);
  await vi.waitFor(() => expect(second.acme.status()[0]?.nextAttempt).toBeGreaterThan(clock.now()));
  expect(authority.orders).toEqual([]);
  clock.pass(2 * HOUR);
  await second.says(/was issued/);
});

test('a reload has a failed name tried again sooner, though not more than five times an hour', async () => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.refuse = (path) => (path === '/new' ? problem('serverInternal', 'not now', 500) : undefined);
  await using own = site(authority, { clock }).begin();
  for (const [attempt, minutes] of [2, 7, 12, 22, 35, 70].entries()) {
    await own.says(/not now/, attempt + 1);
    clock.pass(minutes * MINUTE);
  }
  await own.says(/not now/, 7);
  expect(own.acme.status()[0]?.nextAttempt).toBeGreaterThan(clock.now() + HOUR);
  authority.refuse = () => undefined;
  own.acme.hurry();
  clock.pass(13 * MINUTE);
  await own.says(/was issued/);
});

test.each([
  [90, 61],
  [45, 31],
  [6, 3.1],
])('T165 T167 a certificate of %i days is renewed after %d', async (life, after) => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.now = () => clock.now();
  authority.lifetime = life * DAY;
  await using own = site(authority, { clock }).begin();
  await own.says(/was issued/);
  clock.pass((after - 1.2) * DAY);
  await vi.waitFor(() => expect(own.acme.status()[0]?.nextAttempt).toBeGreaterThan(clock.now()));
  expect(authority.orders).toHaveLength(1);
  clock.pass(1.2 * DAY);
  await own.says(/was issued/, 2);
});

test('T172 a renewal that keeps failing: the old certificate stays, and what is told becomes graver', async () => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.now = () => clock.now();
  await using own = site(authority, { clock }).begin();
  await own.says(/was issued/);
  const pem = own.certificates.get('a.example');
  authority.refuse = (path) => (path === '/new' ? problem('unauthorized', 'no') : undefined);
  clock.pass(62 * DAY);
  expect((await own.says(/could not be renewed, and is valid until/)).level).toBe('warn');
  expect(own.acme.status()).toMatchObject([{ state: 'failing', isCritical: false }]);
  clock.pass(20 * DAY);
  const { level } = await own.says(/could not be renewed/, 2);
  expect(level).toBe('error');
  expect(own.acme.status()).toMatchObject([{ isCritical: true }]);
  clock.pass(20 * DAY);
  await own.says(/could not be renewed, and expired on/);
  expect(own.certificates.get('a.example')).toBe(pem);
});

test('T171 a restart takes what there is, and orders nothing', async () => {
  const authority = new FakeAuthority();
  await using first = site(authority).begin();
  await first.says(/was issued/);
  const pem = first.certificates.get('a.example');
  await first.acme.end();
  await using second = site(authority, { storage: first.folder });
  expect(second.acme.kept('a.example')).toBe(pem);
  second.begin();
  expect(second.acme.status()).toMatchObject([{ state: 'issued' }]);
  expect(authority.orders).toHaveLength(1);
});

test('T155 T177 twenty starters: one account, one order, twenty certificates', async () => {
  const authority = new FakeAuthority();
  await using first = site(authority);
  const others = Array.from({ length: 19 }, () => site(authority, { storage: first.folder }));
  for (const one of [first, ...others]) one.begin();
  await Promise.all([first, ...others].map((one) => one.until(() => one.certificates.size === 1)));
  expect(authority.orders).toHaveLength(1);
  expect(authority.accounts.size).toBe(1);
  expect(new Set([first, ...others].map((one) => one.certificates.get('a.example'))).size).toBe(1);
  for (const one of others) await one.acme.end();
});

test('T180 a process that ends in the middle of an order leaves it to the next one, at once', async () => {
  const authority = new FakeAuthority();
  await using first = site(authority);
  let ending: Promise<void> | undefined;
  authority.onAnswer = (path) => {
    if (path.startsWith('/order') && authority.orders.length === 1) ending ??= first.acme.end();
  };
  await using second = site(authority, { storage: first.folder });
  first.begin();
  // While the first one is at it, and looks as if it had failed.
  await vi.waitFor(() => expect(ending).toBeDefined(), { interval: 1 });
  second.begin();
  await ending;
  await second.says(/was issued/);
  expect(first.notices).toEqual([
    expect.objectContaining({ message: expect.stringContaining('an account was made') as string }),
  ]);
  expect(authority.orders).toHaveLength(2);
});

test('T144 T148 every process of a storage answers before the authority is told', async () => {
  const authority = new FakeAuthority();
  const asked: string[][] = [];
  let open: string[] = [];
  authority.refuse = (path) => {
    const base = 'https://acme.example';
    const headers = { 'replay-nonce': 'n' };
    if (path.startsWith('/authorization')) {
      const challenges = [{ type: 'http-01', url: `${base}/challenge`, token: 'tok', status: 'pending' }];
      return {
        status: 200,
        headers,
        body: JSON.stringify({ status: asked.length > 0 ? 'valid' : 'pending', challenges }),
      };
    }
    if (path !== '/challenge') return undefined;
    asked.push(open);
    return { status: 200, headers, body: '{}' };
  };
  await using first = site(authority);
  await using other = site(authority, {
    storage: first.folder,
    domains: [],
    setChallenges: (challenges) => (open = challenges.map(({ host, token }) => `${host} ${token}`)),
  });
  other.begin();
  first.begin();
  await first.says(/was issued/);
  expect(asked).toEqual([['a.example tok']]);
  await vi.waitFor(() => expect(open).toEqual([]));
  expect(readdirSync(join(first.storage.folder, 'challenges'))).toEqual([]);
});

test('T178 what another process has renewed is taken over', async () => {
  const authority = new FakeAuthority();
  await using first = site(authority).begin();
  await first.says(/was issued/);
  await using second = site(authority, { storage: first.folder });
  second.acme.kept('a.example');
  second.begin();
  const file = 'certificates/a.example.pem';
  const other = new FakeAuthority();
  await using third = site(other).begin();
  await third.says(/was issued/);
  first.storage.write(file, readFileSync(join(third.storage.folder, file), 'utf8'));
  await second.until(() => second.certificates.get('a.example') === third.certificates.get('a.example'));
});

test('T175 a damaged certificate is moved aside and got anew; others are untouched', async () => {
  const authority = new FakeAuthority();
  await using first = site(authority, { domains: ['a.example', 'b.example'] }).begin();
  await first.says(/was issued/, 2);
  await first.acme.end();
  const path = join(first.storage.folder, 'certificates/a.example.pem');
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 300));
  await using second = site(authority, { storage: first.folder, domains: ['a.example', 'b.example'] });
  expect(second.acme.kept('a.example')).toBeUndefined();
  expect(second.acme.kept('b.example')).toBe(first.certificates.get('b.example'));
  second.begin();
  await second.says(/the certificate for a\.example was issued/);
  expect(authority.orders.map(({ domain }) => domain).sort()).toEqual(['a.example', 'a.example', 'b.example']);
  expect(readdirSync(join(first.storage.folder, 'damaged'))).toEqual([expect.stringContaining('a.example.pem')]);
});

test('T151 a certificate for another name, or with dates of another time, is not taken', async () => {
  const authority = new FakeAuthority();
  authority.now = () => Date.now() - 100 * DAY;
  await using own = site(authority).begin();
  await own.says(/which is not now; is the clock right\?/);
  expect(readdirSync(join(own.storage.folder, 'certificates'))).toEqual([]);
});

test('T158 certificates for trials are not served after the switch to the real ones', async () => {
  const [real, trial] = [new FakeAuthority(), new FakeAuthority()];
  await using first = site(trial, { directory: DIRECTORIES['letsencrypt-staging'], fetch: trying(trial) }).begin();
  await first.says(/was issued/);
  await using second = site(real, { directory: DIRECTORIES.letsencrypt, fetch: trying(real), storage: first.folder });
  expect(second.acme.kept('a.example')).toBeUndefined();
  second.begin();
  await second.says(/was issued/);
  expect(real.accounts.size).toBe(1);
  expect(readdirSync(first.folder).sort()).toEqual([
    'acme-staging-v02.api.letsencrypt.org_directory',
    'acme-v02.api.letsencrypt.org_directory',
  ]);
});

/** The same authority at another address. */
function trying(authority: FakeAuthority): Fetch {
  return (request) =>
    authority.fetch({ ...request, url: request.url.includes('letsencrypt.org') ? authority.directory : request.url });
}

test('T166 what the authority says is already replaced is ordered once more', async () => {
  const authority = new FakeAuthority();
  const clock = new FakeClock();
  authority.now = () => clock.now();
  const info = {
    suggestedWindow: { start: new Date(0), end: new Date(1) },
    explanationURL: 'https://acme.example/why',
  };
  let asked = 0;
  const withInfo = (path: string): ReturnType<FakeAuthority['refuse']> => {
    const headers = { 'replay-nonce': 'n', 'retry-after': '21600' };
    if (path === '/directory') {
      const base = 'https://acme.example';
      const body = {
        newNonce: `${base}/nonce`,
        newAccount: `${base}/account`,
        newOrder: `${base}/new`,
        renewalInfo: `${base}/info`,
      };
      return { status: 200, headers, body: JSON.stringify(body) };
    }
    if (path.startsWith('/info/'))
      return asked++ === 0
        ? { status: 200, headers, body: JSON.stringify(info) }
        : problem('serverInternal', 'later', 500);
    return undefined;
  };
  const tried: unknown[] = [];
  authority.refuse = (path, payload) => {
    if (path === '/new') tried.push(payload['replaces']);
    return path === '/new' && payload['replaces'] !== undefined
      ? problem('alreadyReplaced', 'it was', 409)
      : withInfo(path);
  };
  await using own = site(authority, { clock }).begin();
  await own.says(/was issued/, 2);
  expect(tried).toEqual([undefined, expect.stringMatching(/^[\w-]+\.[\w-]+$/), undefined]);
  expect(own.notices).toContainEqual(
    expect.objectContaining({ message: expect.stringContaining('https://acme.example/why') as string }),
  );
});

test('T170 three hundred orders in three hours, and no more', async () => {
  const authority = new FakeAuthority();
  await using own = site(authority);
  own.storage.write('orders.json', JSON.stringify(Array.from({ length: 300 }, () => Date.now())));
  own.begin();
  await vi.waitFor(() => expect(own.acme.status()[0]?.failure?.message).toContain('300 certificates'));
  expect(authority.orders).toEqual([]);
});

test('T171 a process that dies at any step asks no faster, and the storage is whole', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gwanmun-acme-kill-'));
  const steps = [
    '/directory',
    '/nonce',
    '/account',
    '/new',
    '/authorization/0',
    '/order/0',
    '/finalize/0',
    '/certificate/0',
    'stored',
  ];
  for (const step of steps) {
    const child = spawn(process.execPath, [JITI, DIES, folder, step], { stdio: 'inherit' });
    const [, signal] = (await once(child, 'exit')) as [number, string];
    expect([step, signal]).toEqual([step, 'SIGKILL']);
    const authority = new FakeAuthority();
    const clock = new FakeClock();
    authority.now = () => clock.now();
    await using own = site(authority, { storage: folder, clock });
    const kept = own.acme.kept('a.example');
    own.begin();
    if (kept === undefined) {
      expect(own.acme.status()).toMatchObject([
        { state: 'failing', failures: 1, failure: { message: 'the server ended in the middle of it' } },
      ]);
      clock.pass(2 * MINUTE);
      await own.says(/was issued/);
    }
    expect(own.acme.status()).toMatchObject([{ state: 'issued' }]);
    expect(readdirSync(join(own.storage.folder, 'damaged'))).toEqual([]);
    expect(renewalIdOf(own.certificates.get('a.example') ?? kept ?? '')).toBeDefined();
    await own.acme.end();
    rmSync(own.storage.folder, { recursive: true });
  }
  rmSync(folder, { recursive: true });
});
