//! The core's configuration, as the TypeScript half hands it over: complete, with every default filled in.

use gwanmun_files::Symlinks;
use gwanmun_log::Level;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One server. Times are milliseconds, sizes bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// I/O threads; 0 = one per core that this process may use.
    pub threads: usize,
    pub listen: Vec<Listen>,
    pub mounts: Vec<Mount>,
    pub pools: Vec<Pool>,
    /// Other servers, which mounts name by their index.
    #[serde(default)]
    pub upstreams: Vec<Upstream>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Value of the `Server` header; none: no such header.
    pub server_header: Option<String>,
    pub access_log: AccessLog,
    pub error_log: ErrorLog,
    /// Pairs of the deployer that every environ has; characters up to U+00FF, without NUL.
    #[serde(default)]
    pub environ: BTreeMap<String, String>,
    /// Networks whose peers are believed when they say for whom they forward a request: `10.0.0.0/8`, an address, `unix`, `*`. None: nobody is, nor can
    /// be made so, and requests that say such a thing are nothing to tell of.
    #[serde(default)]
    pub trusted_proxies: Option<Vec<String>>,
    #[serde(default)]
    pub request_ids: RequestIds,
    /// Where files that were compressed are kept for later processes.
    #[serde(default)]
    pub compression_cache: Option<PathBuf>,
    /// Where large request bodies are buffered.
    pub temp_dir: PathBuf,
    /// `wsgi.multiprocess`: the applications run in several processes.
    pub multiprocess: bool,
    /// Descriptors of listening sockets that this process was started with, handed over: taken for the addresses of `listen` that they
    /// have, instead of binding those.
    #[serde(default)]
    pub inherited: Vec<i32>,
    /// Descriptors that clients leave to what the embedder starts: workers, at a reload those of another generation, its own connections.
    #[serde(default)]
    pub reserved_descriptors: u64,
    /// The embedder wants to know of requests that are refused.
    #[serde(default)]
    pub tell_refusals: bool,
    /// Value of `Strict-Transport-Security`, over TLS; none: no such header.
    #[serde(default)]
    pub hsts: Option<String>,
    #[serde(default)]
    pub min_tls: MinTls,
    /// Names that are to be served over TLS. There need not be certificates for them yet.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Of responses that no mount gives.
    #[serde(default)]
    pub header_rules: HeaderRules,
    /// Who may enter anything at all.
    #[serde(default)]
    pub addresses: Option<Addresses>,
    #[serde(default)]
    pub login: Option<Login>,
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
}

/// How often somebody may ask.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Limits of one name and pace count together.
    pub name: String,
    /// So many requests in so many milliseconds, and so many at once.
    pub requests: u32,
    pub per: u32,
    pub burst: u32,
    pub key: RateKey,
    pub status: u16,
    /// It only says in the log what it would refuse.
    #[serde(default)]
    pub dry_run: bool,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RateKey {
    /// The client's; of IPv6, its network of 64 bits.
    Address,
    /// Everybody's.
    All,
    /// The value of a header; without it, the address.
    Header(String),
}

/// Who may enter by password.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// A file of `user:hash`; none: they are in `users`.
    #[serde(default)]
    pub file: Option<PathBuf>,
    #[serde(default)]
    pub users: String,
    pub realm: String,
    /// Different wrong passwords that an address may try in a minute; none: any number.
    #[serde(default)]
    pub attempts: Option<u32>,
}

/// What is done to the head of every response. No name is in two of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderRules {
    pub set: Vec<(String, String)>,
    /// Where the response has no such field.
    pub default: Vec<(String, String)>,
    pub remove: Vec<String>,
}

/// Networks as they are written. Without any in `allow`, whoever is in none of `deny` may enter.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Addresses {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

/// What pages of other origins may do with a mount.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cors {
    /// `https://a.example`, `https://*.a.example`, `null`; `*` for all.
    pub origins: Vec<String>,
    pub credentials: bool,
    pub methods: Vec<String>,
    /// Header fields of requests.
    pub headers: Vec<String>,
    /// Header fields of responses.
    pub expose: Vec<String>,
    /// Seconds.
    pub max_age: u32,
}

