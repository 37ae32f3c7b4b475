// A certificate authority of this user's own, for development: its root is valid for local names alone, and its key never leaves the user's
// data folder.

import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { GwanmunError } from '../errors.js';
import { authorityFolder, rootFile } from './authority-folder.js';
import { certify, dnsName, extension, ipAddress, keyIdentifier } from './certify.js';
import { bits, context, contextBytes, integer, octets, oid, sequence, yes } from './der.js';
import type { MadeCertificate } from './kept-certificate.js';

const DAY_MS = 86_400_000;
const ROOT_DAYS = 3652;
/** Browsers take no certificate of more than 398 days. */
const LEAF_DAYS = 90;
/** Clocks differ. */
const BEFORE_MS = 3_600_000;

export class LocalAuthority {
  readonly #folder: string;
  #made: Leaf | undefined;

  constructor(folder: string = authorityFolder()) {
    this.#folder = folder;
  }

  /** The certificate for `localhost`, `*.localhost` and this machine's loopback addresses; a new one when a third of its time is left. Throws GWM_CERT_LOCAL. */
  certificate(): MadeCertificate {
    if (this.#made !== undefined && Date.now() < this.#made.renewAt) return this.#made;
    try {
      this.#made = this.#keptLeaf() ?? this.#makeLeaf();
      return this.#made;
    } catch (error) {
      throw inFolder(this.#folder, error);
    }
  }

  /** The root's certificate, which is made if there is none. Throws GWM_CERT_LOCAL. */
  root(): { readonly pem: string; readonly file: string } {
    try {
      const { cert } = this.#root();
      return { pem: cert, file: rootFile(this.#folder) };
    } catch (error) {
      throw inFolder(this.#folder, error);
    }
  }

  #keptLeaf(): Leaf | undefined {
    const root = this.#root();
    const text = readIfThere(join(this.#folder, 'localhost.pem'));
    if (text === undefined) return undefined;
    try {
      const parsed = new X509Certificate(text);
      const [cert = '', key = ''] = text.match(/-----BEGIN [^]*?-----END [^\n]*\n/g) ?? [];
      const isOurs =
        parsed.verify(new X509Certificate(root.cert).publicKey) && parsed.checkPrivateKey(createPrivateKey(key));
      const renewAt = renewalOf(Date.parse(parsed.validFrom), Date.parse(parsed.validTo));
      return isOurs && Date.now() < renewAt ? { cert, key, renewAt } : undefined;
    } catch {
      return undefined; // It is damaged: another one is made.
    }
  }

  #makeLeaf(): Leaf {
    const root = this.#root();
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const now = Date.now();
    const [from, to] = [now - BEFORE_MS, now + LEAF_DAYS * DAY_MS];
    const cert = certify({
      subject: 'localhost',
      issuer: root.name,
      spki: publicKey.export({ type: 'spki', format: 'der' }),
      from,
      to,
      signer: root.key,
      extensions: leafExtensions(publicKey, root.publicKey),
    });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    replace(join(this.#folder, 'localhost.pem'), cert + key, 0o600);
    return { cert, key, renewAt: renewalOf(from, to) };
  }

  #root(): Root {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const file = join(this.#folder, 'root-key.pem');
    const text = readIfThere(file) ?? this.#makeRoot(file);
    const { uid, mode } = statSync(file);
    if (uid !== process.geteuid?.()) throw new Error(`${file} belongs to another user`);
    if ((mode & 0o077) !== 0) chmodSync(file, 0o600);
    const [cert = '', keyText = ''] = text.match(/-----BEGIN [^]*?-----END [^\n]*\n/g) ?? [];
    const key = createPrivateKey(keyText);
    const parsed = new X509Certificate(cert);
    if (Date.parse(parsed.validTo) < Date.now()) {
      rmSync(file);
      return this.#root();
    }
    const known = rootFile(this.#folder);
    if (readIfThere(known) !== cert) replace(known, cert, 0o644);
    return { cert, key, publicKey: parsed.publicKey, name: /CN=(.*)/.exec(parsed.subject)?.[1] ?? '' };
  }

  /** Several servers may start for the first time at once: the first one's is everybody's. */
  #makeRoot(file: string): string {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    // Without what would be written otherwise in the certificate's own description, from which it is read again.
    const name = `gwanmun for ${userInfo().username} on ${hostname()}`
      .replaceAll(/[^\w.@ -]/g, '_')
      .slice(0, 64)
      .trim();
    const now = Date.now();
    const cert = certify({
      subject: name,
      issuer: name,
      spki: publicKey.export({ type: 'spki', format: 'der' }),
      from: now - BEFORE_MS,
      to: now + ROOT_DAYS * DAY_MS,
      signer: privateKey,
      extensions: rootExtensions(publicKey),
    });
    const text = cert + (privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    const temporary = `${file}.${process.pid}.tmp`;
    writeFileSync(temporary, text, { mode: 0o600 });
    try {
      linkSync(temporary, file);
      return text;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      return readFileSync(file, 'utf8');
    } finally {
      rmSync(temporary, { force: true });
    }
  }
}

interface Leaf extends MadeCertificate {
  readonly renewAt: number;
}

interface Root {
  readonly cert: string;
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
  readonly name: string;
}

function renewalOf(from: number, to: number): number {
  return to - (to - from) / 3;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function replace(file: string, text: string, mode: number): void {
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode });
  renameSync(temporary, file);
}

function inFolder(folder: string, error: unknown): GwanmunError {
  const message = `a certificate for this machine cannot be made in ${folder}: ${(error as Error).message}`;
  return new GwanmunError('GWM_CERT_LOCAL', message, { cause: error });
}

const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);
const ones = (count: number): number[] => Array.from({ length: count }, () => 0xff);
const LOOPBACK_6 = [...zeros(15), 1];

/** A root that got into other hands could still certify nothing but what is on this machine, and names that are nobody's in public (RFC 6761, RFC 9476). */
function rootExtensions(key: KeyObject): Buffer {
  const permitted = [
    dnsName('localhost'),
    dnsName('test'),
    dnsName('internal'),
    ipAddress([127, 0, 0, 0, 255, 0, 0, 0]),
    ipAddress([...LOOPBACK_6, ...ones(16)]),
  ];
  return sequence(
    extension('basicConstraints', sequence(yes(), integer(Buffer.from([0]))), true),
    // keyCertSign and cRLSign
    extension('keyUsage', bits(Buffer.from([0x06]), 1), true),
    extension('nameConstraints', sequence(context(0, ...permitted.map((name) => sequence(name)))), true),
    extension('subjectKeyIdentifier', octets(keyIdentifier(key))),
  );
}

function leafExtensions(key: KeyObject, issuer: KeyObject): Buffer {
  const names = [dnsName('localhost'), dnsName('*.localhost'), ipAddress([127, 0, 0, 1]), ipAddress(LOOPBACK_6)];
  return sequence(
    extension('basicConstraints', sequence(), true),
    // digitalSignature
    extension('keyUsage', bits(Buffer.from([0x80]), 7), true),
    // serverAuth
    extension('extendedKeyUsage', sequence(oid('1.3.6.1.5.5.7.3.1'))),
    extension('subjectAltName', sequence(...names)),
    extension('subjectKeyIdentifier', octets(keyIdentifier(key))),
    extension('authorityKeyIdentifier', sequence(contextBytes(0, keyIdentifier(issuer)))),
  );
}
