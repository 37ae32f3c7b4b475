// gwanmun trust and untrust: says what it would change, and changes it when told.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { authorityFolder, rootFile } from '../certificates/authority-folder.js';
import { LocalAuthority } from '../certificates/authority.js';
import { trustStores, type CommandLine, type Machine, type TrustStore } from '../certificates/trust-stores.js';
import { GwanmunError } from '../errors.js';

const MACHINE: Machine = { root: '/', home: homedir(), env: process.env };

/** What is to be printed. Throws GWM_TRUST if a store could not be changed. */
export function trust(command: 'trust' | 'untrust', isTold: boolean, machine: Machine = MACHINE): string {
  const folder = authorityFolder(machine.env);
  const file = rootFile(folder);
  if (command === 'untrust' && !existsSync(file)) return `there is no root of gwanmun's: ${file} does not exist\n`;
  const root = command === 'trust' ? new LocalAuthority(folder).root().pem : readFileSync(file, 'utf8');
  const stores = trustStores(root, file, machine);
  const lines = isTold ? change(stores, command, machine) : plan(stores, command, file);
  return [...lines, '', ...(command === 'trust' ? without(file) : [])].join('\n');
}

function plan(stores: readonly TrustStore[], command: 'trust' | 'untrust', file: string): string[] {
  const what = command === 'trust' ? `have ${file} trusted by` : `have ${file} not trusted any more by`;
  if (stores.length === 0) return [`gwanmun knows no store of certificates on this machine; this is the root: ${file}`];
  return [
    `gwanmun ${command} --yes would ${what}`,
    ...stores.flatMap((store) => ['', `  ${store.name}`, ...commandsOf(store, command)]),
    '',
    ...(command === 'trust'
      ? ['The root is valid for localhost, the loopback addresses, and names below .test and .internal alone.']
      : []),
    'Nothing has changed yet.',
  ];
}

/** What this user would type. */
function commandsOf(store: TrustStore, command: 'trust' | 'untrust'): string[] {
  if (store.lacks !== undefined) return [`    needs ${store.lacks}`];
  const prefix = store.needsRoot && process.getuid?.() !== 0 ? 'sudo ' : '';
  return (command === 'trust' ? store.add : store.remove).map((words) => `    ${prefix}${words.map(quoted).join(' ')}`);
}

function change(stores: readonly TrustStore[], command: 'trust' | 'untrust', { env }: Machine): string[] {
  const lines: string[] = [];
  const faults: string[] = [];
  for (const store of stores) {
    if (store.lacks !== undefined) {
      lines.push(`! not changed: ${store.name}: it needs ${store.lacks}`);
    } else if (store.needsRoot && process.getuid?.() !== 0) {
      lines.push(`! not changed: ${store.name}: that is for root to do:`, ...commandsOf(store, command));
    } else {
      const fault = runAll(command === 'trust' ? store.add : store.remove, env);
      if (fault === undefined) lines.push(`✓ ${command === 'trust' ? '' : 'not '}trusted by ${store.name}`);
      // What is not there need not be removed.
      else if (command === 'trust' || store.needsRoot) faults.push(`${store.name}: ${fault}`);
      else lines.push(`✓ not trusted by ${store.name}`);
    }
  }
  if (faults.length > 0) throw new GwanmunError('GWM_TRUST', faults.join('; '));
  return lines.length === 0 ? ['gwanmun knows no store of certificates on this machine'] : lines;
}

/** What went wrong first; what would come behind it is not done. */
function runAll(commands: readonly CommandLine[], env: NodeJS.ProcessEnv): string | undefined {
  for (const words of commands) {
    const fault = run(words, env);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function run([program = '', ...args]: CommandLine, env: NodeJS.ProcessEnv): string | undefined {
  const path = `${env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  const { error, status, stderr } = spawnSync(program, args, { encoding: 'utf8', env: { ...env, PATH: path } });
  if (error !== undefined) return error.message;
  return status === 0 ? undefined : `${program} ended with ${status}: ${stderr.trim()}`;
}

/** For programs that have a list of their own, and for who wants no store changed. */
function without(file: string): string[] {
  const isContainer = existsSync('/.dockerenv') || existsSync('/run/.containerenv');
  return [
    `curl      curl --cacert ${quoted(file)} https://localhost:3000`,
    `Node.js   NODE_EXTRA_CA_CERTS=${quoted(file)} node client.js`,
    `Python    SSL_CERT_FILE=${quoted(file)} python client.py`,
    ...(isContainer ? [`This is a container. For clients outside: docker cp CONTAINER:${quoted(file)} .`] : []),
    '',
  ];
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
