// Express as it is: `npx gwanmun examples/express/app.js`
import express from 'express';

const app = express();
app.use(express.json());
app.get('/', (_request, response) => response.send('Hello from Express\n'));
app.post('/echo', (request, response) => response.json(request.body));

export default app;
