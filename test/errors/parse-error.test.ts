import { expect, test } from 'vitest';
import { GwanmunError } from '../../src/errors.js';
import { parseError } from '../../src/parse-error.js';

test('an error that crosses a process boundary is what it was', () => {
  const error = new GwanmunError('GWM_APP_FAILED', 'app.ts: no', {
    where: { file: 'app.ts', line: 3, column: 1, frame: '> 3 | no' },
    remedy: 'do not',
    problems: [{ message: 'one', where: { key: 'mounts[0]' } }, { message: 'another' }],
    userStack: 'at app.ts:3',
    origin: { file: 'gwanmun.config.ts' },
    part: 'applications[0]',
  });
  expect(parseError(JSON.parse(JSON.stringify(error)))?.toJSON()).toEqual(error.toJSON());
});

test('what is not an error of this version is none', () => {
  const right = { code: 'GWM_APP_FAILED', message: 'no' };
  expect(parseError({ ...right, more: 1 })).toBeInstanceOf(GwanmunError);
  const wrong = [
    undefined,
    null,
    7,
    'no',
    [right],
    { message: 'no' },
    { code: 'GWM_APP_FAILED' },
    { ...right, code: 'toString' },
    { ...right, message: {} },
    { ...right, where: 'app.ts' },
    { ...right, where: { line: '3' } },
    { ...right, remedy: 7 },
    { ...right, problems: {} },
    { ...right, problems: ['no'] },
    { ...right, userStack: ['no'] },
    { ...right, part: 0 },
  ];
  for (const value of wrong) expect(parseError(value), JSON.stringify(value)).toBeUndefined();
});
