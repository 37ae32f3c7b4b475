// npm run chaos [-- reload|crash|upgrade|certificates] [--requests N]: the proofs that workers and certificates come and go and no client notices. Exits with 1 if a
// count is off by one.

import { parseArgs } from 'node:util';
import { certificates } from './certificates.mjs';
import { crash } from './crash.mjs';
import { reload } from './reload.mjs';
import { upgrade } from './upgrade.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { requests: { type: 'string', default: '20000' }, every: { type: 'string', default: '300' } },
});
const options = { requests: Number(values.requests), everyMs: Number(values.every) };
/** @type {Record<string, (options: { requests: number, everyMs: number }) => Promise<{ facts: object, faults: string[], log: string }>>} */
const proofs = { reload, crash, upgrade, certificates };
const unknown = positionals.filter((name) => proofs[name] === undefined);
if (unknown.length > 0 || !(options.requests > 0) || !(options.everyMs > 0)) {
  process.stderr.write(
    `usage: npm run chaos -- [${Object.keys(proofs).join('|')}] [--requests N] [--every MILLISECONDS]\n`,
  );
  process.exit(2);
}

for (const name of positionals.length > 0 ? positionals : Object.keys(proofs)) {
  const { facts, faults, log } = await /** @type {typeof reload} */ (proofs[name])(options);
  process.stdout.write(`${faults.length === 0 ? 'ok' : 'FAILED'}: ${name} ${JSON.stringify(facts)}\n`);
  for (const fault of faults) process.stdout.write(`  ${fault}\n`);
  if (faults.length > 0) {
    process.stdout.write(`${log.slice(-4000)}\n`);
    process.exitCode = 1;
  }
}