/// An answer that is the same for all.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fixed {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redirect {
    /// A path, or a URL: encoded, and without a slash at its end, except where it is one. With a query it is the whole target.
    pub to: String,
    pub status: u16,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum MinTls {
    #[default]
    #[serde(rename = "1.2")]
    V12,
    #[serde(rename = "1.3")]
    V13,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Listen {
    Tcp {
        host: String,
        port: u16,
        #[serde(default)]
        backlog: Option<i32>,
        /// Of a name's addresses only the first.
        #[serde(default)]
        single: bool,
        /// `::` means the addresses of IPv6 alone.
        #[serde(default, rename = "ipv6Only")]
        only_v6: bool,
        /// Other processes of the same user that say so too may listen on the address at the same time.
        #[serde(default)]
        shared: bool,
        /// TLS is spoken.
        #[serde(default)]
        tls: bool,
        /// Clients are told to ask at this port over TLS; 0: at that of the first TCP address where it is spoken.
        #[serde(default)]
        redirect: Option<u16>,
    },
    Unix {
        path: PathBuf,
        /// Permission bits of the socket file.
        #[serde(default)]
        mode: Option<u32>,
        #[serde(default)]
        tls: bool,
        #[serde(default)]
        redirect: Option<u16>,
    },
    /// Every inherited socket whose address no other entry has, for a service manager that binds the addresses itself.
    Inherited {
        /// TLS is spoken, or clients are redirected, as the entry says that has the socket's port or path, else as the first one says.
        #[serde(default)]
        like: Vec<Listen>,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// Decoded path prefix without a trailing slash, except `/` itself.
    pub path: String,
    #[serde(default)]
    pub files: Option<Files>,
    /// Index that the workers know the application by.
    #[serde(default)]
    pub application: Option<u32>,
    #[serde(default)]
    pub error_pages: Vec<ErrorPage>,
    /// Folders whose files the application may name in `X-Sendfile`; none: the header means nothing.
    #[serde(default)]
    pub sendfile: Vec<PathBuf>,
    /// What the application sends is compressed for clients that take it.
    #[serde(default)]
    pub compress: bool,
    /// Whether the application gets request bodies as they come, instead of whole. None: as it wishes.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Index of the worker pool that runs the application.
    #[serde(default)]
    pub pool: usize,
    #[serde(default)]
    pub respond: Option<Fixed>,
    #[serde(default)]
    pub redirect: Option<Redirect>,
    #[serde(default)]
    pub header_rules: HeaderRules,
    #[serde(default)]
    pub cors: Option<Cors>,
    /// Who may enter, beside what is said of the mounts around it and of the whole.
    #[serde(default)]
    pub addresses: Option<Addresses>,
    /// What is said of those does not hold for it.
    #[serde(default)]
    pub open: bool,
    /// A program that speaks FastCGI answers, where there is no file.
    #[serde(default)]
    pub fastcgi: Option<FastCgi>,
    /// Programs that are started for each request, where there is no file.
    #[serde(default)]
    pub cgi: Option<Cgi>,
    /// Instead of what is said of the mounts around it.
    #[serde(default)]
    pub login: Option<Login>,
    /// No password is asked for, whatever is said of those.
    #[serde(default)]
    pub no_login: bool,
    /// The application gets `Authorization` although the core has used it.
    #[serde(default)]
    pub pass_authorization: bool,
    /// Beside what is said of the mounts around it.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
    /// What is said of those does not hold for it.
    #[serde(default)]
    pub no_rate_limit: bool,
}

/// How requests are given to programs that are started for them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cgi {
    /// Index of the upstream, which bounds how many run at once.
    pub upstream: usize,
    /// The folder that they are in.
    pub folder: PathBuf,
    /// The name of the only one that runs. None: every executable file in the folder does.
    #[serde(default)]
    pub program: Option<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub pass_authorization: bool,
    #[serde(default)]
    pub limits: CgiLimits,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CgiLimits {
    /// Seconds of a processor.
    #[serde(default)]
    pub cpu: Option<u64>,
    /// Bytes of memory.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Bytes of a file that it writes.
    #[serde(default)]
    pub file_size: Option<u64>,
}

/// How requests are given to a FastCGI program.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FastCgi {
    /// Index of the upstream.
    pub upstream: usize,
    /// None: the program gets every request, and knows itself what its path means.
    #[serde(default)]
    pub scripts: Option<Scripts>,
    /// Variables that win over all others.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The program gets a client's `Authorization`.
    #[serde(default)]
    pub pass_authorization: bool,
}

/// Which files a program runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scripts {
    pub root: PathBuf,
    /// The same folder as the program sees it. None: as it is here, with its links resolved.
    #[serde(default)]
    pub root_there: Option<String>,
    /// The script that answers for a folder, and in the first folder for every path that nothing else is for. None: there is none.
    #[serde(default)]
    pub index: Option<String>,
    /// What the names of scripts end in, such as `.php`.
    pub extensions: Vec<String>,
    /// Paths of the scripts that may run, such as `/index.php`. None: all.
    #[serde(default)]
    pub only: Option<Vec<String>>,
    /// Paths beneath which no script runs.
    #[serde(default)]
    pub no_exec: Vec<String>,
    #[serde(default)]
    pub symlinks: Symlinks,
}

