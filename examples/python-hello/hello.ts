import type { Application } from 'gwanmun';

export const application: Application = (environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', 'text/plain; charset=utf-8']]);
  return `Hello from TypeScript, ${environ.PATH_INFO}\n`;
};
