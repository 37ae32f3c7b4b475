// The peer Fastify. `node fastify.mjs hello|mounts [SIZE]`
import Fastify from 'fastify';
import { announce } from './announce.mjs';

const [application = '', size = '0'] = process.argv.slice(2);
const server = Fastify();
/** @type {import('fastify').RouteHandlerMethod} */
const hello = (_request, reply) => reply.type('text/plain').send('Hello, world!');

if (application === 'mounts') for (let i = 0; i < Number(size); i += 1) server.get(`/m${i}/*`, hello);
else server.get('/', hello);

await server.listen({ port: 0, host: '127.0.0.1' });
announce(server.addresses()[0]?.port);
