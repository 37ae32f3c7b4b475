// A Python worker: how it is started, and what it says when its application cannot be loaded.

import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { displayPath } from '../config/display-path.js';
import type { WsgiApplication } from '../config/python.js';
import { suggest } from '../config/suggest.js';
import { GwanmunError, systemFault } from '../errors.js';
import { PACKAGE } from '../package-folder.js';
import { parseJson } from '../parse-error.js';
import { Report, REPORT_FD, type OnLoaded } from './report.js';
import { followWorker, linksVariable, type Print, type WorkerLinks, type WorkerProcess } from './worker-process.js';

const WORKER = fileURLToPath(new URL('python/gwanmun_worker.py', PACKAGE));

/**
 * Requests that a worker has at once; it answers one after the other. More make larger batches: a hello costs the worker 13 µs of
 * CPU with 2, 8 µs with 4, 5 µs with 8 and 4 µs with 64. Fewer leave fewer behind a slow one while other workers are free.
 */
const MOST_CONCURRENCY = 8;

const text = v.nullish(v.string());
const number = v.nullish(v.number());

/** What the worker writes to its report: facts, of which {@link failureOf} makes a message. */
const REPORT = v.object({
  /** `3.11.2` */
  version: v.string(),
  /** Absent: the application has been loaded. `version`, `callable`, or the type of the exception. */
  kind: v.optional(v.string()),
  /** The module that is missing, or the callable; an exception of the user's own may have anything by that name. */
  name: v.fallback(text, undefined),
  /** File, line, column. */
  where: v.fallback(
    v.union([v.tuple([text, number, number]), v.tuple([text, number]), v.tuple([text]), v.tuple([])]),
    [],
  ),
  stack: v.optional(v.array(v.string()), []),
  /** Whether the module has something of that name. */
  found: v.optional(v.boolean()),
  /** The callables that the module has. */
  names: v.optional(v.array(v.string()), []),
});

/** Starts a worker for one application. The caller still owns its copies of the links and closes them. */
export function spawnPythonWorker(
  number: number,
  { memory, links }: WorkerLinks,
  application: WsgiApplication,
  settings: { readonly concurrency: number; readonly parent: number; readonly development: boolean },
  print?: Print,
  onLoaded?: OnLoaded,
): WorkerProcess {
  const { python, directory, target } = application;
  const child = spawn(python, [WORKER], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', memory, ...links],
    env: environment(
      {
        application: target,
        concurrency: Math.min(settings.concurrency, MOST_CONCURRENCY),
        parent: settings.parent,
        development: settings.development,
      },
      linksVariable(links),
      // Python takes a module that was changed within the second, and is as long, for the one that it has compiled.
      settings.development ? { PYTHONDONTWRITEBYTECODE: '1' } : {},
    ),
  });
  const report = new Report(child, undefined, onLoaded);
  let missing: GwanmunError | undefined;
  child.once('error', (error: NodeJS.ErrnoException) => (missing = notStarted(application, error)));
  const worker = followWorker(
    number,
    child,
    () => missing ?? failureOf(report.text, application),
    // Its faulthandler writes where each thread is, in the middle of anything.
    async (pid) => (await report.answer(() => process.kill(pid, 'SIGUSR1'))).trim() || undefined,
    print,
  );
  // What it has forked may hold the other end.
  void worker.exited.then(() => report.close());
  return worker;
}

/** Loads an application and ends again. Gives Python's version, or throws what keeps the application from being loaded. */
export function checkPython(application: WsgiApplication): string {
  const { python, directory, target } = application;
  const { error, output } = spawnSync(python, [WORKER], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env: environment({ application: target, parent: process.pid, development: false }, ''),
  });
  if (error) throw notStarted(application, error);
  const report = output[REPORT_FD] ?? '';
  const failure = failureOf(report, application);
  if (failure) throw failure;
  const { success, output: facts } = v.safeParse(REPORT, parseJson(report));
  if (!success)
    throw new GwanmunError('GWM_WORKER_EXITED', `${target} ended its Python process while it was being loaded`);
  return facts.version;
}

function environment(settings: object, links: string, others: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    ...process.env,
    ...others,
    GWANMUN_LINKS: links,
    GWANMUN_WORKER: JSON.stringify({ ...settings, report: REPORT_FD }),
  };
}

function notStarted({ python }: WsgiApplication, error: Error): GwanmunError {
  const fault = systemFault(error);
  const message = `Python could not be started: ${(fault ?? error).message}`;
  if (fault !== undefined) return fault.with({ message });
  return new GwanmunError('GWM_PYTHON_MISSING', message, {
    where: { file: displayPath(python) },
    cause: error,
  });
}

/** What a report says is wrong, if anything. An application may have written anything there: then its end is all that is known. */
function failureOf(text: string, { target, python, directory }: WsgiApplication): GwanmunError | undefined {
  const { success, output } = v.safeParse(REPORT, parseJson(text));
  if (!success) return undefined;
  const { version, kind, name, where, stack, found, names } = output;
  const [file, line, column] = where;
  const module = target.replace(/:.*/, '');
  const place = file ? { file: displayPath(file), line: line ?? undefined, column: column ?? undefined } : undefined;
  const interpreter = python.includes('/') ? displayPath(python) : python;
  const userStack = stack.join('').trimEnd();
  switch (kind) {
    case undefined:
      return undefined;
    case 'version':
      return new GwanmunError('GWM_PYTHON_VERSION', `${interpreter} is Python ${version}; 3.8 or newer is needed`);
    case 'callable': {
      const callables = names.length === 0 ? 'nothing that can be called' : names.join(', ');
      const what = found ? `has ${name}, but it cannot be called` : `has no ${name}`;
      const meant = suggest(name ?? '', names) ?? names.find((other) => /app/i.test(other));
      return new GwanmunError('GWM_NO_APPLICATION', `The module ${module} ${what}; it has ${callables}`, {
        remedy: `name its WSGI application: wsgi: '${module}:${meant ?? 'application'}'`,
      });
    }
    case 'SyntaxError':
    case 'IndentationError':
    case 'TabError':
      return new GwanmunError('GWM_APP_SYNTAX', `${module} is not valid Python ${version}`, {
        where: place,
        userStack,
      });
    case 'ModuleNotFoundError':
      if (name && (module === name || module.startsWith(`${name}.`))) {
        const folder = displayPath(directory) === '.' ? 'this folder' : displayPath(directory);
        return new GwanmunError('GWM_APP_MODULE', `There is no module ${name} in ${folder}`, {
          where: { file: interpreter },
          remedy: `a module of the folder is named by its file without .py, one of a package with a dot\nis it a dependency? then: ${interpreter} -m pip install ${name}`,
        });
      }
      return new GwanmunError('GWM_APP_FAILED', `${module} needs the module ${name}, which is not installed`, {
        where: place,
        userStack,
        remedy: `install it: ${interpreter} -m pip install ${name}\nor name the Python that has it: python: './venv/bin/python'`,
      });
    default:
      return new GwanmunError('GWM_APP_FAILED', `${module} could not be imported: ${stack.at(-1)?.trim()}`, {
        where: place,
        userStack,
      });
  }
}
