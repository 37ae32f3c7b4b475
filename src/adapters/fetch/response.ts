// A Response that costs little until somebody looks inside.

import { inspect } from 'node:util';
import type { Header } from '../../gateway/types.js';

/** Node's own. */
const NativeResponse = globalThis.Response;

type NativeBody = ConstructorParameters<typeof NativeResponse>[0];
type Init = NonNullable<ConstructorParameters<typeof NativeResponse>[1]>;
/** Bodies that need nothing of Node's Response to be sent. */
export type LightBody = string | Uint8Array | ReadableStream<Uint8Array>;

/** What is to be sent of a response. */
export interface Outcome {
  readonly status: number;
  /** Empty: the usual one. */
  readonly statusText: string;
  readonly headers: readonly Header[];
  readonly body: LightBody | null;
}

const TEXT = 'text/plain;charset=UTF-8';
/** RFC 9110 section 5.6.2, and values that `Headers` takes as they are. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/;

/**
 * The web's Response, built of its parts when it is sent. Node's own costs several microseconds to make and more to read; this is
 * that one to everybody who looks (`instanceof`, every member), and makes it when it is needed.
 */
class LightResponse {
  readonly #body: LightBody | null;
  readonly #status: number;
  readonly #statusText: string;
  readonly #init: Record<string, string> | null;
  readonly #isText: boolean;
  #headers: Headers | null;
  #native: Response | null;

