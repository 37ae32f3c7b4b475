import { LOG_FROM_WORKER, LOG_FROM_WSGI_ERRORS, LOG_INFORMATION } from './frame.js';
import type { FrameWriter } from './frame-writer.js';
import type { Environ, ErrorStream, Header } from './types.js';

/** The response whose request an error stream belongs to. */
interface Owner {
  readonly writer: FrameWriter;
  readonly stream: number;
  readonly ended: boolean;
  inform(status: number, headers: readonly Header[]): void;
}

/** `wsgi.errors` (W27): texts go to the server's error log, named with the request that wrote them. */
export class ErrorLog implements ErrorStream {
  /** @internal */
  readonly owner: Owner;
  /** @internal Of the request: names it once the core has forgotten it. */
  environ: Environ | null = null;

  constructor(owner: Owner) {
    this.owner = owner;
  }

  write(text: string): void {
    this.log(LOG_INFORMATION, String(text), LOG_FROM_WSGI_ERRORS);
  }

  /** @internal */
  log(level: number, text: string, origin = LOG_FROM_WORKER): void {
    const { owner, environ } = this;
    if (!owner.ended) {
      owner.writer.log(level, owner.stream, text, '', origin);
      return;
    }
    // The stream's number may be another request's by now. The environ is the application's: it may have anything in it, or nothing.
    const {
      REQUEST_METHOD: method,
      REQUEST_URI: target,
      HTTP_X_REQUEST_ID: id,
    }: Record<string, unknown> = environ ?? {};
    const isNamed = typeof method === 'string' && typeof target === 'string';
    const request = isNamed ? `${method} ${target}` : '';
    owner.writer.log(level, 0, text, typeof id === 'string' ? id : '', origin, request);
  }

  writelines(lines: Iterable<string>): void {
    for (const line of lines) this.write(line);
  }

  flush(): void {
    // Every write is on its way already.
  }
}
