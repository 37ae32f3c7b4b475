import { defineConfig } from 'gwanmun';

export default defineConfig({
  // A request for a file of ./public is answered by the Rust core; every other one goes to the application.
  mounts: [{ path: '/', files: './public', app: './app.ts' }],
  // An open page listens for events, a response without an end: stopping need not wait long for it.
  shutdownTimeout: 500,
});
