// How the workers of each pool of a configuration are started.

import type { ResolvedConfig } from '../config/resolved.js';
import { spawnPythonWorker } from './python-worker.js';
import type { OnLoaded } from './report.js';
import type { Spawn } from './slot.js';
import type { SupervisorOptions } from './supervisor.js';
import { spawnWorker, type Print } from './worker-process.js';

/** One for each pool; the order is that of the core's pools. `onLoaded` in development alone. */
export function startersOf(config: ResolvedConfig, print: Print | undefined, onLoaded: OnLoaded | undefined): Spawn[] {
  const development = onLoaded !== undefined;
  const { applications, wsgi, concurrency, errorLog, timeout } = config;
  const parent = process.pid;
  // The main process may be in another folder by the next start of one: that of a later configuration.
  const cwd = process.cwd();
  const requestIds = config.requestIds !== 'off';
  const capture = requestIds || errorLog.format === 'json';
  const modules: Spawn = (number, links) =>
    spawnWorker(
      number,
      links,
      { applications, concurrency, timeout, parent, requestIds, capture, development },
      cwd,
      print,
      onLoaded,
    );
  return [
    ...(applications.length > 0 ? [modules] : []),
    ...wsgi.map((application): Spawn => {
      return (number, links) =>
        spawnPythonWorker(number, links, application, { concurrency, parent, development }, print, onLoaded);
    }),
  ];
}

/** Starts workers that show why an application does not load. */
export function showing({ applications, concurrency, timeout }: ResolvedConfig): SupervisorOptions['spawnFailed'] {
  return (number, links, failure) =>
    spawnWorker(
      number,
      links,
      {
        // A pool of Python has one application.
        applications: applications.length > 0 ? applications : [{ module: '' }],
        concurrency,
        timeout,
        parent: process.pid,
        requestIds: false,
        capture: false,
        development: true,
        failure: failure.toJSON(),
      },
      process.cwd(),
    );
}
