import { existsSync } from 'node:fs';

// The Python that the peers from Debian run on.
const python = '/usr/bin/python3';

export default {
  listen: { port: 0 },
  workers: 1,
  threads: 1,
  accessLog: false,
  mounts: [{ path: '/', wsgi: 'hello:application', python: existsSync(python) ? python : 'python3' }],
};
