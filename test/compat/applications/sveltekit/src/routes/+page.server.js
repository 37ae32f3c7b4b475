export function load({ cookies, request, url }) {
  return { host: request.headers.get('host'), args: [...url.searchParams], cookies: cookies.getAll() };
}
