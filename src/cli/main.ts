#!/usr/bin/env node
// Looks at the platform before anything else is loaded: the rest may use syntax that an old Node cannot parse, and a
// syntax error in our files would tell nobody to update. So: no static imports here, and no new syntax.

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (process.platform === 'win32') {
  fail(
    'GWM_PLATFORM',
    'gwanmun does not run on Windows: it passes file descriptors between processes.',
    'use Linux: in a container, a virtual machine or, on Windows, the Windows Subsystem for Linux',
  );
} else if (major < 20 || (major === 20 && minor < 19)) {
  fail(
    'GWM_NODE_VERSION',
    `gwanmun needs Node.js 20.19 or newer; this is ${process.versions.node}.`,
    'install a current Node.js (https://nodejs.org), then start again',
  );
} else {
  // Not `await`: Node.js 12 could not parse it here.
  void import('./run.js').then(({ run }) => run(process.argv.slice(2)), whatIsMissing);
}

/** Before the first of our modules there are few descriptors to be had, or none. */
function whatIsMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EMFILE' && error.code !== 'ENFILE') throw error;
  fail('GWM_FD_LIMIT', error.message, 'raise the limit: ulimit -n 65536');
}

function fail(code: string, message: string, remedy: string): void {
  process.stderr.write(`✗ ${code}  ${message}\n  try: ${remedy}\n`);
  process.exitCode = 1;
}
