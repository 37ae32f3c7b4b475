// testssl.sh, which knows what is weak: protocols, suites, groups, the certificate's form, known attacks, and how odd clients are taken.

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { TlsCore } from './core.js';

const isMissing = spawnSync('testssl', ['--version'], { stdio: 'ignore' }).error !== undefined;
if (isMissing) process.stderr.write('SKIPPED: testssl.sh: it is not installed (apt-get install testssl.sh)\n');

interface Finding {
  id: string;
  severity: string;
  finding: string;
}

/** Of a private authority, that none can ask whether a certificate is revoked. */
const EXPECTED = new Set(['cert_revocation']);
/** Above LOW. A WARN is of what it could not try: with the machine's OpenSSL, or on a busy machine. */
const WEAK = new Set(['MEDIUM', 'HIGH', 'CRITICAL', 'FATAL']);

/** A certificate as public authorities issue them, by one of the test's own. */
function issue(folder: string): { label: string; cert: string; key: string; isDefault: boolean } {
  const file = (name: string): string => join(folder, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });
  openssl(
    'req',
    '-x509',
    ...curve,
    '-days',
    '300',
    '-subj',
    '/CN=Test',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
  );
  openssl('req', '-new', ...curve, '-subj', '/CN=localhost', '-keyout', file('leaf.key'), '-out', file('leaf.csr'));
  const extensions = ['subjectAltName=DNS:localhost', 'extendedKeyUsage=serverAuth', 'keyUsage=digitalSignature'];
  writeFileSync(file('extensions'), `${extensions.join('\n')}\n`);
  const issued = [
    '-CA',
    file('ca.pem'),
    '-CAkey',
    file('ca.key'),
    '-extfile',
    file('extensions'),
    '-out',
    file('leaf.pem'),
  ];
  openssl('x509', '-req', '-in', file('leaf.csr'), '-days', '80', ...issued);
  const [cert, key] = [readFileSync(file('leaf.pem'), 'utf8'), readFileSync(file('leaf.key'), 'utf8')];
  return { label: 'leaf', cert, key, isDefault: false };
}

describe.skipIf(isMissing)('testssl.sh', () => {
  test('T101 T105 T131 finds nothing weak', { timeout: 400_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gwanmun-testssl-'));
    try {
      await using server = new TlsCore([issue(folder)]);
      const report = join(folder, 'report.json');
      const quiet = ['--color', '0', '--quiet', '--warnings', 'off', '--nodns', 'none', '--fast'];
      const all = ['-p', '-s', '-f', '-S', '-U', '-g', '--add-ca', join(folder, 'ca.pem'), '--jsonfile', report];
      const options = { timeout: 380_000, maxBuffer: 10_000_000, cwd: folder };
      // Its exit code counts what it has found.
      await promisify(execFile)('testssl', [...quiet, ...all, `https://localhost:${server.port}`], options).catch(
        (error: unknown) => error,
      );
      const findings = JSON.parse(readFileSync(report, 'utf8')) as Finding[];
      const offered = findings.filter(({ id, finding }) => /^TLS1_[23]$/.test(id) && finding.startsWith('offered'));
      expect(offered.map(({ id }) => id)).toEqual(['TLS1_2', 'TLS1_3']);
      expect(findings.map(({ id }) => id)).toEqual(
        expect.arrayContaining(['heartbleed', 'secure_client_renego', 'LUCKY13']),
      );
      const weak = findings.filter(({ id, severity }) => WEAK.has(severity) && !EXPECTED.has(id));
      expect(weak).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
