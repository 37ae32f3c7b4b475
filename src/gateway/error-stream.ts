import { LOG_WSGI_ERRORS } from './frame.js';
import type { FrameWriter } from './frame-writer.js';
import type { ErrorStream, Header } from './types.js';

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

  constructor(owner: Owner) {
    this.owner = owner;
  }

  write(text: string): void {
    const { owner } = this;
    // After the end the stream's number may be another request's.
    owner.writer.log(LOG_WSGI_ERRORS, owner.ended ? 0 : owner.stream, String(text));
  }

  writelines(lines: Iterable<string>): void {
    for (const line of lines) this.write(line);
  }

  flush(): void {
    // Every write is on its way already.
  }
}
