import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { ApplicationKind } from '../../src/config/define.js';
import { GwanmunError } from '../../src/errors.js';
import { formatError } from '../../src/format-error.js';
import type { Application } from '../../src/gateway/types.js';
import { loadApplication } from '../../src/worker/load.js';

const fixture = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

async function fault(name: string, kind?: ApplicationKind): Promise<GwanmunError> {
  const error: unknown = await loadApplication({ module: fixture(name), kind }).catch((thrown: unknown) => thrown);
  if (error instanceof GwanmunError) return error;
  throw new Error(`${name} was accepted`, { cause: error });
}

describe('an application module', () => {
  test.each([
    ['typescript.ts', ['hello']],
    ['enum.ts', ['1']],
    ['commonjs.cjs', ['commonjs']],
    ['javascript.mjs', ['javascript']],
  ])('%s is loaded', async (name, body) => {
    const { application } = await loadApplication({ module: fixture(name) });
    expect((application as Application)({} as never, () => () => {})).toEqual(body);
  });

  test('that misspells application is told so', async () => {
    const error = await fault('misspelt.ts');
    expect(error).toMatchObject({ code: 'GWM_NO_APPLICATION', exitCode: 1 });
    expect(formatError(error)).toBe(
      [
        '✗ GWM_NO_APPLICATION  test/worker/fixtures/misspelt.ts does not export application; it exports aplication, other',
        '  at test/worker/fixtures/misspelt.ts',
        '  try: did you mean "aplication"? then: export { aplication as application }',
        '  more: gwanmun help GWM_NO_APPLICATION',
      ].join('\n'),
    );
  });

  test.each([
    ['nothing.ts', 'does not export application; it exports nothing'],
    ['not-a-function.ts', 'exports application, but it is a value of type object'],
  ])('%s is GWM_NO_APPLICATION', async (name, message) => {
    const error = await fault(name);
    expect(error.code).toBe('GWM_NO_APPLICATION');
    expect(error.message).toContain(message);
  });

  test('with a default function is a Node handler', async () => {
    expect((await loadApplication({ module: fixture('default-only.ts') })).application).toHaveProperty('open');
  });

  test('that holds two kinds is told the ways to say which', async () => {
    const error = await fault('both.ts');
    expect(formatError(error)).toBe(
      [
        '✗ GWM_APP_AMBIGUOUS  test/worker/fixtures/both.ts holds a function named application and a fetch handler and a default function, which is a Node handler',
        '  at test/worker/fixtures/both.ts',
        '  try: say which in the configuration:',
        "       app: { wsgi: './test/worker/fixtures/both.ts' }    # application(environ, startResponse)",
        "       app: { fetch: './test/worker/fixtures/both.ts' }   # fetch(request)",
        "       app: { node: './test/worker/fixtures/both.ts' }    # (request, response) => void",
        '  more: gwanmun help GWM_APP_AMBIGUOUS',
      ].join('\n'),
    );
  });

  test('that holds two kinds is the one that the configuration says', async () => {
    const { application: contract } = await loadApplication({ module: fixture('both.ts'), kind: 'wsgi' });
    expect((contract as Application)({} as never, () => () => {})).toEqual(['contract']);
    expect((await loadApplication({ module: fixture('both.ts'), kind: 'node' })).application).toHaveProperty('open');
  });

  test('without the kind that the configuration says is GWM_NO_APPLICATION', async () => {
    expect(await fault('typescript.ts', 'node')).toMatchObject({
      code: 'GWM_NO_APPLICATION',
      message: 'test/worker/fixtures/typescript.ts does not export a default function, which is a Node handler',
    });
    expect((await fault('default-only.ts', 'fetch')).code).toBe('GWM_NO_APPLICATION');
  });

  test('that throws at import names the line of the source, with its stack', async () => {
    const error = await fault('throws.ts');
    expect(error).toMatchObject({
      code: 'GWM_APP_FAILED',
      message: 'test/worker/fixtures/throws.ts: no database',
      where: { file: 'test/worker/fixtures/throws.ts', line: 4 },
    });
    expect(error.userStack).toMatch(/^TypeError: no database\n\s+at load .*throws\.ts:4:\d+/);
    expect(error.userStack).not.toContain('node_modules');
  });

  test('with a syntax error names the line of the source', async () => {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), 'gwanmun-syntax-')));
    try {
      const path = join(directory, 'app.ts');
      writeFileSync(path, 'export function application() {\n  const x: = 1;\n}\n');
      await expect(loadApplication({ module: path })).rejects.toMatchObject({
        code: 'GWM_APP_SYNTAX',
        where: { file: expect.stringMatching(/app\.ts$/) as string, line: 2 },
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('that imports what is not there is GWM_APP_FAILED and says what', async () => {
    const error = await fault('missing-import.ts');
    expect(error.code).toBe('GWM_APP_FAILED');
    expect(error.message).toContain('there-is-no-such-file.js');
  });

  test('that is not there at all is GWM_APP_FAILED', async () => {
    expect((await fault('gone.ts')).code).toBe('GWM_APP_FAILED');
  });

  test('survives the way to the main process', async () => {
    const error = await fault('throws.ts');
    const copy = GwanmunError.fromJSON(JSON.parse(JSON.stringify(error)) as ReturnType<GwanmunError['toJSON']>);
    expect(formatError(copy)).toBe(formatError(error));
  });
});
