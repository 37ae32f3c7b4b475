import type { Application, Environ } from 'gwanmun';

/** A request as a test writes it. */
export interface CallOptions {
  /** CGI variables to add, such as HTTP_ACCEPT. */
  environ?: Record<string, string>;
  /** A body with its type; URLSearchParams is a form. */
  body?: URLSearchParams | string;
}

export interface Answer {
  status: string;
  /** Names in lower case. */
  headers: Map<string, string>;
  text: string;
}

/** Calls an application as the gateway does, without a server. */
export async function call(
  application: Application,
  method: string,
  path: string,
  { environ: variables = {}, body = '' }: CallOptions = {},
): Promise<Answer> {
  const bytes = Buffer.from(body.toString());
  let position = 0;
  const input = {
    read: (size = bytes.length): Buffer =>
      bytes.subarray(position, (position = Math.min(position + size, bytes.length))),
  };
  const environ = {
    REQUEST_METHOD: method,
    SCRIPT_NAME: '',
    PATH_INFO: path,
    QUERY_STRING: '',
    CONTENT_TYPE: body instanceof URLSearchParams ? 'application/x-www-form-urlencoded;charset=UTF-8' : '',
    CONTENT_LENGTH: String(bytes.length),
    SERVER_NAME: 'localhost',
    SERVER_PORT: '80',
    SERVER_PROTOCOL: 'HTTP/1.1',
    ...variables,
    'wsgi.input': input,
  } as unknown as Environ;

  const calls: { status: string; headers: readonly (readonly [string, string])[] }[] = [];
  const result = await application(environ, (status, headers) => {
    calls.push({ status, headers });
    return () => undefined;
  });
  const [called] = calls;
  if (called === undefined || calls.length > 1 || typeof result !== 'string') {
    throw new Error(`expected one call of startResponse and a text, got ${calls.length} and ${typeof result}`);
  }
  const headers = new Map(called.headers.map(([name, value]) => [name.toLowerCase(), value]));
  if (headers.size !== called.headers.length) {
    throw new Error('a header was sent twice');
  }
  return { status: called.status, headers, text: result };
}
