// The table of cases.txt, whose head describes the format.

import { readFileSync } from 'node:fs';

/** What becomes of bytes. */
export type Event =
  | { kind: 'request'; method: string; target: string; body: string }
  | { kind: 'refused'; status: number }
  | { kind: 'close' }
  | { kind: 'wait' };

/** Texts are latin-1: a character is a byte. */
export interface Case {
  name: string;
  bytes: string;
  events: Event[];
}

/** The cases of the table. */
export function readCases(): Case[] {
  const [, ...blocks] = readFileSync(new URL('cases.txt', import.meta.url), 'utf8').split('\n[');
  return blocks.flatMap((block) => {
    const [title = '', ...rest] = block.split('\n');
    const lines = (mark: string): string[] =>
      rest.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length + 1));
    const [text, values, outcomes] = [lines('|'), lines('*'), lines('=')];
    return (values.length === 0 ? [''] : values).map((value): Case => {
      // A function: a value may hold what replace() takes for a pattern.
      const filled = (line: string): string => line.replaceAll('{}', () => value);
      const bytes = text.map((line) =>
        line.endsWith('\\') ? unescape(filled(line.slice(0, -1))) : `${unescape(filled(line))}\r\n`,
      );
      return {
        name: `[${title}: ${value}`,
        bytes: bytes.join(''),
        events: outcomes.map((outcome) => eventOf(filled(outcome))),
      };
    });
  });
}

function eventOf(outcome: string): Event {
  if (outcome === 'close' || outcome === 'wait') return { kind: outcome };
  if (/^\d{3}$/.test(outcome)) return { kind: 'refused', status: Number(outcome) };
  const [, method = '', target = '', body = ''] = /^(\S+) (\S+)(?: "(.*)")?$/.exec(outcome) ?? [];
  return { kind: 'request', method: unescape(method), target: unescape(target), body: unescape(body) };
}

const PLAIN: Record<string, string> = { r: '\r', n: '\n', t: '\t', '0': '\0', '\\': '\\' };

function unescape(text: string): string {
  return text.replace(
    /\\(?:\{([^}]*)\*(\d+)\}|x([0-9a-f]{2})|(.))/g,
    (whole, piece?: string, count?: string, hex?: string, plain?: string) => {
      if (piece !== undefined) return unescape(piece).repeat(Number(count));
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      const byte = PLAIN[plain ?? ''];
      if (byte === undefined) throw new Error(`unknown escape ${whole}`);
      return byte;
    },
  );
}
