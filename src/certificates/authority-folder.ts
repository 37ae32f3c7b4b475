// Where the local authority keeps its root and the certificate for this machine.

import { homedir } from 'node:os';
import { join } from 'node:path';

/** Of this user alone. */
export function authorityFolder(env: NodeJS.ProcessEnv = process.env): string {
  return join(env['XDG_DATA_HOME'] || join(homedir(), '.local/share'), 'gwanmun');
}

/** The file that clients are to trust. */
export function rootFile(folder: string = authorityFolder()): string {
  return join(folder, 'root.pem');
}
