import express from 'express';

const app = express();
app.get('/', (_request, response) => void response.type('text/plain').send('Hello, world!'));

export default app;
