// A Request that costs little until somebody looks inside.

import { inspect } from 'node:util';
import { decode, type Input } from '../../gateway/input.js';
import { StreamedInput } from '../../gateway/streamed-input.js';

/** Node's own. */
const NativeRequest = globalThis.Request;
const nativeFetch = globalThis.fetch;

type RequestInit = NonNullable<ConstructorParameters<typeof NativeRequest>[1]>;

/** What a request is made of. */
export interface RequestSource {
  readonly method: string;
  /** Absolute, and as `new URL` would write it. */
  readonly url: string;
  /** Names and values by turns. */
  readonly pairs: readonly string[];
  /** The body; null for none. */
  readonly content: Input | null;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
}

/**
 * The web's Request over what the core has received: `instanceof` and every member are as of Node's own, which is made when something
 * needs it. Method, URL, headers, signal and the usual ways to read the body do not.
 */
class LightRequest {
  readonly #source: RequestSource;
  #headers: Headers | null = null;
  #native: Request | null = null;
  #isUsed = false;

  constructor(source: RequestSource) {
    this.#source = source;
  }

  /** @internal Node's Request for a light one, or the value itself. */
  static native(value: unknown): unknown {
    return typeof value === 'object' && value !== null && #source in value ? value.#materialize() : value;
  }

  get method(): string {
    return this.#source.method;
  }

  get url(): string {
    return this.#source.url;
  }

  get headers(): Headers {
    return (this.#headers ??= headersOf(this.#source.pairs));
  }

  get signal(): AbortSignal {
    return this.#source.signal;
  }

  get bodyUsed(): boolean {
    return this.#native === null ? this.#isUsed : this.#native.bodyUsed;
  }

  get body(): ReadableStream<Uint8Array> | null {
    return this.#source.content === null ? null : (this.#materialize().body as ReadableStream<Uint8Array> | null);
  }

  async text(): Promise<string> {
    if (this.#native !== null) return this.#native.text();
    return decode(await this.#read());
  }

  async json(): Promise<unknown> {
    if (this.#native !== null) return this.#native.json();
    return JSON.parse(decode(await this.#read())) as unknown;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    if (this.#native !== null) return this.#native.arrayBuffer();
    return new Uint8Array(await this.#read()).buffer;
  }

  async bytes(): Promise<Uint8Array> {
    if (this.#native !== null) return new Uint8Array(await this.#native.arrayBuffer());
    return new Uint8Array(await this.#read());
  }

  clone(): Request {
    return this.#materialize().clone();
  }

  get [Symbol.toStringTag](): string {
    return 'Request';
  }

  [inspect.custom](_depth: number, options: object): string {
    return inspect(this.#materialize(), options);
  }

  /** The whole body. As Node's: once. */
  #read(): Uint8Array | Promise<Uint8Array> {
    const { content: input } = this.#source;
    if (input === null) return new Uint8Array(0);
    if (this.#isUsed) throw new TypeError('Body is unusable: Body has already been read');
    this.#isUsed = true;
    return input instanceof StreamedInput ? input.readAsync() : input.bytes();
  }

  #materialize(): Request {
    if (this.#native !== null) return this.#native;
    const { method, url, content: input, signal } = this.#source;
    // Node refuses to make one of TRACK; ours says it all the same.
    const known = /^track$/i.test(method) ? 'GET' : method;
    const init: RequestInit & { duplex?: string } = { method: known, headers: this.headers, signal };
    if (input !== null && known === method) {
      init.body = streamOf(input) as NonNullable<RequestInit['body']>;
      init.duplex = 'half';
    }
    const native = new NativeRequest(url, init);
    if (this.#isUsed && input !== null) {
      // The body went to somebody else already.
      void native.body?.cancel().catch(() => {});
    }
    return (this.#native = native);
  }

  static {
    // The rest of its members are Node's.
    for (const name of Reflect.ownKeys(NativeRequest.prototype)) {
      if (Object.hasOwn(this.prototype, name)) continue;
      const { get, value } = Object.getOwnPropertyDescriptor(NativeRequest.prototype, name) ?? {};
      if (get !== undefined) {
        Object.defineProperty(this.prototype, name, {
          get(this: LightRequest) {
            return get.call(this.#materialize()) as unknown;
          },
          configurable: true,
        });
      } else if (typeof value === 'function') {
        Object.defineProperty(this.prototype, name, {
          value(this: LightRequest, ...parts: unknown[]) {
            return (value as (...parts: unknown[]) => unknown).apply(this.#materialize(), parts);
          },
          configurable: true,
          writable: true,
        });
      }
    }
    Object.setPrototypeOf(this.prototype, NativeRequest.prototype);
    Object.defineProperty(this.prototype, 'constructor', { value: NativeRequest, configurable: true, writable: true });
  }
}

/** The request as an application gets it. */
export function requestOf(source: RequestSource): Request {
  return new LightRequest(source) as unknown as Request;
}

/** Has the program's `Request` and `fetch` take our requests: `new Request(request, init)`, `fetch(request)`. */
export function installRequest(): void {
  const Request = class Request extends NativeRequest {
    constructor(input: ConstructorParameters<typeof NativeRequest>[0], init?: RequestInit) {
      super(LightRequest.native(input) as typeof input, init);
    }

    static override [Symbol.hasInstance](value: unknown): boolean {
      return this === Request
        ? value instanceof NativeRequest
        : Function.prototype[Symbol.hasInstance].call(this, value);
    }
  };
  globalThis.Request = Request;
  globalThis.fetch = function fetch(input, init) {
    return nativeFetch(LightRequest.native(input) as typeof input, init);
  };
}

function headersOf(pairs: readonly string[]): Headers {
  const headers = new Headers();
  for (let i = 0; i < pairs.length; i += 2) headers.append(pairs[i] as string, pairs[i + 1] as string);
  return headers;
}

/** The body as a stream: a piece is asked of the client when the reader wants one. */
function streamOf(input: Input): ReadableStream<Uint8Array> {
  const pieces = input[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done === true) controller.close();
        // Not a Buffer, whose slice() would share what it is to copy.
        else controller.enqueue(new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.length));
      },
    },
    { highWaterMark: 0 },
  );
}
