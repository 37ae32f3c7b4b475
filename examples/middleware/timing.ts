import type { Application } from 'gwanmun';

/** Says in `Server-Timing` how long the application took until its headers; browsers show it in their developer tools. */
export function timed(inner: Application): Application {
  return (environ, startResponse) => {
    const start = performance.now();
    return inner(environ, (status, headers, excInfo) => {
      const time = (performance.now() - start).toFixed(2);
      return startResponse(status, [...headers, ['Server-Timing', `app;dur=${time}`]], excInfo);
    });
  };
}
