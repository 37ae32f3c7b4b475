export default {
  listen: { port: 0 },
  workers: 1,
  threads: 1,
  accessLog: false,
  mounts: [{ path: '/', files: '../../target/bench-site' }],
};