/// Another server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    pub address: UpstreamAddress,
    /// Requests that it gets at once.
    pub max_connections: usize,
    /// Most requests that wait for one of them; one more gets a 503.
    pub queue: usize,
    /// Longest that a request waits; then it gets a 503.
    pub queue_timeout_ms: u64,
    /// Longest that connecting takes; then the client gets a 502.
    pub connect_timeout_ms: u64,
    /// Longest that it sends nothing; then the client gets a 504. 0: as long as it likes.
    pub timeout_ms: u64,
    /// It is started here, and listens on the Unix socket that is its address, in a folder that is made for it.
    #[serde(default)]
    pub spawn: Option<Spawn>,
}

/// A FastCGI program that is started.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spawn {
    pub program: PathBuf,
    /// How many processes.
    pub children: usize,
    /// Their environment.
    pub env: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum UpstreamAddress {
    Tcp {
        host: String,
        port: u16,
    },
    /// With `@` before it a name of the abstract namespace.
    Unix {
        path: PathBuf,
    },
    /// Nowhere: programs are started.
    Processes {
        folder: PathBuf,
    },
}

impl std::fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
            Self::Processes { folder } => folder.display().fmt(f),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Files {
    pub root: PathBuf,
    /// Names that are served for a folder, in order of preference.
    pub index: Vec<String>,
    /// Paths that are tried in turn, with `$path` for the request's own; none: that alone.
    #[serde(default)]
    pub try_files: Vec<String>,
    /// Media types by extension, without its dot, that win over the known ones.
    #[serde(default)]
    pub types: Vec<(String, String)>,
    /// Fields of the files that a pattern matches: pattern, name, value. Of a name, the last one counts.
    #[serde(default)]
    pub headers: Vec<(String, String, String)>,
    /// A folder without an index is listed.
    #[serde(default)]
    pub listing: bool,
    /// Files are sent in the coding that the client likes best.
    #[serde(default)]
    pub compress: bool,
    #[serde(default)]
    pub symlinks: Symlinks,
}

/// What a client sees instead of the core's own page for an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorPage {
    pub status: u16,
    pub file: PathBuf,
}

impl Listen {
    /// Whether it is the address of another one, whatever else is said of it.
    pub(crate) fn same_address(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Tcp { host, port, single, .. },
                Self::Tcp { host: other_host, port: other_port, single: other_single, .. },
            ) => (host, port, single) == (other_host, other_port, other_single),
            (Self::Unix { path, .. }, Self::Unix { path: other_path, .. }) => path == other_path,
            (Self::Inherited { .. }, Self::Inherited { .. }) => true,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// Most requests that wait for a worker; one more gets a 503.
    pub queue: usize,
    /// Longest that a request waits for a worker; then it gets a 503.
    pub queue_timeout_ms: u64,
    /// Longest that an application that has begun a request may take until its response begins; then the client gets a 504.
    /// 0: as long as it likes.
    pub request_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    pub request_line: usize,
    pub header_bytes: usize,
    pub header_count: usize,
    /// Largest request body.
    pub body: u64,
    /// Request bodies up to this size stay in memory, larger ones go to a temporary file.
    pub body_in_memory: usize,
    /// Bytes of all request bodies together that are in temporary files; beyond it a request gets a 503.
    #[serde(default = "unlimited")]
    pub spool: u64,
    /// Bytes a second that a client sends of a body, or takes of a response, on average; 0: any. By default 240, as Kestrel has it.
    pub min_rate: u64,
}

fn unlimited() -> u64 {
    u64::MAX
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// From the first byte of a head (or from accepting) to its end.
    pub header_ms: u64,
    /// Between two pieces of a request body.
    pub body_ms: u64,
    /// Between a response and the next request.
    pub keep_alive_ms: u64,
    /// Without the client taking a byte of a response.
    pub write_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessLog {
    pub format: AccessFormat,
    pub color: bool,
    /// None: standard output.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessFormat {
    Combined,
    Short,
    Json,
    Off,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorLog {
    #[serde(default)]
    pub format: ErrorFormat,
    /// Lines of less weight are not written.
    #[serde(default)]
    pub level: Level,
    /// None: standard error.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// As text, what applications print gets a time and a level too.
    #[serde(default)]
    pub timed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorFormat {
    #[default]
    Text,
    Json,
}

/// Whether requests have ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestIds {
    #[default]
    Off,
    /// The client's, if it sends a well-formed one; else one of ours.
    Accept,
    /// Always one of ours.
    Generate,
}
