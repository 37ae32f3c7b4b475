// Finds and reads a configuration file.

import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { GwanmunError, systemFault } from '../errors.js';
import { checkConfig, type ConfigSource } from './check.js';
import { displayPath } from './display-path.js';
import { codeFrame } from './frame.js';
import { positionAt } from './locate.js';
import { describeImportFault, importModule } from './module.js';
import type { CheckedConfig } from './schema.js';

/** The names looked for in the current folder, in this order. */
export const CONFIG_NAMES: readonly string[] = ['ts', 'mts', 'js', 'mjs', 'json'].map((ext) => `gwanmun.config.${ext}`);

/** A configuration that has been read from a file and has the right shape. */
export interface LoadedConfig {
  readonly config: CheckedConfig;
  /** Absolute; what the paths in the configuration are relative to. */
  readonly directory: string;
  readonly source: ConfigSource;
}

/** The configuration file of a folder, or undefined. */
export function findConfig(directory: string): string | undefined {
  return CONFIG_NAMES.map((name) => resolve(directory, name)).find((path) => existsSync(path));
}

/** Reads the configuration file at a path. Throws GWM_CONFIG_… with the file, the line and every fault. */
export async function loadConfig(file: string): Promise<LoadedConfig> {
  const path = resolve(file);
  const name = displayPath(path);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const isThere = existsSync(path);
    const message = isThere ? `${name} cannot be read: ${(error as Error).message}` : `${name} does not exist`;
    const code = systemFault(error)?.code ?? (isThere ? 'GWM_CONFIG_LOAD' : 'GWM_CONFIG_NOT_FOUND');
    throw new GwanmunError(code, message, { cause: error });
  }
  const source: ConfigSource = { name, text };
  const exported = path.endsWith('.json') ? parseJson(source) : await importConfig(path, source);
  return { config: checkConfig(exported, source), directory: dirname(path), source };
}

function parseJson(source: ConfigSource): unknown {
  try {
    return JSON.parse(source.text ?? '');
  } catch (error) {
    const text = source.text ?? '';
    // V8 says a place at the end, or quotes the text; the place is ours to say, and the frame shows the text.
    const message = (error as SyntaxError).message.replace(
      /( \(line| in JSON at position|, (\.\.\.)?"|, "?undefined)[^]*$/,
      '',
    );
    const position = positionAt(text, jsonFaultAt(text));
    throw new GwanmunError('GWM_CONFIG_LOAD', `${source.name} is not valid JSON: ${message}`, {
      where: { file: source.name, ...position, frame: codeFrame(text, position) },
      cause: error,
    });
  }
}

/** The offset at which a text stops being JSON: V8 does not always say it. The shortest beginning that nothing could complete. */
function jsonFaultAt(text: string): number {
  let valid = 0;
  let faulty = text.length + 1;
  while (faulty - valid > 1) {
    const middle = (valid + faulty) >>> 1;
    if (isBeginningOfJson(text.slice(0, middle))) valid = middle;
    else faulty = middle;
  }
  return valid;
}

function isBeginningOfJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const { message } = error as SyntaxError;
    return /^Un(expected end|terminated string)/.test(message) || message.includes(`at position ${text.length}`);
  }
}

async function importConfig(path: string, source: ConfigSource): Promise<unknown> {
  let module: Record<string, unknown>;
  try {
    module = await importModule(path);
  } catch (error) {
    throw loadFault(error, path, source);
  }
  const exported = module['default'];
  if (exported === undefined) {
    const names = Object.keys(module).filter((name) => name !== '__esModule');
    const found = names.length > 0 ? `it exports ${names.join(', ')}` : 'it exports nothing';
    throw new GwanmunError('GWM_CONFIG_EXPORT', `${source.name} has no default export; ${found}`, {
      where: { file: source.name },
    });
  }
  if (typeof exported !== 'function') return exported;
  try {
    return await (exported as () => unknown)();
  } catch (error) {
    throw loadFault(error, path, source);
  }
}

function loadFault(error: unknown, path: string, source: ConfigSource): GwanmunError {
  const fault = describeImportFault(error, path);
  const isOwnImport = /Cannot find (?:package|module) 'gwanmun'/.test(fault.message);
  return new GwanmunError(systemFault(error)?.code ?? 'GWM_CONFIG_LOAD', `${source.name}: ${fault.message}`, {
    where: {
      file: fault.file === undefined ? source.name : displayPath(fault.file),
      line: fault.line,
      column: fault.column,
      frame: fault.frame,
    },
    remedy: isOwnImport
      ? `npm install gwanmun, in the folder of ${basename(path)}\nor leave defineConfig away: export default { mounts: […] }`
      : undefined,
    userStack: fault.stack,
    cause: error,
  });
}
