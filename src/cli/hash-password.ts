// gwanmun hash-password: a password, as a password file has it.

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { GwanmunError } from '../errors.js';
import { loadNative } from '../native.js';

/** What is to be printed: the hash, behind the user's name if there is one. Asks for the password at a terminal, and reads a line elsewhere. */
export async function hashPassword(user: string | undefined): Promise<string> {
  const password = process.stdin.isTTY ? await ask() : await line();
  if (password === '') {
    throw new GwanmunError('GWM_USAGE', 'there is no password', {
      remedy: 'type one, or write it to standard input: gwanmun hash-password ann < password.txt',
    });
  }
  const hash = loadNative().hashPassword(password);
  return user === undefined ? `${hash}\n` : `${user}:${hash}\n`;
}

/** Asks twice, and shows nothing of what is typed. */
async function ask(): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const reader = createInterface({ input: process.stdin, output: silent, terminal: true });
  reader.on('SIGINT', () => process.exit(130));
  const question = async (text: string): Promise<string> => {
    process.stderr.write(text);
    const [answer] = (await once(reader, 'line')) as [string];
    process.stderr.write('\n');
    return answer;
  };
  try {
    const first = await question('Password: ');
    if (first !== '' && (await question('Again: ')) !== first) {
      throw new GwanmunError('GWM_USAGE', 'the two passwords differ', { remedy: 'run the command again' });
    }
    return first;
  } finally {
    reader.close();
  }
}

/** The first line of standard input. */
async function line(): Promise<string> {
  const reader = createInterface({ input: process.stdin });
  for await (const text of reader) return text;
  return '';
}
