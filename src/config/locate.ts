// Finds a key of a configuration in its source text. No parser: a tolerant scan for object literals, JSON and JavaScript
// alike, that says nothing when it is not sure.

/** From 1, both. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A key path: `['mounts', 1, 'files']`. */
export type KeyPath = readonly (string | number)[];

interface Token {
  /** A bracket, a comma, a colon, a name or a string's content, or another character. */
  readonly text: string;
  readonly isName: boolean;
  readonly offset: number;
}

/** Where the key path is written, if that can be told for sure. */
export function locate(source: string, path: KeyPath): Position | undefined {
  if (path.length === 0) return undefined;
  const tokens = scan(source);
  const found = new Set<number>();
  // The root object can be an argument, a default export or a returned literal: every `{` may be it. Only a path that
  // fits in one place counts.
  for (const [index, token] of tokens.entries()) {
    if (token.text !== '{' || token.isName) continue;
    const offset = follow(tokens, index, path);
    if (offset !== undefined) found.add(offset);
  }
  const [offset] = found;
  return found.size === 1 && offset !== undefined ? positionAt(source, offset) : undefined;
}

/** Line and column of an offset. */
export function positionAt(source: string, offset: number): Position {
  const before = source.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

/** The offset of the key (or list element) at `path` below the bracket at `open`. */
function follow(tokens: readonly Token[], open: number, path: KeyPath): number | undefined {
  const [key, ...rest] = path;
  const isList = tokens[open]?.text === '[';
  if (key === undefined || isList !== (typeof key === 'number')) return undefined;
  let depth = 0;
  let element = 0;
  for (let index = open + 1; index < tokens.length; index++) {
    const token = tokens[index] as Token;
    const next = tokens[index + 1];
    const startsEntry = depth === 0 && (index === open + 1 || isPunctuation(tokens[index - 1], ','));
    const isHere = isList ? element === key : token.isName && token.text === key && isPunctuation(next, ':');
    if (startsEntry && isHere && !isPunctuation(token, isList ? ']' : '}')) {
      const value = isList ? index : index + 2;
      if (rest.length === 0) return token.offset;
      // A list of one may be written without its brackets: `listen: { prot: 80 }`.
      return follow(tokens, value, rest);
    }
    if (token.isName) continue;
    if ('([{'.includes(token.text)) depth++;
    else if (')]}'.includes(token.text)) {
      if (depth === 0) return undefined;
      depth--;
    } else if (token.text === ',' && depth === 0) element++;
  }
  return undefined;
}

function isPunctuation(token: Token | undefined, text: string): boolean {
  return token !== undefined && !token.isName && token.text === text;
}

const TOKEN =
  /\/\/[^\n]*|\/\*[^]*?\*\/|`(?:\\[^]|[^`\\])*`|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[\p{ID_Start}$_][\p{ID_Continue}$]*|[^\s]/gu;

function scan(source: string): Token[] {
  const tokens: Token[] = [];
  for (const match of source.matchAll(TOKEN)) {
    const [text] = match;
    const first = text[0] as string;
    if (text.startsWith('//') || text.startsWith('/*')) continue;
    const isString = text.length > 1 && (first === '"' || first === "'" || first === '`');
    const isName = isString || /[\p{ID_Start}$_]/u.test(first);
    tokens.push({ text: isString ? text.slice(1, -1) : text, isName, offset: match.index });
  }
  return tokens;
}
