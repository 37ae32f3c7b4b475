import type { Application } from 'gwanmun';

/** Applications by `'GET /notes/:id'`. What a `:name` stands for is in `environ['router.params']`. */
export function router(routes: Readonly<Record<string, Application>>): Application {
  const table = Object.entries(routes).map(([route, application]) => {
    const [method = '', path = ''] = route.split(' ');
    const pattern = path.replace(/:(\w+)/g, '(?<$1>[^/]+)');
    return { method, pattern: new RegExp(`^${pattern}$`), application };
  });
  return (environ, startResponse) => {
    const allowed: string[] = [];
    for (const { method, pattern, application } of table) {
      const match = pattern.exec(environ.PATH_INFO);
      if (match === null) continue;
      if (method === environ.REQUEST_METHOD) {
        environ['router.params'] = { ...match.groups };
        return application(environ, startResponse);
      }
      allowed.push(method);
    }
    const found = allowed.length > 0;
    startResponse(found ? '405 Method Not Allowed' : '404 Not Found', found ? [['Allow', allowed.join(', ')]] : []);
    return '';
  };
}
