import type { CoreAddress } from '../config/core.js';
import { displayPath } from '../config/display-path.js';
import { processCount, type ResolvedConfig, type ResolvedMount } from '../config/resolve.js';
import { VERSION } from '../config/version.js';
import { createColors } from '../errors.js';

/** `http://127.0.0.1:3000`, `http://[::1]:3000` or `unix:/run/site.sock` */
export function formatAddress(address: CoreAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `http://${host}:${address.port}`;
}

/** What answers a mount: `public, then app.ts`, `mysite.wsgi:application (venv/bin/python)` */
export function formatAnswers({ files, application, wsgi }: ResolvedMount, config: ResolvedConfig): string {
  const module = application === undefined ? undefined : config.applications[application]?.module;
  const python = wsgi === undefined ? undefined : config.wsgi[wsgi];
  const answers = [files?.root, module].filter((part) => part !== undefined).map(displayPath);
  if (python !== undefined) answers.push(`${python.target} (${formatPython(python.python)})`);
  return answers.join(', then ');
}

function formatPython(python: string): string {
  return python.includes('/') ? displayPath(python) : python;
}

/** One line, for programs that wait for it: `gwanmun 0.1.0 listening on http://127.0.0.1:3000 (1 worker)`. */
export function readyLine(addresses: readonly CoreAddress[], workers: number): string {
  return `gwanmun ${VERSION} listening on ${addresses.map(formatAddress).join(', ')}${workerCount(workers)}`;
}

/** At most six lines, for a person at a terminal. */
export function banner(config: ResolvedConfig, addresses: readonly CoreAddress[], source: string): string {
  const c = createColors(true);
  const mounts = config.mounts.map((mount) => `  ${c.dim(mount.path.padEnd(8))} ${formatAnswers(mount, config)}`);
  const shown = mounts.length > 3 ? [...mounts.slice(0, 2), c.dim(`  and ${mounts.length - 2} more mounts`)] : mounts;
  const urls = addresses.map((address) => c.cyan(formatAddress(address))).join('  ');
  return [
    `${c.bold(`gwanmun ${VERSION}`)}  ${urls}${workerCount(processCount(config))}  ${c.dim(source)}`,
    ...shown,
    c.dim('  Ctrl-C stops'),
  ].join('\n');
}

function workerCount(workers: number): string {
  if (workers === 0) return '';
  return workers === 1 ? ' (1 worker)' : ` (${workers} workers)`;
}
