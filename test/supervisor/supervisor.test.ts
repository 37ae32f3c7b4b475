import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { GwanmunError } from '../../src/errors.js';
import { Supervisor } from '../../src/supervisor/supervisor.js';
import type { WorkerExit, WorkerProcess } from '../../src/supervisor/worker-process.js';

interface FakeWorker extends WorkerProcess {
  readonly number: number;
  /** The core's id. */
  readonly id: number;
  readonly kill: ReturnType<typeof vi.fn<() => void>>;
  exit(exit?: Partial<WorkerExit>): Promise<void>;
}

const FAILURE = new GwanmunError('GWM_NO_APPLICATION', 'app.ts exports nothing');

let workers: FakeWorker[];
let removed: number[];
let died: number[];
let closed: number[][];
let lines: string[];

beforeEach(() => {
  vi.useFakeTimers();
  workers = [];
  removed = [];
  died = [];
  closed = [];
  lines = [];
});
afterEach(() => void vi.useRealTimers());

function supervisor(count: number, options: { addWorker?: () => void } = {}): Supervisor {
  let id = 0;
  return new Supervisor({
    core: {
      addWorker: () => {
        options.addWorker?.();
        id++;
        return { id, memory: id * 10, links: [id * 10 + 1, id * 10 + 2] };
      },
      removeWorker: (worker) => void removed.push(worker),
      workerDied: (worker) => void died.push(worker),
      nameWorker: () => {},
      queued: () => 0,
    },
    closeFds: (fds) => void closed.push(fds),
    spawn: (number, links) => {
      let resolve!: (exit: WorkerExit) => void;
      const exited = new Promise<WorkerExit>((settle) => {
        resolve = settle;
      });
      const exit = async (how: Partial<WorkerExit> = {}): Promise<void> => {
        resolve({ code: 1, signal: null, failure: undefined, ...how });
        await exited;
        await Promise.resolve();
      };
      const kill = vi.fn(() => void exit({ code: null, signal: 'SIGKILL' }));
      workers.push({
        number,
        id: links.memory / 10,
        pid: 1,
        died: exited.then(() => {}),
        exited,
        exit,
        kill,
        stack: async () => 'at place',
      });
      return workers.at(-1) as FakeWorker;
    },
    pool: 0,
    numbers: Array.from({ length: count }, (_, index) => index + 1),
    startTimeout: 5000,
    tell: ({ message }) => void lines.push(message),
  });
}

const worker = (index: number): FakeWorker => {
  const found = workers[index];
  if (!found) throw new Error(`there is no worker ${index}; there are ${workers.length}`);
  return found;
};

test('the start is over with the first ready worker; our copies of the links are closed', async () => {
  const subject = supervisor(2);
  const started = subject.start();
  expect(workers.map(({ number }) => number)).toEqual([1, 2]);
  expect(closed).toEqual([
    [10, 11, 12],
    [20, 21, 22],
  ]);
  subject.workerReady(2);
  await started;
});

test('the start fails with the first failure when every worker has failed, and nothing is restarted', async () => {
  const subject = supervisor(2);
  const started = subject.start();
  const failed = vi.fn();
  started.catch(failed);
  await worker(0).exit({ failure: FAILURE });
  await vi.advanceTimersByTimeAsync(1000);
  expect(failed).not.toHaveBeenCalled();
  await worker(1).exit();
  await expect(started).rejects.toBe(FAILURE);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(workers).toHaveLength(2);
});

test('a worker that failed at the start is started again once another is ready', async () => {
  const subject = supervisor(2);
  const started = subject.start();
  await worker(0).exit({ failure: FAILURE });
  subject.workerReady(worker(1).id);
  await started;
  await vi.advanceTimersByTimeAsync(99);
  expect(workers).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(worker(2).number).toBe(1);
});

test('an exit without a word becomes GWM_WORKER_EXITED', async () => {
  const started = supervisor(1).start();
  await worker(0).exit({ code: 7 });
  await expect(started).rejects.toMatchObject({
    code: 'GWM_WORKER_EXITED',
    message: 'Worker 1 exited with code 7 before it was ready',
  });
});

test('a worker that is not ready in time is killed', async () => {
  const started = supervisor(1).start();
  const failed = expect(started).rejects.toMatchObject({
    code: 'GWM_WORKER_TIMEOUT',
    message: 'Worker 1 was not ready after 5000 ms',
  });
  await vi.advanceTimersByTimeAsync(4999);
  expect(worker(0).kill).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(worker(0).kill).toHaveBeenCalledOnce();
  await failed;
});

test('a ready worker is not killed by the start timeout', async () => {
  const subject = supervisor(1);
  const started = subject.start();
  subject.workerReady(1);
  await started;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(worker(0).kill).not.toHaveBeenCalled();
});

test('a worker that ends is replaced, with doubling waits, and quickly again after it has been up for a while', async () => {
  const subject = supervisor(1);
  const started = subject.start();
  subject.workerReady(1);
  await started;
  await vi.advanceTimersByTimeAsync(10_000);
  for (const [index, delay] of [100, 200, 400].entries()) {
    await worker(index).exit({ code: null, signal: 'SIGSEGV' });
    expect(lines.at(-1)).toBe(`worker 1 was ended by SIGSEGV; a new one starts in ${delay} ms`);
    await vi.advanceTimersByTimeAsync(delay - 1);
    expect(workers).toHaveLength(index + 1);
    await vi.advanceTimersByTimeAsync(1);
    expect(workers).toHaveLength(index + 2);
    subject.workerReady(worker(index + 1).id);
  }
  await vi.advanceTimersByTimeAsync(10_000);
  await worker(3).exit();
  expect(lines.at(-1)).toContain('starts in 100 ms');
  // The core was told of each: a grandchild may hold the links open.
  expect(died).toEqual([1, 2, 3, 4]);
});

