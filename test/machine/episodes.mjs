// The process that has the core: it runs one episode after the other and tells the other process of each.

import { createJiti } from 'jiti';

const { runEpisode, warmUp } = /** @type {typeof import('./episode.js')} */ (
  await createJiti(import.meta.url).import('./episode.ts')
);

const [first = 1, seconds = 60, episodes = Number.POSITIVE_INFINITY] = process.argv.slice(2).map(Number);
const end = performance.now() + seconds * 1000;
await warmUp();
for (let seed = first; performance.now() < end && seed < first + episodes; seed++) {
  process.send?.({ begun: seed });
  const outcome = await runEpisode(seed);
  await new Promise((resolve) => process.send?.({ outcome }, resolve));
  if (outcome.faults.length > 0) break;
}
process.exit();
