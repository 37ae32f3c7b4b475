// An authority for certificates of clients, as an operator would run it with openssl.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Made } from './made.js';

/** What is not as usual about a client's certificate. */
export interface Wishes {
  /** Days from now on. */
  from?: number;
  to?: number;
  usage?: 'clientAuth' | 'serverAuth';
}

const DAY_MS = 86_400_000;

/** In openssl's form. */
const at = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString().replaceAll(/[-:T]|\.\d+/g, '');

export class ClientAuthority implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'gwanmun-clients-'));
  /** Its own certificate. */
  readonly pem: string;
  #count = 0;

  constructor(name = 'Ops', { to = 365 }: Pick<Wishes, 'to'> = {}) {
    const config = `[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem
private_key=ca-key.pem\ndefault_md=sha256\ndefault_days=30\ndefault_crl_days=30\ncrl_extensions=list\npolicy=any\nunique_subject=no\nemail_in_dn=no
string_mask=utf8only\n[any]\norganizationName=optional\ncommonName=supplied\n[clientAuth]\nextendedKeyUsage=clientAuth
[serverAuth]\nextendedKeyUsage=serverAuth\n[root]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign
subjectKeyIdentifier=hash\n[list]\nauthorityKeyIdentifier=keyid:always\n`;
    this.#put('ca.cnf', config);
    this.#put('index.txt', '');
    this.#put('serial', '8F01\n');
    this.#request('ca', `/CN=${name}`);
    // prettier-ignore
    this.#openssl('ca', '-batch', '-notext', '-selfsign', '-config', 'ca.cnf', '-keyfile', 'ca-key.pem', '-in', 'ca.csr', '-out',
      'ca.pem', '-extensions', 'root', '-startdate', at(-100), '-enddate', at(to));
    this.pem = this.#get('ca.pem');
  }

  /** A certificate for a client, with its key. */
  issue(
    subject = '/O=Ex, Ltd/CN=alice',
    { from = -1, to = 30, usage = 'clientAuth' }: Wishes = {},
  ): Made & { file: string } {
    const name = `client${(this.#count += 1)}`;
    this.#request(name, subject);
    // prettier-ignore
    this.#openssl('ca', '-batch', '-notext', '-config', 'ca.cnf', '-in', `${name}.csr`, '-out', `${name}.pem`, '-extensions', usage,
      '-startdate', at(from), '-enddate', at(to));
    const made = { cert: this.#get(`${name}.pem`), key: this.#get(`${name}-key.pem`) };
    const file = join(this.folder, `${name}-both.pem`);
    writeFileSync(file, made.cert + made.key);
    return { ...made, file };
  }

  revoke({ file }: { file: string }): void {
    this.#openssl('ca', '-config', 'ca.cnf', '-revoke', file.replace('-both', ''));
  }

  /** The list of what it has revoked so far, which has to be renewed after so many days. */
  list(to = 30): string {
    // prettier-ignore
    this.#openssl('ca', '-config', 'ca.cnf', '-gencrl', '-out', 'crl.pem', '-crl_lastupdate', at(Math.min(to, 0) - 1), '-crl_nextupdate', at(to));
    return this.#get('crl.pem');
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }

  #request(name: string, subject: string): void {
    // prettier-ignore
    this.#openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-utf8', '-subj', subject, '-keyout',
      `${name}-key.pem`, '-out', `${name}.csr`);
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] });
  }

  #get(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  #put(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }
}
