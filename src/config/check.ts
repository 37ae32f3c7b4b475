import * as v from 'valibot';
import { GwanmunError, type Problem, type Where } from '../errors.js';
import { locate, type KeyPath } from './locate.js';
import { configSchema, type CheckedConfig } from './schema.js';

/** A configuration file as messages name it, with its text for line numbers. */
export interface ConfigSource {
  /** As the user would write it: relative to the current folder where that is shorter. */
  readonly name: string;
  readonly text?: string | undefined;
  /** It is a folder or a module that was named in the configuration's place. */
  readonly isTarget?: boolean | undefined;
}

/** A fault of one key. */
export interface ConfigFault {
  readonly path: KeyPath;
  readonly message: string;
}

/** Checks a configuration's shape. Throws one GWM_CONFIG_INVALID that names every fault. */
export function checkConfig(input: unknown, source: ConfigSource): CheckedConfig {
  const result = v.safeParse(configSchema, input);
  if (result.success) return result.output;
  throw invalidConfig(result.issues.map(faultOf), source);
}

/** GWM_CONFIG_INVALID for these faults, each with its place in the source. */
export function invalidConfig(faults: readonly ConfigFault[], source: ConfigSource): GwanmunError {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const { path, message } of faults) {
    const key = formatPath(path);
    // A number that is neither whole nor in range is one fault.
    if (seen.has(key)) continue;
    seen.add(key);
    problems.push({ message, where: place(path, source) });
  }
  const [only] = problems;
  if (problems.length === 1 && only !== undefined) {
    const key = only.where?.key;
    return new GwanmunError('GWM_CONFIG_INVALID', key === undefined ? only.message : `${key}: ${only.message}`, {
      where: only.where,
    });
  }
  return new GwanmunError('GWM_CONFIG_INVALID', `${source.name} has ${problems.length} faults`, { problems });
}

/** `mounts[1].files` */
export function formatPath(path: KeyPath): string {
  return path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('');
}

/** A key's place in the source: file, line, column. */
export function place(path: KeyPath, source: ConfigSource): Where {
  // A missing key is nowhere: then the object that lacks it is the place.
  const text = source.text;
  const position = text === undefined ? undefined : (locate(text, path) ?? locate(text, path.slice(0, -1)));
  return { file: source.name, ...position, key: formatPath(path) || undefined };
}

function faultOf(issue: v.BaseIssue<unknown>): ConfigFault {
  const path = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)));
  const message =
    issue.message.startsWith('expected') && !issue.message.includes(', got ')
      ? `${issue.message}, got ${issue.received}`
      : issue.message;
  return { path, message };
}
