// A worker process: loads the applications and answers the requests that come over its links. Started by the
// supervisor, never by hand.

import { writeSync } from 'node:fs';
import { inspect } from 'node:util';
import type { Imports } from '../config/follow-imports.js';
import type { WorkerSettings } from '../supervisor/worker-process.js';
import type { Adapter } from '../gateway/adapter.js';
import { Dispatcher } from '../gateway/dispatcher.js';
import { PULSE_BEATS, PULSE_LAG, PULSE_MS } from '../gateway/frame.js';
import { collectOften } from '../gateway/garbage.js';
import type { Application } from '../gateway/types.js';
import { MOST_MS } from '../in-process.js';
import { loadNative } from '../native.js';
import { GwanmunError, systemFault } from '../errors.js';
import { capture, requestContext } from './capture.js';
import { parseLinks } from './links.js';
import { loadApplication } from './load.js';

// A terminal's Ctrl-C and a service manager's SIGTERM reach the whole process group. The main process says when to stop,
// by ending the links: until then requests in progress go on.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('SIGHUP', () => {});
// The logs are opened anew by it, and Node would open its inspector, where every user of the machine can have it run code.
process.on('SIGUSR1', () => {});

/** So often it is looked whether more has been loaded. */
const LOADED_MS = 200;
/** Where the main process learns why this one does not start. */
let reportFd = -1;
/** In development. */
let imports: Imports | undefined;

try {
  await start();
} catch (error) {
  tellLoaded();
  report(error);
  process.exit(1);
}

async function start(): Promise<void> {
  const { memory: descriptor, links } = parseLinks(process.env['GWANMUN_LINKS']);
  const settings = JSON.parse(process.env['GWANMUN_WORKER'] ?? '') as WorkerSettings;
  const { applications, concurrency, parent } = settings;
  reportFd = settings.report;
  // They are ours, and no program that an application starts should think that it is a worker.
  delete process.env['GWANMUN_LINKS'];
  delete process.env['GWANMUN_WORKER'];
  const native = loadNative();
  if (!native.followParent(parent)) process.exit(1);
  native.preferBatches();

  const { development, failure } = settings;
  const pages = development ? (await import('../gateway/error-page.js')).errorPage : null;
  if (development && failure === undefined) {
    imports = (await import('../config/follow-imports.js')).followImports();
    // What is loaded later, and by a module that ends the process.
    setInterval(tellLoaded, LOADED_MS).unref();
    process.on('exit', tellLoaded);
  }
  const loaded: (Application | Adapter)[] = [];
  const stops: (() => unknown)[] = [];
  // One after the other, so that what they print at their start stays apart.
  for (const [index, application] of applications.entries()) {
    if (failure !== undefined) {
      const error = GwanmunError.fromJSON(failure);
      loaded.push(() => {
        throw error;
      });
      continue;
    }
    try {
      const { application: own, stop } = await loadApplication(application);
      loaded.push(own);
      if (stop !== undefined) stops.unshift(stop);
    } catch (error) {
      // What the main process knows the application by: it knows where its name was written.
      throw error instanceof GwanmunError ? error.with({ part: `applications[${index}]` }) : error;
    }
  }
  tellLoaded();
  const dispatcher = new Dispatcher({
    applications: loaded,
    name: `node ${process.versions.node}`,
    concurrency,
    onDrained: () =>
      void dispatcher
        .settle(MOST_MS)
        .then(() => end(stops))
        .then(() => process.exit(0)),
    patienceMs: settings.timeout === 0 ? Number.POSITIVE_INFINITY : settings.timeout,
    ...(settings.requestIds ? { context: requestContext } : {}),
    native,
    errorPage: pages,
  });
  if (settings.capture) capture((...event) => dispatcher.log(...event));
  const memory = native.mapMemory(descriptor);
  for (const [slot, fd] of links.entries()) dispatcher.addLink(fd, memory, slot);
  beat(new Int32Array(memory));
  native.keepMemory();
  collectOften();
  native.answerWhere(reportFd, whereWeAre);
  dispatcher.ready();
}

/** Lets the modules end, the last one first; each is waited for. */
async function end(stops: readonly (() => unknown)[]): Promise<void> {
  for (const stop of stops) {
    try {
      await stop();
    } catch (error) {
      process.stderr.write(`stop() failed: ${inspect(error)}\n`);
    }
  }
}

/** Lets the core see that the event loop turns, and how late it is. */
function beat(page: Int32Array): void {
  let expected = performance.now() + PULSE_MS;
  Atomics.store(page, PULSE_BEATS / 4, 1);
  setInterval(() => {
    const now = performance.now();
    Atomics.store(page, PULSE_LAG / 4, Math.max(0, Math.round(now - expected)));
    Atomics.add(page, PULSE_BEATS / 4, 1);
    expected = now + PULSE_MS;
  }, PULSE_MS).unref();
}

/** Frames that a stack has when somebody wants to know where the code is. */
const STACK_FRAMES = 30;

/** The stack of whatever runs. */
function whereWeAre(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = STACK_FRAMES;
  try {
    return String(new Error().stack);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Says which files the applications have loaded, for they are watched. */
function tellLoaded(): void {
  const loaded = imports?.take() ?? [];
  if (loaded.length > 0) say(`${JSON.stringify({ loaded })}\n`);
}

/** Tells the main process why this worker could not start. */
function report(error: unknown): void {
  const failure =
    error instanceof GwanmunError
      ? error
      : (systemFault(error) ??
        new GwanmunError('GWM_WORKER_EXITED', `The worker could not start: ${String(error)}`, {
          userStack: error instanceof Error ? error.stack : undefined,
          remedy: 'this looks like a bug in gwanmun; please report it',
        }));
  if (!say(JSON.stringify(failure))) process.stderr.write(`${failure.message}\n`);
}

/** False: the application has closed the descriptor, or it is not known yet. */
function say(text: string): boolean {
  try {
    writeSync(reportFd, text);
    return true;
  } catch {
    return false;
  }
}
