export default {
  listen: { port: 0 },
  workers: 1,
  threads: 1,
  accessLog: false,
  // All of 4 096 connections may ask at once.
  queue: { length: 8192 },
  mounts: [{ path: '/', app: './generator.ts' }],
};
