/**
 * The contract between gwanmun and an application: WSGI (PEP 3333) in TypeScript.
 *
 * An application is `application(environ, startResponse)`; it calls `startResponse(status, headers)` and returns the body.
 */

import type { FileWrapper } from './file-body.js';

/** A piece of a body: bytes, or a string that is sent as UTF-8. */
export type BodyChunk = string | Uint8Array;

/** One header, name and value. */
export type Header = readonly [name: string, value: string];

/** Sends a piece of the body at once. Kept for WSGI's sake: return or yield the body instead where you can. */
export type Write = (data: BodyChunk) => void;

/**
 * Gives the status (`'200 OK'`) and the headers. They are kept until the first non-empty piece of the body.
 *
 * `excInfo` is the error that an application reports late. As long as nothing was sent, the new headers replace the old ones;
 * afterwards `excInfo` is thrown.
 *
 * @throws TypeError when the status or a header is not allowed in a response
 */
export type StartResponse = (status: string, headers: readonly Header[], excInfo?: unknown) => Write;

/** `environ['gwanmun.early_hints'](headers)`: sends a 103 with these headers, before the response. */
export type EarlyHints = (this: Environ, headers: readonly Header[]) => void;

/** What an application returns, or what its promise resolves to. */
export type ApplicationBody = BodyChunk | Iterable<BodyChunk> | AsyncIterable<BodyChunk>;

/**
 * What an application returns: the body as a string, as bytes, as an iterable or async iterable of those, or a promise of one.
 * If it has a method `close()`, that is called once when the response is over, however it ended.
 */
export type ApplicationResult = ApplicationBody | PromiseLike<ApplicationBody>;

/** A gateway application. */
export type Application = (environ: Environ, startResponse: StartResponse) => ApplicationResult;

/**
 * The request's body. It is complete before the application is called, unless the mount streams: then it arrives as the client sends it.
 * `readAsync` and `for await` wait without blocking. The other methods are synchronous. If they have to wait, they block this worker, for
 * at most `timeout` in all (`GWM_READ_TOO_SLOW`); with `serve()` they throw `GWM_READ_WOULD_BLOCK`. If the client leaves before its body's end, reading throws `GWM_CLIENT_DISCONNECTED`.
 */
export interface InputStream extends Iterable<Uint8Array>, AsyncIterable<Uint8Array> {
  /** Reads up to `size` bytes, or all that is left. Empty at the end, however often it is called. */
  read(size?: number | null): Uint8Array;
  /** As `read`, without blocking. One at a time. */
  readAsync(size?: number | null): Promise<Uint8Array>;
  /** Reads up to and including the next line feed, at most `size` bytes. */
  readline(size?: number | null): Uint8Array;
  /** Reads lines until the end, or until they have `hint` bytes together. */
  readlines(hint?: number | null): Uint8Array[];
  /** All that is left, as bytes. */
  bytes(): Uint8Array;
  /** All that is left, decoded as UTF-8. */
  text(): string;
  /** All that is left, parsed as JSON. */
  json(): unknown;
  /** Line by line. */
  [Symbol.iterator](): Iterator<Uint8Array>;
  /** Chunk by chunk, of up to 64 KiB, as they arrive. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array>;
}

/** Writes to the server's error log. */
export interface ErrorStream {
  write(text: string): void;
  writelines(lines: Iterable<string>): void;
  /** Does nothing: every write goes to the log at once. */
  flush(): void;
}

/**
 * The request, as CGI (RFC 3875) and WSGI (PEP 3333) describe it: a plain object, fresh for every request, which the application may change.
 * Every value that came from the client is latin-1: one character is one byte, also in `PATH_INFO`.
 */
export interface Environ {
  /** `GET`, `POST`, … as received; case-sensitive. */
  REQUEST_METHOD: string;
  /** The path of the mount; empty for `/`. */
  SCRIPT_NAME: string;
  /** The rest of the path, percent-decoded once. Each character is one byte: `Buffer.from(path, 'latin1').toString()` decodes UTF-8. */
  PATH_INFO: string;
  /** What follows `?`, not decoded; empty if there is nothing. */
  QUERY_STRING: string;
  /** The request target as received. */
  REQUEST_URI: string;
  /** Only if the request has the header. */
  CONTENT_TYPE?: string;
  /** Only if there is a body: its length in bytes; for a chunked one too, unless the mount streams. */
  CONTENT_LENGTH?: string;
  SERVER_NAME: string;
  SERVER_PORT: string;
  /** `HTTP/1.1` or `HTTP/1.0`. */
  SERVER_PROTOCOL: string;
  SERVER_SOFTWARE?: string;
  GATEWAY_INTERFACE?: string;
  /** The client's address; empty for a Unix socket. */
  REMOTE_ADDR: string;
  /** Not for a Unix socket. */
  REMOTE_PORT?: string;
  /** `on` if the client's connection is TLS. */
  HTTPS?: string;
  /** A request header: upper case, `_` for `-`; repeated ones are joined by `, ` and cookies by `; `. */
  [header: `HTTP_${string}`]: string | undefined;
  'wsgi.version': readonly [1, 0];
  'wsgi.url_scheme': 'http' | 'https';
  'wsgi.input': InputStream;
  /** `wsgi.input` ends where the body does: it may be read to its end, with or without a `CONTENT_LENGTH`. */
  'wsgi.input_terminated': true;
  'wsgi.errors': ErrorStream;
  'wsgi.multithread': boolean;
  'wsgi.multiprocess': boolean;
  'wsgi.run_once': boolean;
  /** Turns a file into a body that the core sends by itself. */
  'wsgi.file_wrapper': FileWrapper;
  /** Sends a 103 with headers such as `Link`, before the response. Call it as a method of the environ. */
  'gwanmun.early_hints': EarlyHints;
  /** Whatever the configuration or a middleware adds. */
  [key: string]: unknown;
}
