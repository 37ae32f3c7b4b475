import { defineConfig } from 'gwanmun';

// A request for a file of ./public is answered by the Rust core; every other one goes to the application.
export default defineConfig({
  mounts: [{ path: '/', files: './public', app: './app.ts' }],
});
