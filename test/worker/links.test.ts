import { expect, test } from 'vitest';
import { parseLinks } from '../../src/worker/links.js';

test('GWANMUN_LINKS names the page of marks and one link for each I/O thread', () => {
  expect(parseLinks('marks=3;links=4,5')).toEqual({ marks: 3, links: [4, 5] });
  expect(parseLinks('marks=10;links=11')).toEqual({ marks: 10, links: [11] });
});

test.each([undefined, '', 'marks=3', 'marks=3;links=', 'links=4;marks=3', 'marks=-1;links=2'])(
  '%j is refused',
  (text) => {
    expect(() => parseLinks(text)).toThrow('GWANMUN_LINKS');
  },
);
