// Two languages in one server: http://127.0.0.1:3000/python/you and http://127.0.0.1:3000/you
export default {
  mounts: [
    { path: '/', app: './hello.ts' },
    { path: '/python', wsgi: 'hello:application' },
  ],
};