test('a worker whose links the core closed gets a moment to exit, then is killed and replaced', async () => {
  const subject = supervisor(1);
  const started = subject.start();
  subject.workerReady(1);
  await started;
  subject.workerGone(1, 'frame of unknown kind 99');
  await vi.advanceTimersByTimeAsync(999);
  expect(worker(0).kill).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(worker(0).kill).toHaveBeenCalledOnce();
  expect(lines[0]).toBe('worker 1 lost its connection to the server: frame of unknown kind 99');
  await vi.advanceTimersByTimeAsync(100);
  expect(workers).toHaveLength(2);
  expect(removed).toEqual([]);
});

test('a worker that exits by itself after its links closed is not killed', async () => {
  const subject = supervisor(1);
  const started = subject.start();
  subject.workerReady(1);
  await started;
  subject.workerGone(1, 'end of stream');
  await worker(0).exit({ code: 1 });
  await vi.advanceTimersByTimeAsync(5000);
  expect(worker(0).kill).not.toHaveBeenCalled();
  expect(lines).toEqual(['worker 1 exited with code 1; a new one starts in 100 ms']);
});

test("an old worker's late events do not touch the new one", async () => {
  const subject = supervisor(1);
  const started = subject.start();
  subject.workerReady(1);
  await started;
  await worker(0).exit();
  await vi.advanceTimersByTimeAsync(100);
  subject.workerGone(1, 'end of stream');
  subject.workerReady(1);
  await vi.advanceTimersByTimeAsync(2000);
  expect(worker(1).kill).not.toHaveBeenCalled();
});

test('a restart that fails is tried again later', async () => {
  let isFull = false;
  const subject = supervisor(1, {
    addWorker: () => {
      if (isFull) throw new Error('EMFILE');
    },
  });
  const started = subject.start();
  subject.workerReady(1);
  await started;
  isFull = true;
  await worker(0).exit();
  await vi.advanceTimersByTimeAsync(100);
  expect(lines.at(-1)).toBe('worker 1 could not be started (Error: EMFILE); next attempt in 200 ms');
  isFull = false;
  await vi.advanceTimersByTimeAsync(200);
  expect(workers).toHaveLength(2);
});

test('a worker that hangs is asked where it is and ended, and another one has its place at once', async () => {
  const subject = supervisor(1);
  const started = subject.start();
  subject.workerReady(1);
  await started;
  await subject.endHung(1, 'hangs in GET /a');
  expect(removed).toContain(1);
  expect(workers).toHaveLength(2);
  expect(worker(1).number).toBe(1);
  expect(lines.at(-1)).toBe('worker 1 (1) hangs in GET /a, and is replaced; its code is at');
  expect(worker(0).kill).toHaveBeenCalledExactlyOnceWith('SIGTERM');
  subject.workerReady(2);
  expect(subject.status().map(({ state, restarts }) => [state, restarts])).toEqual([['ready', 1]]);
});

test('the number of workers grows and shrinks; one that does not start leaves it as it was', async () => {
  const subject = supervisor(1);
  const started = subject.start();
  subject.workerReady(1);
  await started;
  const growing = subject.grow(2);
  subject.workerReady(2);
  expect(await growing).toBe(true);
  const failing = subject.grow(3).catch((error: unknown) => error);
  await worker(2).exit();
  expect(await failing).toMatchObject({ code: 'GWM_WORKER_EXITED' });
  expect(subject.numbers).toEqual([1, 2]);
  subject.shrink(1000);
  expect(subject.numbers).toEqual([1]);
  expect(removed.at(-1)).toBe(2);
  await vi.advanceTimersByTimeAsync(1000);
  expect(worker(1).kill).toHaveBeenCalledOnce();
  subject.drain();
  expect(await subject.grow(2)).toBe(false);
});

test('a place that is given up while its worker is replaced takes the new one along', async () => {
  const subject = supervisor(2);
  const started = subject.start();
  for (const { id } of workers) subject.workerReady(id);
  await started;
  const replacing = subject.replace(2, 1000);
  expect(workers).toHaveLength(3);
  subject.shrink(1000);
  subject.workerReady(3);
  await replacing;
  expect(subject.numbers).toEqual([1]);
  expect(removed).toEqual(expect.arrayContaining([2, 3]));
  await vi.advanceTimersByTimeAsync(1000);
  for (const index of [1, 2]) expect(worker(index).kill).toHaveBeenCalledOnce();
});

test('stopping waits for the workers, restarts none, and kills what is left', async () => {
  const subject = supervisor(3);
  const started = subject.start();
  for (const { id } of workers) subject.workerReady(id);
  await started;
  await worker(2).exit();
  subject.drain();
  await vi.advanceTimersByTimeAsync(1000);
  expect(workers).toHaveLength(3);
  const stopped = vi.fn();
  void subject.stop(3000).then(stopped);
  await worker(0).exit({ code: 0 });
  await vi.advanceTimersByTimeAsync(2999);
  expect(stopped).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(worker(0).kill).not.toHaveBeenCalled();
  expect(worker(1).kill).toHaveBeenCalledOnce();
  expect(stopped).toHaveBeenCalledOnce();
  expect(lines).toHaveLength(1);
});

test('stopping during the start ends the start', async () => {
  const subject = supervisor(1);
  const started = subject.start();
  const stopped = subject.stop(1000);
  await started;
  await worker(0).exit({ code: 0 });
  await stopped;
});
