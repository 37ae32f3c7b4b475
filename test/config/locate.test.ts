import { describe, expect, test } from 'vitest';
import { locate, type KeyPath } from '../../src/config/locate.js';

const at = (source: string, path: KeyPath): string | undefined => {
  const position = locate(source, path);
  return position && `${position.line}:${position.column}`;
};

describe('the place of a key', () => {
  test('in JSON', () => {
    const source = '{\n  "mounts": [\n    { "path": "/" },\n    { "path": "/b", "fils": 1 }\n  ]\n}';
    expect(at(source, ['mounts', 1, 'fils'])).toBe('4:21');
    expect(at(source, ['mounts', 1])).toBe('4:5');
    expect(at(source, ['mounts'])).toBe('2:3');
  });

  test('in a function that returns the configuration', () => {
    expect(at('export default () => {\n  return { listen: { prot: 80 } };\n};', ['listen', 'prot'])).toBe('2:22');
  });

  test('is not mistaken for a comment, a string or another object', () => {
    const source = `const other = { path: 'workers: 1' };
export default {
  // workers: 9,
  /* workers: 9 */
  mounts: [{ path: "workers: 2", nested: { workers: 3 } }],
  workers: 0,
};`;
    expect(at(source, ['workers'])).toBeUndefined();
    expect(at(source.replace('nested: { workers: 3 }', ''), ['workers'])).toBe('6:3');
  });

  test('is unknown when it is computed elsewhere', () => {
    expect(at('export default { mounts: makeMounts() };', ['mounts', 0, 'path'])).toBeUndefined();
    expect(at('export default { ...base };', ['workers'])).toBeUndefined();
    expect(at('', ['workers'])).toBeUndefined();
    expect(at('{{{[[(', ['workers'])).toBeUndefined();
  });

  test('looks past values that hold brackets and commas', () => {
    expect(at("x({ a: f(1, { b: 2 }), c: [1, [2, 3]], d: '}', workers: 0 })", ['workers'])).toBe('1:48');
  });
});
