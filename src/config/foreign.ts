// What other servers call things, for people who try those names first.

/** Names of other servers, lower case and without `_` and `-`, and what stands for them here: a key, and how it is written. */
const FOREIGN: readonly (readonly [names: string, key: string, example: string])[] = [
  ['port host hostname address bind addr', 'listen', "listen: '127.0.0.1:8080'"],
  ['root static public dir directory folder alias documentroot', 'files', "files: './public'"],
  ['application handler script module entry wsgiapp', 'app', "app: './app.ts'"],
  ['location url route prefix', 'path', "path: '/'"],
  ['tryfile fallback', 'tryFiles', "tryFiles: ['/index.html']"],
  ['autoindex browse', 'listing', 'listing: true'],
  ['expires maxage', 'cacheControl', "cacheControl: { '/assets/*': '1y immutable' }"],
  ['addheader header customheaders', 'responseHeaders', "responseHeaders: { set: { 'X-Robots-Tag': 'noindex' } }"],
  [
    'authbasic basicauth basic_auth authbasicuserfile htpasswd password passwords login',
    'auth',
    "auth: { basic: './users' }",
  ],
  ['limitreq limitreqzone ratelimits ratelimiting throttle', 'rateLimit', 'rateLimit: { requests: 10, per: 1000 }'],
  ['helmet', 'securityHeaders', 'securityHeaders: true'],
  ['return rewrite redirects', 'redirect', "redirect: '/new'"],
  ['allowfrom allowed whitelist allowlist', 'allow', "allow: ['10.0.0.0/8']"],
  ['denied blacklist denylist blocklist block', 'deny', "deny: ['192.0.2.0/24']"],
  ['errorpage', 'errorPages', "errorPages: { 404: './404.html' }"],
  ['gzip brotli zstd compress encode', 'compression', 'compression: true'],
  ['instances processes numworkers workerprocesses cluster', 'workers', "workers: 'auto'"],
  ['maxrequests', 'recycle', 'recycle: { requests: 10_000 }'],
  ['clientmaxbodysize bodylimit maxbodysize', 'limits', 'limits: { body: 10 * 2 ** 20 }'],
  ['keepalive keepalivetimeout', 'timeouts', 'timeouts: { keepAlive: 75_000 }'],
  ['gracefultimeout killtimeout', 'shutdownTimeout', 'shutdownTimeout: 30_000'],
  ['env environment', 'environ', "environ: { APP_MODE: 'live' }"],
  ['log logs logger', 'accessLog', "accessLog: 'json'"],
  ['loglevel', 'errorLog', "errorLog: { level: 'warn' }"],
  [
    'trustproxy trustedproxy trustproxies setrealipfrom realip forwardedallowips',
    'trustedProxies',
    "trustedProxies: ['10.0.0.0/8']",
  ],
  ['pid', 'pidFile', "pidFile: '/run/site.pid'"],
  ['certfile certificate certpath crt fullchain chain pem sslcertificate', 'cert', "cert: './fullchain.pem'"],
  ['keyfile privatekey keypath privkey sslcertificatekey', 'key', "key: './privkey.pem'"],
  [
    'ca cafile cacerts clientca sslclientcertificate sslverifyclient sslcacertificatefile requestcert mtls clientauth crl crlfile sslcrl',
    'clientCertificates',
    "clientCertificates: { ca: './clients-ca.pem', crl: './clients-crl.pem' }",
  ],
  ['sslprotocols protocols minprotocol minimumversion tlsversion', 'minVersion', "minVersion: '1.3'"],
  ['acme letsencrypt autohttps domains domain', 'tls', "tls: { acme: { domains: ['example.org'] } }"],
  [
    'ssl https cert certificate certificates key certfile keyfile sslcertificate sslcertificatekey',
    'tls',
    "tls: { cert: './fullchain.pem', key: './privkey.pem' }",
  ],
  ['cgibin scriptalias execcgi', 'cgi', "cgi: './cgi-bin'"],
  ['fastcgipass fcgi phpfpm', 'fastcgi', "fastcgi: '127.0.0.1:9000'"],
  ['phpfastcgi phpserver', 'php', "php: './public'"],
  ['stricttransportsecurity', 'hsts', "hsts: '1y'"],
];

/** As above, in an address. */
const IN_ADDRESS: readonly (readonly [names: string, key: string, example: string])[] = [
  ['ssl https secure', 'tls', 'tls: true'],
];

/** As above, for what has its place in a mount when it was written outside of one. */
const IN_MOUNT: ReadonlySet<string> = new Set([
  'files',
  'app',
  'path',
  'wsgi',
  'php',
  'fastcgi',
  'cgi',
  'tryFiles',
  'listing',
  'cacheControl',
  'headers',
  'errorPages',
  'respond',
  'redirect',
  'cors',
  'passAuthorization',
]);

/** What no key stands for. */
const NOT_YET: readonly (readonly [names: string, what: string])[] = [
  ['proxy proxypass reverseproxy upstream upstreams backend target', 'gwanmun does not proxy yet'],
  ['http2 http3', 'gwanmun speaks HTTP/1.1 only as yet'],
  ['websocket websockets ws', 'gwanmun has no WebSocket yet'],
  ['servername host hosts virtualhost vhost', 'gwanmun does not choose by host name yet: a mount has a path'],
  [
    'redirecthttps httpsredirect forcehttps forcessl sslredirect',
    "it belongs to an address: listen: [{ port: 443, tls: true }, { port: 80, redirect: 'https' }]",
  ],
  ['rewrites', 'gwanmun has no rewrites yet; a mount can redirect'],
];

/** What to write instead of a key that another server has; undefined for any other word. `known` are the keys that can stand there. */
export function foreignKey(word: string, known: readonly string[]): string | undefined {
  const plain = word.toLowerCase().replaceAll(/[_-]/g, '');
  const isNamed = ([names]: readonly [string, ...string[]]): boolean => names.split(' ').includes(plain);
  const isAddress = known.includes('tls') && !known.includes('mounts');
  const entry = (isAddress ? IN_ADDRESS : FOREIGN).find(
    (candidate) => known.includes(candidate[1]) && isNamed(candidate),
  );
  if (entry !== undefined) return `gwanmun calls it ${entry[1]}, as in ${entry[2]}`;
  const isRoot = known.includes('mounts');
  if (isRoot) {
    const inMount = FOREIGN.find((candidate) => IN_MOUNT.has(candidate[1]) && isNamed(candidate));
    if (inMount !== undefined) return `it belongs in a mount: ${mountWith(inMount[1], inMount[2])}`;
    if (IN_MOUNT.has(word)) return `it belongs in a mount: ${mountWith(word, `${word}: …`)}`;
  }
  if (!isRoot && !known.includes('path')) return undefined;
  return NOT_YET.find(isNamed)?.[1];
}

function mountWith(key: string, example: string): string {
  return key === 'path' ? "mounts: [{ path: '/', files: './public' }]" : `mounts: [{ path: '/', ${example} }]`;
}