  constructor(body: NativeBody = null, init: Init = {}) {
    const { status = 200, statusText = '', headers } = init ?? {};
    const light = lightBody(body);
    const plain = headers === undefined ? null : plainHeaders(headers);
    this.#isText = typeof body === 'string';
    this.#headers = null;
    this.#native = null;
    if (
      light !== undefined &&
      Number.isInteger(status) &&
      status >= 200 &&
      status <= 599 &&
      statusText === '' &&
      (light === null || (status !== 204 && status !== 205 && status !== 304))
    ) {
      this.#body = light;
      this.#status = status;
      this.#statusText = statusText;
      this.#init = plain ?? null;
      if (plain === undefined) {
        this.#headers = new Headers(headers);
        if (this.#isText && !this.#headers.has('content-type')) this.#headers.set('content-type', TEXT);
      }
      return;
    }
    // What is unusual, or wrong, is Node's to judge.
    this.#native = new NativeResponse(body, init);
    this.#body = null;
    this.#status = this.#native.status;
    this.#statusText = this.#native.statusText;
    this.#headers = this.#native.headers;
    this.#init = null;
  }

  static json(data: unknown, init: Init = {}): Response {
    const text = JSON.stringify(data);
    if (text === undefined) return NativeResponse.json(data, init);
    const { headers } = init;
    if (headers === undefined) return new Response(text, { ...init, headers: { 'content-type': 'application/json' } });
    const own = new Headers(headers);
    if (!own.has('content-type')) own.set('content-type', 'application/json');
    return new Response(text, { ...init, headers: own });
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return this === LightResponse
      ? value instanceof NativeResponse
      : Function.prototype[Symbol.hasInstance].call(this, value);
  }

  /** @internal What is to be sent, if Node's Response was not needed so far. */
  static outcome(value: object): Outcome | null {
    if (!(#body in value) || value.#native !== null) return null;
    return { status: value.#status, statusText: value.#statusText, headers: value.#lines(), body: value.#body };
  }

  /** @internal Node's Response: that of a light one, or the value itself. */
  static native(value: Response): Response {
    return #body in value ? (value as unknown as LightResponse).#materialize() : value;
  }

  #lines(): readonly Header[] {
    if (this.#headers !== null) return [...this.#headers];
    const lines: Header[] = [];
    let hasType = !this.#isText;
    for (const name in this.#init) {
      hasType ||= name.length === 12 && name.toLowerCase() === 'content-type';
      lines.push([name, this.#init[name] as string]);
    }
    if (!hasType) lines.push(['content-type', TEXT]);
    return lines;
  }

  #materialize(): Response {
    if (this.#native !== null) return this.#native;
    const init = { status: this.#status, statusText: this.#statusText, headers: this.headers };
    this.#native = new NativeResponse(this.#body as NativeBody, init);
    // What was handed out stays what is sent.
    Object.defineProperty(this.#native, 'headers', { value: this.headers, configurable: true });
    return this.#native;
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }

  get headers(): Headers {
    return (this.#headers ??= new Headers(this.#lines() as [string, string][]));
  }

  get body(): ReadableStream<Uint8Array> | null {
    return this.#body === null && this.#native === null
      ? null
      : (this.#materialize().body as ReadableStream<Uint8Array> | null);
  }

  clone(): Response {
    if (this.#native === null && !(this.#body instanceof ReadableStream)) {
      return new Response(this.#body, { status: this.#status, headers: new Headers(this.headers) });
    }
    const copy = this.#materialize().clone();
    return new Response(copy.body, {
      status: this.#status,
      statusText: this.#statusText,
      headers: new Headers(this.headers),
    });
  }

  get [Symbol.toStringTag](): string {
    return 'Response';
  }

  [inspect.custom](_depth: number, options: object): string {
    return inspect(this.#materialize(), options);
  }

  static {
    // The rest of its members are Node's.
    for (const name of Reflect.ownKeys(NativeResponse.prototype)) {
      if (Object.hasOwn(this.prototype, name)) continue;
      const { get, value } = Object.getOwnPropertyDescriptor(NativeResponse.prototype, name) ?? {};
      if (get !== undefined) {
        Object.defineProperty(this.prototype, name, {
          get(this: LightResponse) {
            return get.call(this.#materialize()) as unknown;
          },
          configurable: true,
        });
      } else if (typeof value === 'function') {
        Object.defineProperty(this.prototype, name, {
          value(this: LightResponse, ...parts: unknown[]) {
            return (value as (...parts: unknown[]) => unknown).apply(this.#materialize(), parts);
          },
          configurable: true,
          writable: true,
        });
      }
    }
    Object.setPrototypeOf(this, NativeResponse);
    Object.setPrototypeOf(this.prototype, NativeResponse.prototype);
    Object.defineProperty(this, 'name', { value: 'Response' });
  }
}

/** Makes the program's `Response` the light one. */
export function installResponse(): void {
  globalThis.Response = LightResponse as unknown as typeof NativeResponse;
}

/** What is to be sent of a response, whoever made it. @throws TypeError for what cannot be sent */
export function outcomeOf(response: Response): Outcome {
  const light = LightResponse.outcome(response);
  if (light !== null) return light;
  const native = LightResponse.native(response);
  if (native.type === 'error') throw new TypeError('the application returned Response.error(), which cannot be sent');
  if (native.bodyUsed) {
    throw new TypeError(
      'the application returned a response whose body was read already; return response.clone() before reading it',
    );
  }
  const { headers } = native;
  let lines: Header[] = [...headers];
  // Of a response that the application fetched, Node has undone the coding already.
  if (native.url !== '' && headers.has('content-encoding')) {
    lines = lines.filter(([name]) => name !== 'content-encoding' && name !== 'content-length');
  }
  const { status, statusText } = native;
  return { status, statusText, headers: lines, body: native.body as ReadableStream<Uint8Array> | null };
}

/** Null is no body. Undefined: Node's Response is needed to make something of it. */
function lightBody(body: NativeBody | undefined): LightBody | null | undefined {
  if (typeof body === 'string') return body;
  if (body === null || body === undefined) return null;
  // A response has the bytes of the moment when it was made.
  if (body instanceof Uint8Array) return Buffer.from(body);
  if (body instanceof ReadableStream && !body.locked) return body as ReadableStream<Uint8Array>;
  return undefined;
}

/** Undefined: there may be something wrong with them, or they are of an unusual shape. */
function plainHeaders(headers: NonNullable<Init['headers']>): Record<string, string> | undefined {
  if (headers instanceof Headers || Array.isArray(headers)) return undefined;
  const prototype: unknown = Object.getPrototypeOf(headers);
  if (prototype !== Object.prototype && prototype !== null) return undefined;
  const copy: Record<string, string> = {};
  for (const name in headers) {
    const value: unknown = (headers as Record<string, unknown>)[name];
    if (typeof value !== 'string' || !NAME.test(name) || !VALUE.test(value)) return undefined;
    copy[name] = value;
  }
  return copy;
}
