export function GET({ cookies }) {
  cookies.set('a', '1', { path: '/' });
  cookies.set('b', '2', { path: '/' });
  return new Response('cookies', { headers: { 'Content-Type': 'text/plain' } });
}
