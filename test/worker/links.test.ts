import { expect, test } from 'vitest';
import { parseLinks } from '../../src/worker/links.js';

test('GWANMUN_LINKS names the shared memory and one link for each I/O thread', () => {
  expect(parseLinks('memory=3;links=4,5')).toEqual({ memory: 3, links: [4, 5] });
  expect(parseLinks('memory=10;links=11')).toEqual({ memory: 10, links: [11] });
});

test.each([undefined, '', 'memory=3', 'memory=3;links=', 'links=4;memory=3', 'memory=-1;links=2'])(
  '%j is refused',
  (text) => {
    expect(() => parseLinks(text)).toThrow('GWANMUN_LINKS');
  },
);
