import fastify from 'fastify';

const app = fastify();
app.get('/', (_request, reply) => void reply.type('text/plain').send('Hello, world!'));
await app.ready();

export default app.routing;
