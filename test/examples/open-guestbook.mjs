// Opens the guest book as a worker starting up does, when told to; prints how many entries it finds.
import { createJiti } from 'jiti';

process.send('ready');
process.once('message', async () => {
  const { latestEntries } = await createJiti(import.meta.url).import('../../examples/guestbook/entries.ts');
  process.send(latestEntries().length);
  process.disconnect();
});
