/** The entries, in an embedded SQLite database that every worker process opens for itself. */

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import Database from 'libsql';

/** What a guest writes. */
export interface Draft {
  name: string;
  message: string;
}

/** What the book keeps. */
export interface Entry extends Draft {
  id: number;
  /** ISO 8601, UTC. */
  created_at: string;
}

/** For each field that cannot be accepted, why. */
export type Problems = Partial<Record<keyof Draft, string>>;

/** The longest name and message, in characters (code points). */
export const limits = { name: 60, message: 1000 };

export function problemsOf(draft: Draft): Problems | undefined {
  const problems: Problems = {};
  if (draft.name === '') {
    problems.name = 'Please tell us your name.';
  } else if (lengthOf(draft.name) > limits.name) {
    problems.name = `Please use a name of at most ${limits.name} characters.`;
  }
  if (draft.message === '') {
    problems.message = 'Please write a message.';
  } else if (lengthOf(draft.message) > limits.message) {
    problems.message = `Please keep to ${limits.message} characters; this is ${lengthOf(draft.message)}.`;
  }
  return Object.keys(problems).length === 0 ? undefined : problems;
}

// Counted as people do, nearly: `length` would count every emoji twice.
function lengthOf(text: string): number {
  return [...text].length;
}

/** The newest hundred entries, newest first. */
export function latestEntries(): Entry[] {
  return selectLatest.all() as Entry[];
}

/** The newest entry's number, 0 in an empty book: it tells whether somebody has signed, in whichever worker. */
export function latestId(): number {
  const [{ id }] = selectLatestId.all() as [{ id: number | null }];
  return id ?? 0;
}

export function addEntry(draft: Draft): Entry {
  const [entry] = insert.all(draft.name, draft.message) as [Entry];
  return entry;
}

const database = open(process.env['GUESTBOOK_DB'] ?? fileURLToPath(new URL('data/guestbook.db', import.meta.url)));
const selectLatest = database.prepare('SELECT id, name, message, created_at FROM entries ORDER BY id DESC LIMIT 100');
const selectLatestId = database.prepare('SELECT max(id) AS id FROM entries');
const insert = database.prepare(
  'INSERT INTO entries (name, message) VALUES (?, ?) RETURNING id, name, message, created_at',
);

function open(file: string): Database.Database {
  mkdirSync(dirname(file), { recursive: true });
  const opened = new Database(file);
  // Workers wait for each other's writes.
  opened.pragma('busy_timeout = 5000');
  writeAhead(opened);
  // Immediate: of several workers that start at once, the first writes, and the others find it done.
  opened.transaction(() => createAndSeed(opened)).immediate();
  return opened;
}

/** With a write-ahead log, reading need not wait for writing. The file remembers it. */
function writeAhead(opened: Database.Database): void {
  try {
    opened.pragma('journal_mode = WAL');
  } catch (error) {
    // For this switch SQLite does not wait (busy_timeout or not): another worker is making it.
    if (!(error instanceof Database.SqliteError && error.code === 'SQLITE_BUSY')) {
      throw error;
    }
  }
}

function createAndSeed(opened: Database.Database): void {
  const [{ user_version }] = opened.pragma('user_version') as [{ user_version: number }];
  if (user_version > 0) {
    return;
  }
  opened.exec(`
    CREATE TABLE entries (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL,
      message TEXT NOT NULL,
      created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
    ) STRICT;
    INSERT INTO entries (name, message) VALUES
      ('문지기', '관문에 오신 것을 환영합니다. 한 줄 남기고 가세요! 🏯'),
      ('The gatekeeper', 'Welcome! 관문 (gwanmun) is Korean for gateway: every request on this site passes through one.'),
      ('Ada', 'The pictures came from Rust, this list from TypeScript, and I could not tell. 👏');
    PRAGMA user_version = 1;
  `);
}
