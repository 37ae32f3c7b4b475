// Koa as it is: `npx gwanmun examples/koa/app.js`
import Koa from 'koa';

const app = new Koa();
app.use(async (context) => {
  context.body = { hello: 'from Koa', path: context.path };
});

export default app.callback();
