// Has every core of a process speak TLS on its TCP addresses, with the tests' certificate. With GWANMUN_TEST_TLS=1 it is loaded into the processes of tests and into those
// that they start, and the tests' clients speak TLS as well: the same suites show the same behaviour over both transports.

import Module from 'node:module';
import { fileURLToPath } from 'node:url';
import { CERT, KEY } from './certificate.mjs';

const load = Module._load;
const patched = new Map();

Module._load = function (request, ...rest) {
  const loaded = load.call(this, request, ...rest);
  if (!request.endsWith('.node') || typeof loaded?.Core !== 'function') return loaded;
  let binding = patched.get(loaded);
  if (binding === undefined) patched.set(loaded, (binding = { ...loaded, Core: overTls(loaded.Core) }));
  return binding;
};

function overTls(Core) {
  const tls = { certificates: [{ label: 'test', cert: CERT, key: KEY, isDefault: true }] };
  const secured = (text) => {
    const config = JSON.parse(text);
    for (const listen of config.listen) {
      if (listen.kind === 'tcp') listen.tls = true;
      if (listen.kind === 'inherited') listen.like = [{ kind: 'tcp', host: '', port: 0, tls: true }];
    }
    return JSON.stringify(config);
  };
  const plain = (addresses) => JSON.stringify(JSON.parse(addresses).map((address) => ({ ...address, tls: undefined })));
  return class extends Core {
    constructor(config, _tls, onEvent) {
      super(secured(config), tls, onEvent);
    }
    prepare(config) {
      return super.prepare(secured(config), tls);
    }
    addresses() {
      return plain(super.addresses());
    }
  };
}

const own = `--import=${import.meta.url}`;
if (!process.env.NODE_OPTIONS?.includes(fileURLToPath(import.meta.url))) {
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${own}`;
}
