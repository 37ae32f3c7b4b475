// The peer Express. `node express.mjs hello|starved`
import { join } from 'node:path';
import express from 'express';
import { announce, spin } from './announce.mjs';

const app = express();
/** @type {import('express').RequestHandler} */
const hello = (_request, response) => {
  response.type('text/plain').send('Hello, world!');
};

if (process.argv[2] === 'starved') {
  app.get('/spin', (_request, response) => void response.type('text/plain').send(spin()));
  app.use(express.static(join(import.meta.dirname, '../apps/site')));
} else {
  app.get('/', hello);
}

const server = app.listen(0, '127.0.0.1', () => {
  announce(/** @type {import('node:net').AddressInfo} */ (server.address()).port);
});
