// An authority as a function: it signs what it is sent, and does what a test tells it to.

import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { Fetch, FetchRequest, FetchResponse } from '../../src/acme/fetch.js';
import { certify, dnsName, extension } from '../../src/certificates/certify.js';
import { contextBytes, sequence } from '../../src/certificates/der.js';

const { privateKey: AUTHORITY, publicKey: ROOT } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

export class FakeAuthority {
  readonly directory = 'https://acme.example/directory';
  readonly accounts = new Set<string>();
  readonly orders: { domain: string; replaces: string | undefined; at: number }[] = [];
  /** What is said instead; undefined: nothing but what is right. */
  refuse: (path: string, payload: Record<string, unknown>) => FetchResponse | undefined = () => undefined;
  /** Called when an answer is on its way. */
  onAnswer: (path: string) => void | Promise<void> = () => {};
  lifetime = 90 * 86_400_000;
  now = (): number => Date.now();
  #nonces = 0;
  readonly #domains: string[] = [];
  readonly #certificates: string[] = [];

  readonly fetch: Fetch = async (request) => {
    const response = await this.#answer(request);
    await this.onAnswer(new URL(request.url).pathname);
    request.signal.throwIfAborted();
    return response;
  };

  async #answer({ url, method, body }: FetchRequest): Promise<FetchResponse> {
    const path = new URL(url).pathname;
    const jws = body === undefined ? undefined : (JSON.parse(body) as { protected: string; payload: string });
    const decode = (text: string): Record<string, unknown> =>
      text === '' ? {} : (JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>);
    const payload = decode(jws?.payload ?? '');
    const refused = this.refuse(path, payload);
    if (refused !== undefined) return refused;
    const base = 'https://acme.example';
    const give = (value: unknown, location?: string): FetchResponse => ({
      status: 200,
      headers: { 'replay-nonce': `n${(this.#nonces += 1)}`, location },
      body: typeof value === 'string' ? value : JSON.stringify(value),
    });
    const [, kind = '', id = '0'] = path.split('/');
    const order = (status: string): object => ({
      status,
      authorizations: [`${base}/authorization/${id}`],
      finalize: `${base}/finalize/${id}`,
      ...(status === 'valid' ? { certificate: `${base}/certificate/${id}` } : {}),
    });
    switch (kind) {
      case 'directory':
        return give({
          newNonce: `${base}/nonce`,
          newAccount: `${base}/account`,
          newOrder: `${base}/new`,
          meta: { termsOfService: 'https://acme.example/terms' },
        });
      case 'nonce':
        return give(method);
      case 'account': {
        const { jwk } = decode(jws?.protected ?? '') as { jwk: { x: string } };
        this.accounts.add(jwk.x);
        return give({ status: 'valid' }, `${base}/account/${jwk.x}`);
      }
      case 'new': {
        const [identifier] = payload['identifiers'] as { value: string }[];
        const domain = identifier?.value ?? '';
        const number = this.#domains.push(domain) - 1;
        this.orders.push({ domain, replaces: payload['replaces'] as string | undefined, at: this.now() });
        const own = {
          ...order('pending'),
          authorizations: [`${base}/authorization/${number}`],
          finalize: `${base}/finalize/${number}`,
        };
        return give(own, `${base}/order/${number}`);
      }
      case 'authorization':
        return give({ status: 'valid', challenges: [] });
      case 'order':
        return give(order(this.#certificates[Number(id)] === undefined ? 'ready' : 'valid'));
      case 'finalize':
        this.#certificates[Number(id)] = this.#certify(this.#domains[Number(id)] ?? '', payload['csr'] as string);
        return give(order('valid'));
      case 'certificate':
        return give(this.#certificates[Number(id)] ?? '');
      default:
        return { status: 404, headers: {}, body: '{}' };
    }
  }

  #certify(domain: string, csr: string): string {
    // The request's second value after its name is the key: the one SPKI that is in it.
    const bytes = Buffer.from(csr, 'base64url');
    const at = bytes.indexOf(Buffer.from('3059301306072a8648ce3d0201', 'hex'));
    const spki = bytes.subarray(at, at + 91);
    createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const now = this.now();
    return certify({
      subject: 'a certificate',
      issuer: 'a fake authority',
      spki,
      from: now - 1000,
      to: now + this.lifetime,
      signer: AUTHORITY,
      extensions: sequence(
        extension('subjectAltName', sequence(dnsName(domain))),
        extension(
          'authorityKeyIdentifier',
          sequence(contextBytes(0, ROOT.export({ type: 'spki', format: 'der' }).subarray(-20))),
        ),
      ),
    });
  }
}

export function problem(
  type: string,
  detail: string,
  status = 400,
  headers: Record<string, string> = {},
): FetchResponse {
  return { status, headers, body: JSON.stringify({ type: `urn:ietf:params:acme:error:${type}`, detail }) };
}
