// Requests for certificates, as openssl reads them.

import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { certificateKey, certificateRequest } from '../../src/acme/request.js';

test.each([
  ['ecdsa', 'a.example', 'DNS:a.example', 'ASN1 OID: prime256v1'],
  ['rsa', 'a.example', 'DNS:a.example', '(2048 bit)'],
  ['ecdsa', '2001:db8::1', 'IP Address:2001:DB8:0:0:0:0:0:1', 'ASN1 OID: prime256v1'],
] as const)('T152 %s for %s has the name, and nothing that authorities refuse', (type, domain, name, key) => {
  const der = certificateRequest(domain, certificateKey(type));
  const text = execFileSync('openssl', ['req', '-inform', 'der', '-noout', '-text', '-verify'], {
    input: der,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  expect(text.replaceAll(/\s+/g, ' ')).toContain(`X509v3 Subject Alternative Name: ${name} `);
  expect(text).toContain(key);
  expect(text).toMatch(/Subject: *\n/);
  expect(text.match(/X509v3 [^:\n]+:/g)).toEqual(['X509v3 Subject Alternative Name:']);
});

test('T152 every request has a key of its own', () => {
  const [one, other] = [certificateKey('ecdsa'), certificateKey('ecdsa')];
  expect(one.equals(other)).toBe(false);
});
