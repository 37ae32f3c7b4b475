import { expect, test } from 'vitest';
import { coalesce } from '../../src/supervisor/coalesce.js';

test('whoever asks during a run shares one that begins after it', async () => {
  const runs: PromiseWithResolvers[] = [];
  const ask = coalesce(() => {
    const run = deferred();
    runs.push(run);
    return run.promise;
  });
  const first = ask();
  const during = Array.from({ length: 30 }, () => ask());
  expect(runs).toHaveLength(1);
  runs[0]?.resolve();
  await first;
  await expect.poll(() => runs.length).toBe(2);
  // The second has begun: who asks now may have something newer in mind.
  const late = ask();
  runs[1]?.resolve();
  await Promise.all(during);
  await expect.poll(() => runs.length).toBe(3);
  runs[2]?.resolve();
  await late;
  const last = ask();
  expect(runs).toHaveLength(4);
  runs[3]?.resolve();
  await last;
});

test('a run that fails fails for those who share it, and the next one begins all the same', async () => {
  let count = 0;
  const ask = coalesce(async () => {
    count += 1;
    await Promise.resolve();
    if (count < 3) throw new Error(`run ${count}`);
  });
  const asked = [ask(), ask(), ask()].map((run) => run.catch((error: Error) => error.message));
  expect(await Promise.all(asked)).toEqual(['run 1', 'run 2', 'run 2']);
  await ask();
  expect(count).toBe(3);
});

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  resolve(): void;
}

function deferred(): PromiseWithResolvers {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}
