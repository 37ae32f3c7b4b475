// The commands. What a server needs in its whole life is imported with this module, for its files may be another version's by the time that
// it would be loaded; what the other commands need, they load themselves.

import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { wantsColor } from '../colors.js';
import { LocalFiles } from '../certificates/files.js';
import { CertificateStore, toCoreTls } from '../certificates/store.js';
import { loadConfigAfresh } from '../config/load-afresh.js';
import { CONFIG_NAMES, findConfig, loadConfig } from '../config/load.js';
import { mustAnswer } from '../config/paths.js';
import { resolveInTime, type ConfigInput } from '../config/resolve.js';
import { processCount, type ResolvedConfig } from '../config/resolved.js';
import { configForTarget } from '../config/target.js';
import { VERSION } from '../config/version.js';
import { GwanmunError, systemFault } from '../errors.js';
import { formatError } from '../format-error.js';
import { loadNative } from '../native.js';
import { checkPython } from '../supervisor/python-worker.js';
import type { ServerStatus } from '../supervisor/status.js';
import { parseCommand, suggestCommand, type Command, type Subject } from './arguments.js';
import { describeMounts, formatAddress } from './banner.js';
import { serve } from './serve.js';

/** Runs the command line and ends the process if it fails. Never rejects. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await runCommand(parseCommand(args));
  } catch (error) {
    // Not exitCode alone: what has been started may hold the event loop. Standard error is written synchronously.
    process.exit(printError(error));
  }
}

async function runCommand(command: Command): Promise<void> {
  switch (command.name) {
    case 'help': {
      const { helpText } = await import('./help.js');
      process.stdout.write(helpText(command.topic, wantsColor(process.stdout)));
      return;
    }
    case 'version':
      process.stdout.write(`gwanmun ${VERSION}\n`);
      return;
    case 'run':
      return (await import('./run-script.js')).runScript(command.script, command.args, command.accessLog);
    case 'check':
      return check(command.config);
    case 'init': {
      const { init } = await import('./init.js');
      process.stdout.write(init(command.folder ?? '.', wantsColor(process.stdout)));
      return;
    }
    case 'fetch': {
      const input = await findInput(command);
      const { fetchOnce } = await import('./fetch.js');
      const code = await fetchOnce(await resolveInTime(input), command.request);
      // What it printed may still be on its way through a pipe.
      process.stdout.write('', () => process.exit(code));
      return;
    }
    case 'control': {
      const { control } = await import('./control.js');
      const { stdout } = process;
      stdout.write(await control(command.request, command.target, command.isJson, wantsColor(stdout)));
      return;
    }
    case 'certificates': {
      const { certificatesOf } = await import('./control.js');
      const { stdout } = process;
      stdout.write(await certificatesOf(command.target, command.isJson, wantsColor(stdout)));
      return;
    }
    case 'hash-password': {
      const { hashPassword } = await import('./hash-password.js');
      process.stdout.write(await hashPassword(command.user));
      return;
    }
    case 'trust':
    case 'untrust': {
      const { trust } = await import('./trust.js');
      process.stdout.write(trust(command.name, command.isTold));
      return;
    }
    case 'serve': {
      const { target, config, development, kind } = command;
      const overrides = { ...command.overrides, development };
      const imports = development ? (await import('../config/follow-imports.js')).followImports() : undefined;
      const input = await findInput({ target, config, kind });
      const { name, text } = input.source;
      // A target that was named in its place has no text.
      const configFiles = imports && new Set(text === undefined ? [] : [realpathSync(name), ...imports.take()]);
      imports?.end();
      const addFiles = configFiles && ((files: readonly string[]) => files.forEach((file) => configFiles.add(file)));
      const resolved = await resolveInTime(input, overrides);
      const load = async (): Promise<ResolvedConfig> => {
        const afresh = (file: string): Promise<ConfigInput> => loadConfigAfresh(file, resolved.startTimeout, addFiles);
        return resolveInTime(await findInput({ target, config, kind }, afresh), overrides);
      };
      return serve(resolved, load, configFiles);
    }
  }
}

async function check(file: string | undefined): Promise<void> {
  const input = await findInput({ target: undefined, config: file });
  const config = await resolveInTime(input);
  for (const application of config.wsgi) checkPython(application);
  const { certificates, clientCertificates, keys } = await readCertificates(config);
  const { certificateTable } = await import('./certificates.js');
  const { costOf } = await import('./signing-cost.js');
  const costs = certificates.flatMap((certificate, index) => costOf(certificate, keys[index] ?? ''));
  const shown = { certificates, domains: [], clientCertificates };
  const table = certificateTable(shown, false) + costs.map((line) => `${line}\n`).join('');
  process.stdout.write(`✓ ${input.source.name} is valid\n${summary(config)}${table}`);
  const now = Date.now();
  const complain = (text: string): void => {
    process.stderr.write(`✗ ${text}, by the dates above\n`);
    process.exitCode = 1;
  };
  const unusable = certificates.filter(({ notBefore, notAfter }) => notAfter < now || notBefore > now);
  if (unusable.length > 0) complain(`clients refuse ${unusable.map(({ source }) => source).join(', ')}`);
  const { authorities = [], revocations = [] } = clientCertificates ?? {};
  const expired = [...authorities, ...revocations].filter(({ notAfter }) => notAfter < now);
  if (expired.length > 0)
    complain(`clients of ${[...new Set(expired.map(({ name }) => name))].join(', ')} are refused`);
}

/** The certificates as a server would have them, and their keys. Rejects with a GwanmunError that names those that cannot be used. */
async function readCertificates({
  tls,
}: ResolvedConfig): Promise<
  Pick<ServerStatus, 'certificates' | 'clientCertificates'> & { readonly keys: readonly string[] }
