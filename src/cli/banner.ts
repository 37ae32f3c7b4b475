// What is said when the server is ready: a few lines for a person at a terminal, elsewhere one line in the format of the log.

import type { CoreAddress, CoreUpstream } from '../config/core.js';
import { displayPath } from '../config/display-path.js';
import { processCount, type ResolvedConfig, type ResolvedMount } from '../config/resolved.js';
import { VERSION } from '../config/version.js';
import { createColors } from '../colors.js';

/** `http://127.0.0.1:3000`, `https://[::1]:3000` or `unix:/run/site.sock` */
export function formatAddress(address: CoreAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${address.tls === true ? 'https' : 'http'}://${host}:${address.port}`;
}

/** What answers a mount: `public, then app.ts`, `mysite.wsgi:application (venv/bin/python)`, `→ /new (308)` */
export function formatAnswers(
  { files, application, wsgi, fastcgi, cgi, rules }: ResolvedMount,
  config: ResolvedConfig,
): string {
  if (rules.redirect !== undefined) return `→ ${rules.redirect.to} (${rules.redirect.status})`;
  if (rules.respond !== undefined) return `a fixed answer (${rules.respond.status})`;
  const module = application === undefined ? undefined : config.applications[application]?.module;
  const python = wsgi === undefined ? undefined : config.wsgi[wsgi];
  const answers = [files?.root, module].filter((part) => part !== undefined).map(displayPath);
  if (python !== undefined) answers.push(`${python.target} (${formatPython(python.python)})`);
  const address = fastcgi && config.upstreams[fastcgi.upstream]?.address;
  if (address !== undefined) answers.push(`FastCGI ${formatUpstream(address)}`);
  const programs = cgi && config.upstreams[cgi.upstream]?.address;
  if (programs !== undefined) answers.push(`CGI ${formatUpstream(programs)}`);
  return answers.join(', then ');
}

function formatUpstream(address: CoreUpstream['address']): string {
  if (address.kind === 'processes') return displayPath(address.folder);
  if (address.kind === 'unix') return `unix:${address.path}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function formatPython(python: string): string {
  return python.includes('/') ? displayPath(python) : python;
}

/** What answers at each mount, as the user would write it. */
export function describeMounts(config: ResolvedConfig): { path: string; answers: string }[] {
  return config.mounts.map((mount) => ({ path: mount.path, answers: formatAnswers(mount, config) }));
}

/** A server that has become ready. */
export interface Ready {
  readonly config: ResolvedConfig;
  /** Where it really listens. */
  readonly addresses: readonly CoreAddress[];
  /** Milliseconds since the start of the process. */
  readonly ms: number;
}

/** A line of a log, for programs that wait for it; the fields of its JSON are documented in docs/configuration.md. */
export function readyLine({ config, addresses, ms }: Ready): string {
  const urls = addresses.map(formatAddress);
  const time = new Date().toISOString();
  const msg = `gwanmun ${VERSION} listening on ${urls.join(', ')}`;
  const workers = processCount(config);
  const { name } = config.origin.source;
  const readyMs = Math.round(ms);
  if (config.errorLog.format === 'text') {
    return `${time} info ${[msg, ...formatWorkers(workers), name, `ready in ${readyMs} ms`].join(' · ')}`;
  }
  const mounts = config.mounts.length;
  const facts = { urls, workers, mounts, config: name, readyMs, pid: process.pid, version: VERSION };
  return JSON.stringify({ time, level: 'info', event: 'listening', msg, ...facts });
}

/** `2 workers`; nothing where files alone are served. */
function formatWorkers(count: number): string[] {
  return count === 0 ? [] : [count === 1 ? '1 worker' : `${count} workers`];
}

/** How many mounts are shown, if there are more. */
const SHOWN = 2;

/** At most six lines, for a person at a terminal. */
export function banner({ config, addresses, ms }: Ready, color: boolean): string {
  const c = createColors(color);
  const [url = '', ...urls] = addresses.map((address) => c.cyan(formatAddress(address)));
  const mounts = describeMounts(config);
  const shown = mounts.length > SHOWN + 1 ? mounts.slice(0, SHOWN) : mounts;
  const width = Math.max(...shown.map(({ path }) => path.length));
  const lines = shown.map(({ path, answers }) => `  ${path.padEnd(width)}  ${c.dim(answers)}`);
  if (shown.length < mounts.length) lines.push(c.dim(`  and ${mounts.length - shown.length} more mounts`));
  const more = urls.length > 0 ? `  ${urls.join('  ')}` : '';
  const workers = formatWorkers(processCount(config));
  return [
    `${c.bold(`gwanmun ${VERSION}`)}  ${c.green('ready')} in ${Math.round(ms)} ms`,
    `  ${url}${more}`,
    ...lines,
    c.dim(`  ${[...workers, config.origin.source.name, 'Ctrl-C stops'].join(' · ')}`),
  ].join('\n');
}
