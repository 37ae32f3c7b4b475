// The certificates of a server whose main process may be another user than the owner of their keys.

import type { CoreTls } from '../config/core.js';
import type { ResolvedConfig } from '../config/resolved.js';
import { LocalFiles } from '../certificates/files.js';
import { CertificateReader } from '../certificates/reader.js';
import { CertificateStore } from '../certificates/store.js';
import { loadNative, type CertificateRecord } from '../native.js';
import type { ServerEvent } from './event.js';

export interface ServerCertificatesOptions {
  /** Descriptor of a connection to the process that reads them as root, which the process before this one had started. */
  readonly reader: number | undefined;
  readonly apply: (tls: CoreTls) => void;
  readonly served: () => readonly CertificateRecord[];
  readonly tell: (event: ServerEvent) => void;
}

/** The store of a server, and who reads the files for it. Made before the server gives up what it need not be any more. */
export class ServerCertificates {
  readonly store: CertificateStore;
  /** Undefined: this process reads them itself. */
  readonly reader: CertificateReader | undefined;

  constructor(
    { privileges, tls }: ResolvedConfig,
    { reader: inherited, apply, served, tell }: ServerCertificatesOptions,
  ) {
    const native = loadNative();
    let reader: CertificateReader | undefined;
    const onLoss = (): void =>
      tell({
        level: 'error',
        event: 'certificate',
        message:
          'the process that reads certificates as root has ended; renewed ones are not used before the server is restarted',
      });
    const isLeavingRoot = process.getuid?.() === 0 && (privileges.user ?? privileges.group) !== undefined;
    this.store = new CertificateStore({
      native,
      files: (onChange) => {
        if (inherited !== undefined) reader = CertificateReader.inherited(inherited, onChange, onLoss);
        else if (isLeavingRoot && tls !== undefined) reader = CertificateReader.start(onChange, onLoss);
        return reader ?? new LocalFiles(native.silentPaths, onChange);
      },
      makeLocal: async () => {
        // It is for development, and a start has no time for what it does not need.
        const { LocalAuthority } = await import('../certificates/authority.js');
        return (authority ??= new LocalAuthority()).certificate();
      },
      apply,
      served,
      tell: (notice) => tell({ ...notice, event: 'certificate' }),
    });
    this.reader = reader;
  }
}

let authority: { certificate(): { cert: string; key: string } } | undefined;
