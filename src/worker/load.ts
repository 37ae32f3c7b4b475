// Loads an application: imports the user's module, finds out its kind and makes it what the dispatcher calls.

import { adapt } from '../adapters/adapt.js';
import type { ApplicationKind } from '../config/define.js';
import { displayPath } from '../config/display-path.js';
import { describeImportFault, importModule } from '../config/module.js';
import type { ResolvedApplication } from '../config/resolved.js';
import { suggest } from '../config/suggest.js';
import { GwanmunError, systemFault } from '../errors.js';
import type { Adapter } from '../gateway/adapter.js';
import type { Application } from '../gateway/types.js';

type Exports = Record<string, unknown>;

/** An application, and what its module wants to be called at the end. */
export interface LoadedApplication {
  readonly application: Application | Adapter;
  readonly stop: (() => unknown) | undefined;
}

/** Imports the module and awaits its `start()`. Throws GWM_APP_… or GWM_NO_APPLICATION with the user's file and line. */
export async function loadApplication({ module: path, kind }: ResolvedApplication): Promise<LoadedApplication> {
  let exports: Exports;
  try {
    exports = await importModule(path);
  } catch (error) {
    throw loadFault(error, path);
  }
  const known = kind ?? kindOf(exports, path);
  const application = known === undefined ? undefined : find(exports, known);
  if (known === undefined || application === undefined) throw noApplication(exports, path, kind);
  // A default export's methods are its framework's own.
  const named = known === 'wsgi' ? exportNamed : (from: Exports, name: string) => from[name];
  const [start, stop] = ['start', 'stop'].map(
    (name) => functionOr(named(exports, name)) as (() => unknown) | undefined,
  );
  try {
    await start?.();
  } catch (error) {
    throw loadFault(error, path);
  }
  return { application: await adapt(known, application), stop };
}

function loadFault(error: unknown, path: string): GwanmunError {
  const { isSyntax, message, file = path, line, column, frame, stack } = describeImportFault(error, path);
  const code = systemFault(error)?.code ?? (isSyntax ? 'GWM_APP_SYNTAX' : 'GWM_APP_FAILED');
  return new GwanmunError(code, `${displayPath(path)}: ${message}`, {
    where: { file: displayPath(file), line, column, frame },
    userStack: stack,
    cause: error,
  });
}

/** What the exports say. Undefined: nothing. Throws GWM_APP_AMBIGUOUS if they say several things. */
function kindOf(exports: Exports, path: string): ApplicationKind | undefined {
  const kinds = (['wsgi', 'fetch', 'node'] as const).filter((kind) => find(exports, kind) !== undefined);
  if (kinds.length <= 1) return kinds[0];
  const file = displayPath(path);
  throw new GwanmunError('GWM_APP_AMBIGUOUS', `${file} holds ${kinds.map((kind) => WHAT[kind]).join(' and ')}`, {
    where: { file },
    remedy: [
      'say which in the configuration:',
      `app: { wsgi: './${file}' }    # application(environ, startResponse)`,
      `app: { fetch: './${file}' }   # fetch(request)`,
      `app: { node: './${file}' }    # (request, response) => void`,
    ].join('\n'),
  });
}

/** How each kind is exported, for messages. */
const WHAT: Record<ApplicationKind, string> = {
  wsgi: 'a function named application',
  fetch: 'a fetch handler',
  node: 'a default function, which is a Node handler',
};

/** The module's application of a kind, if it has one: a function, or for `fetch` an object with one. */
function find(exports: Exports, kind: ApplicationKind): unknown {
  const main = defaultExport(exports);
  switch (kind) {
    case 'wsgi':
      return functionOr(exportNamed(exports, 'application'));
    case 'fetch':
      if (typeof exports['fetch'] === 'function') return exports;
      return functionOr((main as { fetch?: unknown } | null | undefined)?.fetch) && main;
    case 'node':
      return functionOr(main);
  }
}

function functionOr(value: unknown): unknown {
  return typeof value === 'function' ? value : undefined;
}

/** A CommonJS module's exports are reached through its default export. */
function exportNamed(exports: Exports, name: string): unknown {
  if (exports[name] !== undefined) return exports[name];
  const fallback = exports['default'];
  return isObject(fallback) ? fallback[name] : undefined;
}

/** `export default`, also of a module that was compiled to CommonJS. */
function defaultExport(exports: Exports): unknown {
  const own = exports['default'];
  return isObject(own) && own['__esModule'] === true ? own['default'] : own;
}

function noApplication(exports: Exports, path: string, kind: ApplicationKind | undefined): GwanmunError {
  const where = { file: displayPath(path) };
  if (kind === 'node' || kind === 'fetch') {
    return new GwanmunError('GWM_NO_APPLICATION', `${where.file} does not export ${WHAT[kind]}`, {
      where,
      remedy:
        kind === 'node'
          ? 'write: export default (request, response) => { … }, or export default an Express application'
          : 'write: export default { fetch(request) { … } }',
    });
  }
  const found = exportNamed(exports, 'application');
  if (found !== undefined) {
    const type = found === null ? 'null' : `a value of type ${typeof found}`;
    return new GwanmunError('GWM_NO_APPLICATION', `${where.file} exports application, but it is ${type}`, { where });
  }
  const names = Object.keys(exports).filter((name) => name !== '__esModule' && name !== 'module.exports');
  const exported = names.length === 0 ? 'nothing' : names.join(', ');
  const meant = suggest('application', names) ?? names.find((name) => ['app', 'handler'].includes(name));
  return new GwanmunError('GWM_NO_APPLICATION', `${where.file} does not export application; it exports ${exported}`, {
    where,
    ...(names.length === 0 ? { remedy: `export one, or if it calls listen() itself: gwanmun run ${where.file}` } : {}),
    ...(meant === undefined ? {} : { remedy: `did you mean "${meant}"? then: export { ${meant} as application }` }),
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
