// Where clients on this machine look for authorities that they trust: the system's folder, and the databases of browsers.

import { createHash, X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program and its arguments. */
export type CommandLine = readonly string[];

/** A place in which the root is trusted, or would be. */
export interface TrustStore {
  /** Completes "trusted by …". */
  readonly name: string;
  readonly add: readonly CommandLine[];
  readonly remove: readonly CommandLine[];
  readonly needsRoot: boolean;
  /** A program that is not there, and the package that has it. */
  readonly lacks?: string;
}

/** The folders of the known systems, each with the program that makes them count. */
const SYSTEMS: readonly (readonly [folder: string, update: string])[] = [
  ['/usr/local/share/ca-certificates', 'update-ca-certificates'],
  ['/etc/pki/ca-trust/source/anchors', 'update-ca-trust'],
  ['/etc/ca-certificates/trust-source/anchors', 'update-ca-trust'],
  ['/etc/pki/trust/anchors', 'update-ca-certificates'],
];

export interface Machine {
  /** `/` but in tests. */
  readonly root: string;
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
}

/** The stores of a machine for a root certificate. */
export function trustStores(pem: string, file: string, { root, home, env }: Machine): TrustStore[] {
  const id = createHash('sha256').update(new X509Certificate(pem).raw).digest('hex').slice(0, 8);
  const has = (program: string): boolean =>
    [...(env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((folder) => existsSync(join(folder, program)));
  const stores: TrustStore[] = [];
  const system = SYSTEMS.find(([folder, update]) => isFolder(join(root, folder)) && has(update));
  if (system !== undefined) {
    const [folder, update] = system;
    const copy = join(root, folder, `gwanmun-${id}.crt`);
    stores.push({
      name: 'the system: curl, Python and others',
      add: [['install', '-m', '644', file, copy], [update]],
      remove: [['rm', '-f', copy], [update]],
      needsRoot: true,
    });
  }
  for (const folder of nssFolders(home)) {
    const database = `sql:${folder}`;
    stores.push({
      name: `browsers by ${folder}`,
      add: [['certutil', '-A', '-d', database, '-n', `gwanmun ${id}`, '-t', 'C,,', '-i', file]],
      remove: [['certutil', '-D', '-d', database, '-n', `gwanmun ${id}`]],
      needsRoot: false,
      ...(has('certutil') ? {} : { lacks: 'certutil, of the package libnss3-tools or nss-tools' }),
    });
  }
  return stores;
}

/** Chromium's, and one for each profile of Firefox. */
function nssFolders(home: string): string[] {
  const firefox = ['.mozilla/firefox', 'snap/firefox/common/.mozilla/firefox'].map((path) => join(home, path));
  const profiles = firefox.flatMap((folder) => namesIn(folder).map((name) => join(folder, name)));
  return [join(home, '.pki/nssdb'), ...profiles].filter((folder) => existsSync(join(folder, 'cert9.db')));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
