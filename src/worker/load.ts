// Loads an application: the module of the user's that exports a function named `application`.

import { describeImportFault, importModule } from '../config/module.js';
import { displayPath } from '../config/display-path.js';
import { suggest } from '../config/suggest.js';
import { GwanmunError } from '../errors.js';
import type { Application } from '../gateway/types.js';

/** Imports the module at an absolute path. Throws GWM_APP_… or GWM_NO_APPLICATION with the user's file and line. */
export async function loadApplication(path: string): Promise<Application> {
  let module: Record<string, unknown>;
  try {
    module = await importModule(path);
  } catch (error) {
    const { isSyntax, message, file = path, line, column, stack } = describeImportFault(error, path);
    throw new GwanmunError(isSyntax ? 'GWM_APP_SYNTAX' : 'GWM_APP_FAILED', `${displayPath(path)}: ${message}`, {
      where: { file: displayPath(file), line, column },
      userStack: stack,
      cause: error,
    });
  }
  const application = exportNamed(module, 'application');
  if (typeof application === 'function') return application as Application;
  throw noApplication(module, application, path);
}

/** A CommonJS module's exports are reached through its default export. */
function exportNamed(module: Record<string, unknown>, name: string): unknown {
  if (module[name] !== undefined) return module[name];
  const fallback = module['default'];
  return isObject(fallback) ? fallback[name] : undefined;
}

function noApplication(module: Record<string, unknown>, found: unknown, path: string): GwanmunError {
  const where = { file: displayPath(path) };
  if (found !== undefined) {
    const kind = found === null ? 'null' : `a value of type ${typeof found}`;
    return new GwanmunError('GWM_NO_APPLICATION', `${where.file} exports application, but it is ${kind}`, { where });
  }
  const names = Object.keys(module).filter((name) => name !== '__esModule' && name !== 'module.exports');
  const exported = names.length === 0 ? 'nothing' : names.join(', ');
  const meant = suggest('application', names) ?? names.find((name) => ['app', 'default', 'handler'].includes(name));
  return new GwanmunError('GWM_NO_APPLICATION', `${where.file} does not export application; it exports ${exported}`, {
    where,
    ...(meant === undefined
      ? {}
      : {
          remedy:
            meant === 'default'
              ? 'name it: export function application(environ, startResponse) { … }'
              : `did you mean "${meant}"? then: export { ${meant} as application }`,
        }),
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
