// Builds what is out of date and serves the example guestbook. Further arguments go to gwanmun.

import { join } from 'node:path';
import { buildOrExit, root } from './build.mjs';

await buildOrExit();
performance.mark('gwanmun:built');

// In this process and not in a child: signals and the exit code are then the server's own.
process.env.PORT ||= '8080';
const main = join(root, 'dist/cli/main.js');
const config = join(root, 'examples/guestbook/gwanmun.config.ts');
process.argv.splice(1, Infinity, main, 'serve', '--config', config, ...process.argv.slice(2));
await import(main);
