// The hooks of a configuration.

import type { Hooks } from '../config/define.js';
import { framesOf } from '../stack.js';
import type { ServerEvent } from './event.js';

/** Calls a hook, if there is one. What it throws or rejects with is told, and stops nothing. */
export function callHook<Name extends keyof Hooks>(
  hooks: Hooks,
  name: Name,
  info: Parameters<NonNullable<Hooks[Name]>>[0],
  tell: (event: ServerEvent) => void,
): void {
  const hook = hooks[name] as ((about: typeof info) => unknown) | undefined;
  if (hook === undefined) return;
  Promise.resolve(info)
    .then(hook)
    .catch((error: unknown) => {
      const stack = error instanceof Error ? framesOf(error.stack ?? '').join('\n') : undefined;
      tell({ level: 'warn', event: 'hook-failed', message: `the hook ${name} failed: ${String(error)}`, stack });
    });
}