> {
  if (tls === undefined || tls.certificates === 'local') {
    return { certificates: [], clientCertificates: undefined, keys: [] };
  }
  const native = loadNative();
  const store = new CertificateStore({
    native,
    files: (onChange) => new LocalFiles(native.silentPaths, onChange),
    makeLocal: () => Promise.reject(new Error('there is none to be made')),
    apply: () => {},
    served: () => [],
    tell: () => {},
  });
  const loaded = await store.load(tls);
  store.adopt(loaded);
  const status = { certificates: store.status(), clientCertificates: store.clientsStatus() };
  store.end();
  return { ...status, keys: toCoreTls(loaded).certificates.map(({ key }) => key) };
}

function summary(config: ResolvedConfig): string {
  const { listen } = config;
  const workers = processCount(config);
  const lines = listen.map((address) => `  listen   ${formatAddress(address)}`);
  for (const { path, answers } of describeMounts(config)) lines.push(`  ${path.padEnd(8)} ${answers}`);
  if (workers > 0) lines.push(`  workers  ${workers}`);
  return `${lines.join('\n')}\n`;
}

/** What a target or a configuration asks for. */
async function findInput(
  { target, config: file, kind }: Subject,
  load: (file: string) => Promise<ConfigInput> = loadConfig,
): Promise<ConfigInput> {
  if (target !== undefined) {
    try {
      return await configForTarget(target, kind);
    } catch (error) {
      throw orCommand(error, target);
    }
  }
  const places = file === undefined ? CONFIG_NAMES : [file];
  await mustAnswer(
    places.map((name) => resolve(name)),
    'GWM_CONFIG_LOAD',
  );
  const found = file ?? findConfig(process.cwd());
  if (found !== undefined) return load(found);
  throw new GwanmunError(
    'GWM_NO_ENTRY',
    'There is nothing to serve here: no target, and no gwanmun.config.ts in this folder',
    {
      remedy: [
        'gwanmun ./public            # serve the files of a folder',
        'gwanmun app.ts              # serve a module that exports application()',
        'gwanmun --config FILE       # serve what a configuration says',
        'gwanmun init                # write a configuration and an application',
      ].join('\n'),
    },
  );
}

/** A word that is no file can be a misspelt command. */
function orCommand(error: unknown, target: string): unknown {
  const command = /[./]/.test(target) ? undefined : suggestCommand(target);
  if (!(error instanceof GwanmunError) || command === undefined || error.message.includes('did you mean')) return error;
  return new GwanmunError('GWM_USAGE', `there is no command and no file "${target}"; did you mean "${command}"?`);
}

/** Prints an error for people to standard error; returns the exit code. */
function printError(error: unknown): number {
  const color = wantsColor(process.stderr);
  const known = error instanceof GwanmunError ? error : systemFault(error);
  if (known !== undefined) {
    process.stderr.write(`${formatError(known, { color })}\n`);
    return known.exitCode;
  }
  const fault = new GwanmunError('GWM_CORE', error instanceof Error ? error.message : String(error), {
    userStack: error instanceof Error ? error.stack : undefined,
    remedy: 'this looks like a bug in gwanmun; please report it with the lines above',
  });
  process.stderr.write(`${formatError(fault, { color })}\n`);
  return fault.exitCode;
}
