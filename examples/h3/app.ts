// Run it: npx gwanmun app.ts
import { H3 } from 'h3';

const app: H3 = new H3();

app.get('/', () => 'Hello from h3\n');
app.post('/echo', (event) => event.req.json());
app.get('/users/:name', (event) => ({ name: event.context.params?.['name'] }));

export default app;
