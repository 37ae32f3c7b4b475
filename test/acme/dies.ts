// A process that dies without a word when it comes to a step.

import { FakeAuthority } from './fake-authority.js';
import { Site } from './site.js';

const [folder = '', step = ''] = process.argv.slice(2);
const authority = new FakeAuthority();
const die = (): void => void process.kill(process.pid, 'SIGKILL');
authority.onAnswer = (path) => {
  if (path === step) die();
};
const site = new Site({ directory: authority.directory, fetch: authority.fetch, storage: folder });
const write = site.storage.write.bind(site.storage);
site.storage.write = (file, text) => {
  write(file, text);
  if (step === 'stored' && file.startsWith('certificates/')) die();
};
site.begin();
setInterval(() => {}, 1000);
