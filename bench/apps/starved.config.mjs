export default {
  listen: { port: 0 },
  workers: 1,
  threads: 1,
  accessLog: false,
  mounts: [
    { path: '/', files: './site' },
    { path: '/spin', app: './spin.ts' },
  ],
};
