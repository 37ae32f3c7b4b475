import { timingSafeEqual } from 'node:crypto';
import type { Application } from 'gwanmun';

/** HTTP Basic authentication (RFC 7617). The user's name is in `environ.REMOTE_USER`, as CGI has it. */
export function authenticated(realm: string, users: Readonly<Record<string, string>>, inner: Application): Application {
  return (environ, startResponse) => {
    const [scheme, encoded = ''] = (environ['HTTP_AUTHORIZATION'] ?? '').split(' ');
    const [user = '', ...password] = Buffer.from(encoded, 'base64').toString().split(':');
    const expected = Object.hasOwn(users, user) ? users[user] : undefined;
    if (scheme?.toLowerCase() === 'basic' && expected !== undefined && isSame(password.join(':'), expected)) {
      environ['REMOTE_USER'] = user;
      return inner(environ, startResponse);
    }
    startResponse('401 Unauthorized', [
      ['WWW-Authenticate', `Basic realm="${realm}", charset="UTF-8"`],
      ['Content-Type', 'text/plain'],
    ]);
    return 'Who are you?\n';
  };
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
