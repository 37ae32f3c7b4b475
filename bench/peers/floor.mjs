import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bench, requireFile, startAnnounced } from '../servers.mjs';

const program = join(bench, 'floor/target/release/gwanmun-bench-floor');

/** A bare epoll loop that looks for the blank line and nothing else. @type {import('../servers.mjs').Peer} */
export const peer = {
  title: 'epoll loop (floor)',
  version() {
    requireFile(program, 'cargo is needed to build bench/floor');
    return /^version = "(.*)"$/m.exec(readFileSync(join(bench, 'floor/Cargo.toml'), 'utf8'))?.[1] ?? 'unknown';
  },
  start: ({ core }) => startAnnounced(core, program, []),
};
