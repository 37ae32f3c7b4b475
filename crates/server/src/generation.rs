//! A generation: the configuration as the I/O threads use it, built and validated whole, never changed.

use crate::config::{Config, RequestIds, Timeouts};
use crate::error::{Error, ErrorKind};
use crate::mounts::application::pool::Pool;
use crate::mounts::files::{AllowedFolders, FileRoot};
use crate::router::Router;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) router: Router,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) head_limits: gwanmun_http1::Limits,
    pub(crate) body_limit: u64,
    pub(crate) body_in_memory: usize,
    pub(crate) timeouts: Timeouts,
    /// `Server: …\r\n`, or nothing.
    pub(crate) server_line: Vec<u8>,
    /// Of its workers, which run what its mounts name.
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) temp_dir: PathBuf,
    pub(crate) request_ids: RequestIds,
    pub(crate) log_access: bool,
    /// Access lines are JSON: they have more fields, and the reason of a refusal among them.
    pub(crate) log_json: bool,
}

#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) path: String,
    pub(crate) files: Option<Arc<Files>>,
    pub(crate) application: Option<Application>,
    /// Where the files are that the application may name in `X-Sendfile`.
    pub(crate) sendfile: Option<Arc<AllowedFolders>>,
}

#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) root: FileRoot,
    pub(crate) index: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Application {
    pub(crate) index: u32,
    pub(crate) pool: usize,
    /// Whether it gets request bodies as they come. None: as it wishes.
    pub(crate) stream: Option<bool>,
}

/// A head must fit a frame together with its table and the decoded path.
const MAX_HEADER_BYTES: usize = 32 * 1024;
const MAX_REQUEST_LINE: usize = 16 * 1024;
const MAX_HEADER_COUNT: usize = 1000;

impl Generation {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Config, message));
        let limits = &config.limits;
        if limits.header_bytes > MAX_HEADER_BYTES
            || limits.request_line > MAX_REQUEST_LINE
            || limits.header_count > MAX_HEADER_COUNT
        {
            return invalid(format!(
                "limits.headerBytes is at most {MAX_HEADER_BYTES}, requestLine {MAX_REQUEST_LINE}, headerCount {MAX_HEADER_COUNT}."
            ));
        }
        if limits.body_in_memory > gwanmun_gateway::WINDOW as usize {
            return invalid(format!("limits.bodyInMemory is at most {}.", gwanmun_gateway::WINDOW));
        }
        let server = config.server_header.as_deref();
        if server.is_some_and(|value| {
            value.is_empty() || value.bytes().any(|byte| !(b' '..=b'~').contains(&byte))
        }) {
            return invalid("The Server header holds printable ASCII characters only.".to_owned());
        }
        let mut mounts = Vec::new();
        for (index, mount) in config.mounts.iter().enumerate() {
            if !mount.path.starts_with('/') || (mount.path.len() > 1 && mount.path.ends_with('/')) {
                return invalid(format!(
                    "A mount's path starts with a slash and does not end with one: {:?}.",
                    mount.path
                ));
            }
            if mount.application.is_some() && mount.pool >= config.pools.len() {
                return invalid(format!(
                    "The mount {:?} names a worker pool that does not exist.",
                    mount.path
                ));
            }
            let files = match &mount.files {
                Some(files) => {
                    let root = FileRoot::open(&files.root).map_err(|error| {
                        let path = files.root.display();
                        let what = format!("The folder {path} can't be served");
                        Error::io(ErrorKind::Files, &what, &error)
                            .at(format!("mounts[{index}].files"))
                    })?;
                    Some(Arc::new(Files { root, index: files.index.clone() }))
                }
                None => None,
            };
            let application = mount.application.map(|index| Application {
                index,
                pool: mount.pool,
                stream: mount.stream,
            });
            let sendfile = match mount.sendfile.as_slice() {
                [] => None,
                paths => Some(Arc::new(AllowedFolders::open(paths).map_err(|(path, error)| {
                    let path = path.display();
                    Error::new(
                        ErrorKind::Files,
                        format!("The folder {path} can't be used for X-Sendfile: {error}."),
                    )
                })?)),
            };
            mounts.push(Mount { path: mount.path.clone(), files, application, sendfile });
        }
        let environ: Arc<[u8]> =
            static_environ(server.unwrap_or("gwanmun"), &config.environ).into();
        let pool = |own| Arc::new(Pool::new(own, Arc::clone(&environ), config.multiprocess));
        let pools = config.pools.iter().copied().map(pool).collect();
        Ok(Self {
            router: Router::new(config.mounts.iter().map(|mount| mount.path.as_str())),
            mounts,
            head_limits: gwanmun_http1::Limits {
                request_line: limits.request_line,
                header_bytes: limits.header_bytes,
                header_count: limits.header_count,
            },
            body_limit: limits.body,
            body_in_memory: limits.body_in_memory,
            timeouts: config.timeouts,
            server_line: server
                .map(|name| format!("Server: {name}\r\n").into_bytes())
                .unwrap_or_default(),
            pools,
            temp_dir: config.temp_dir.clone(),
            request_ids: config.request_ids,
            log_json: config.access_log.format == crate::config::AccessFormat::Json,
            log_access: config.access_log.format != crate::config::AccessFormat::Off,
        })
    }

    /// Writes the access log as another generation does: the log stays open.
    pub(crate) fn log_like(&mut self, other: &Self) {
        self.log_access = other.log_access;
        self.log_json = other.log_json;
    }

    /// The pool that runs a mount's application.
    pub(crate) fn pool_of(&self, mount: usize) -> Option<&Arc<Pool>> {
        self.mounts.get(mount)?.application.and_then(|own| self.pools.get(own.pool))
    }
}

/// Environ values that are the same for every request, each name and value followed by NUL, in latin-1 as environs are. The deployer's come last, and
/// so win (W11); a character that latin-1 lacks becomes `?`.
fn static_environ(software: &str, deployer: &BTreeMap<String, String>) -> Vec<u8> {
    let own = [("SERVER_SOFTWARE", software), ("GATEWAY_INTERFACE", "CGI/1.1")];
    let given = deployer.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut pairs = Vec::new();
    for text in own.into_iter().chain(given).flat_map(|(name, value)| [name, value]) {
        let text = text.chars().filter(|character| *character != '\0');
        pairs.extend(text.map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')));
        pairs.push(0);
    }
    pairs
}
