import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The same tests over TLS.
    setupFiles: process.env.GWANMUN_TEST_TLS === '1' ? ['test/transport/serve-over-tls.mjs'] : [],
    // Real processes: tests spawn servers, send signals and change the current folder.
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // What gwanmun imports for its users is imported by Node, as it will be, and not transformed by the test runner.
    server: { deps: { external: [/\/fixtures\//, /\/gwanmun-\w+-\w+\//] } },
    // A test that passes at the second attempt has failed.
    retry: 0,
  },
});
