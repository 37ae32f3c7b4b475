/** gwanmun: web server, gateway and application server in one package. */

export { serve, type ServeMount, type ServeOptions, type Server } from './serve.js';
export type { CloseOptions } from './in-process.js';
export type { ClientCertificate, FetchApplication, FetchHandler, FetchInfo, TlsInfo } from './adapters/fetch/types.js';
export { createServer, GatewayServer } from './adapters/node/server.js';
export {
  defineConfig,
  type AccessLogFormat,
  type Certificate,
  type ClientCertificates,
  type Config,
  type ConfigExport,
  type Hooks,
  type Limits,
  type Listen,
  type Mount,
  type TcpListen,
  type Timeouts,
  type Tls,
  type UnixListen,
} from './config/define.js';
export type { CoreAddress } from './config/core.js';
export { GwanmunError, type ErrorCode } from './errors.js';
export { validator } from './gateway/validator.js';
export type { FileBody, FileOptions, FileSource, FileWrapper } from './gateway/file-body.js';
export type {
  Application,
  ApplicationBody,
  ApplicationResult,
  BodyChunk,
  EarlyHints,
  Environ,
  ErrorStream,
  Header,
  InputStream,
  StartResponse,
  Write,
} from './gateway/types.js';
