import { expect, test } from 'vitest';
import { suggest } from '../../src/config/suggest.js';

test.each([
  ['prot', 'port'],
  ['fils', 'files'],
  ['Mounts', 'mounts'],
  ['keepalive', 'keepAlive'],
  ['xyz', undefined],
  ['', undefined],
])('%j suggests %j', (word, expected) => {
  expect(suggest(word, ['port', 'host', 'files', 'mounts', 'keepAlive'])).toBe(expected);
});
