const size = Number(process.env.SIZE);

export default {
  listen: { port: 0 },
  workers: 1,
  threads: 1,
  accessLog: false,
  mounts: Array.from({ length: size }, (_, index) => ({ path: `/m${index}`, app: './hello.ts' })),
};
