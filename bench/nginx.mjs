// Configurations of nginx, tuned as its documentation advises for this work: one worker, no access log, sendfile,
// an open-file cache, connections that are never closed for their number of requests.

/**
 * @typedef {object} Place
 * @property {string} directory where nginx may write; removed afterwards
 * @property {number} port
 * @property {import('./certificate.mjs').Certificate} [certificate] for TLS
 */

/**
 * nginx serving a folder. Without `tcp_nopush`, `sendfile` costs it a packet more for each answer.
 * @param {Place} place
 * @param {string} site
 * @param {boolean} sendfile
 * @param {number} [upstreamPort] of a server that answers for /spin
 */
export function filesConfig(place, site, sendfile, upstreamPort) {
  const proxied = `location = /spin { proxy_pass http://127.0.0.1:${upstreamPort}; }`;
  return config(
    place,
    `
    ${sendfile ? 'sendfile on; tcp_nopush on;' : 'sendfile off;'}
    open_file_cache max=1000 inactive=1h;
    open_file_cache_valid 1m;
    open_file_cache_min_uses 1;
    server {
      ${listen(place)}
      root "${site}";
      ${upstreamPort === undefined ? '' : proxied}
    }`,
  );
}

/**
 * nginx serving many files, in other codings too: from beside them, or compressed each time.
 * @param {Place} place
 * @param {string} site
 */
export function manyFilesConfig(place, site) {
  return config(
    place,
    `
    sendfile on; tcp_nopush on;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1m;
    open_file_cache_min_uses 1;
    server {
      ${listen(place)}
      root "${site}";
      location = /packed.txt { gzip_static on; }
      location = /text.txt { gzip on; gzip_types text/plain; gzip_min_length 1024; }
    }`,
  );
}

/**
 * nginx answering from its own configuration.
 * @param {Place} place
 */
export function helloConfig(place) {
  return config(
    place,
    `
    server {
      ${listen(place)}
      location / {
        default_type text/plain;
        return 200 "Hello, world!";
      }
    }`,
  );
}

/**
 * nginx in front of an application server, with kept-alive connections to it.
 * @param {Place} place
 * @param {number} upstreamPort
 */
export function proxyConfig(place, upstreamPort) {
  return config(
    place,
    `
    upstream application {
      server 127.0.0.1:${upstreamPort};
      keepalive 128;
      keepalive_requests 1000000000;
      keepalive_time 24h;
    }
    server {
      listen 127.0.0.1:${place.port} backlog=4096;
      location / {
        proxy_pass http://application;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
      }
    }`,
  );
}

/**
 * nginx in front of an application server that speaks uWSGI's protocol, in which a connection carries one request.
 * @param {Place} place
 * @param {number} upstreamPort
 */
export function uwsgiConfig(place, upstreamPort) {
  const parameters = Object.entries({
    QUERY_STRING: '$query_string',
    REQUEST_METHOD: '$request_method',
    CONTENT_TYPE: '$content_type',
    CONTENT_LENGTH: '$content_length',
    REQUEST_URI: '$request_uri',
    PATH_INFO: '$document_uri',
    SERVER_PROTOCOL: '$server_protocol',
    REQUEST_SCHEME: '$scheme',
    REMOTE_ADDR: '$remote_addr',
    REMOTE_PORT: '$remote_port',
    SERVER_PORT: '$server_port',
    SERVER_NAME: '$server_name',
  }).map(([name, value]) => `uwsgi_param ${name} ${value};`);
  return config(
    place,
    `
    server {
      listen 127.0.0.1:${place.port} backlog=4096;
      location / {
        uwsgi_pass 127.0.0.1:${upstreamPort};
        ${parameters.join(' ')}
      }
    }`,
  );
}

/** @param {Place} place */
function listen({ port, certificate }) {
  const address = `127.0.0.1:${port}`;
  if (!certificate) return `listen ${address} backlog=4096;`;
  return `listen ${address} ssl backlog=4096; ssl_certificate "${certificate.cert}"; ssl_certificate_key "${certificate.key}"; ssl_protocols TLSv1.3;`;
}

/**
 * @param {Place} place
 * @param {string} body
 */
function config({ directory }, body) {
  // As root, nginx drops to `nobody`, which may not be able to read the checkout.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  return `
${user}
daemon off;
worker_processes 1;
pid "${directory}/nginx.pid";
error_log stderr warn;
worker_rlimit_nofile 16384;
events { worker_connections 16384; }
http {
    types { text/html html; text/plain txt; }
    default_type application/octet-stream;
    access_log off;
    keepalive_requests 1000000000;
    keepalive_time 24h;
    keepalive_timeout 75s;
    client_body_temp_path "${directory}/body";
    proxy_temp_path "${directory}/proxy";
    fastcgi_temp_path "${directory}/fastcgi";
    uwsgi_temp_path "${directory}/uwsgi";
    scgi_temp_path "${directory}/scgi";
${body}
}
`;
}
