// A GwanmunError as it is printed for a person.

import { createColors } from './colors.js';
import { formatWhere, type GwanmunError, type Where } from './errors.js';
import type { ErrorCode } from './error-entries.js';

/**
 * The error as a person reads it, without a final newline:
 *
 *     ✗ GWM_PORT_IN_USE  Port 3000 of 127.0.0.1 is in use
 *       at gwanmun.config.ts:3:13  listen.port
 *       try: stop the other program, or …
 *       more: gwanmun help GWM_PORT_IN_USE
 */
export function formatError(error: GwanmunError, options: { color?: boolean } = {}): string {
  const c = createColors(options.color ?? false);
  const lines = [`${c.red('✗')} ${c.bold(error.code)}  ${error.message}`];
  if (error.where) lines.push(`  ${c.dim('at')} ${formatWhere(error.where)}`, ...frameLines(error.where));
  if (error.origin) lines.push(`  ${c.dim('for')} ${formatWhere(error.origin)}`);
  const { problems = [] } = error;
  for (const problem of problems) {
    lines.push('', `  ${c.yellow(formatWhere(problem.where ?? {}))}`, `    ${problem.message}`);
  }
  if (problems.length > 0) lines.push('');
  if (error.userStack !== undefined) lines.push(...error.userStack.split('\n').map((line) => `    ${c.dim(line)}`));
  const [first = '', ...rest] = error.remedy.split('\n');
  lines.push(`  ${c.green('try:')} ${first}`, ...rest.map((line) => `       ${line}`));
  if (!SELF_EXPLAINING.has(error.code)) lines.push(`  ${c.dim(`more: gwanmun help ${error.code}`)}`);
  return lines.join('\n');
}

/** Slips at the command line, whose remedy is all that there is to say. */
const SELF_EXPLAINING: ReadonlySet<ErrorCode> = new Set(['GWM_USAGE', 'GWM_TARGET', 'GWM_NO_ENTRY', 'GWM_INIT_EXISTS']);

function frameLines({ frame }: Where): string[] {
  return frame === undefined ? [] : frame.split('\n').map((line) => `    ${line}`);
}
