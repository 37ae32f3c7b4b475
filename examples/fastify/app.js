// Fastify as it is: `npx gwanmun examples/fastify/app.js`
import fastify from 'fastify';

const app = fastify();
app.get('/', () => ({ hello: 'from Fastify' }));
app.post('/echo', (request, reply) => void reply.send(request.body));
await app.ready();

export default app.routing;
