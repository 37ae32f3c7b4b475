// An error that another process tells. What comes may be anything: that process runs code of the user's, or is another version of this one.

import * as v from 'valibot';
import { GwanmunError, isErrorCode, type ErrorCode } from './errors.js';

const text = v.optional(v.string());
const number = v.optional(v.number());
const where = v.object({ file: text, line: number, column: number, key: text, frame: text });
const error = v.object({
  code: v.custom<ErrorCode>(isErrorCode),
  message: v.string(),
  where: v.optional(where),
  remedy: text,
  problems: v.optional(v.array(v.object({ message: v.string(), where: v.optional(where) }))),
  userStack: text,
  origin: v.optional(where),
  part: text,
});

/** The error that `value` is the plain data of; undefined if it is anything else. */
export function parseError(value: unknown): GwanmunError | undefined {
  const { success, output } = v.safeParse(error, value);
  return success ? GwanmunError.fromJSON(output) : undefined;
}

/** A text as JSON; undefined if it is something else. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
