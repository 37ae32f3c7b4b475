//! A generation: the configuration as the I/O threads use it, built and validated whole, never changed.

mod programs;

pub(crate) use programs::{Program, Scripts};

use crate::config::{self, Config, MinTls, RateKey, RequestIds, Timeouts};
use crate::error::{Error, ErrorKind};
use crate::filters::cors::Cors;
use crate::filters::rules::{HeaderRules, check, line};
use crate::pools::Pool;
use crate::router::Router;
use crate::trusted::TrustedProxies;
use crate::upstreams::Upstream;
use gwanmun_access::{AddressRules, Basic, Pace, Rates, UserFault, Users};
use gwanmun_files::{AllowedFolders, FileRoot, FileRules, Files, PackedFolder, Pattern};
use gwanmun_reactor::blocking::{Lane, patiently};
use gwanmun_sys::descriptors;
use gwanmun_tls::{MinVersion, Policy};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) router: Router,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) head_limits: gwanmun_http1::Limits,
    pub(crate) body_limit: u64,
    pub(crate) body_in_memory: usize,
    /// Bytes of all bodies together that are in temporary files.
    pub(crate) spool_limit: u64,
    pub(crate) min_rate: u64,
    pub(crate) timeouts: Timeouts,
    /// `Server: …\r\n`, or nothing.
    pub(crate) server_line: Vec<u8>,
    /// Of its workers, which run what its mounts name.
    pub(crate) pools: Vec<Arc<Pool>>,
    /// What programs are told that the server is.
    pub(crate) software: String,
    pub(crate) temp_dir: PathBuf,
    /// What writes there.
    pub(crate) bodies: Arc<Lane>,
    /// None: nobody is, and nobody can be made so.
    pub(crate) trusted_proxies: Option<TrustedProxies>,
    pub(crate) request_ids: RequestIds,
    pub(crate) log_access: bool,
    /// Access lines are JSON: they have more fields, and the reason of a refusal among them.
    pub(crate) log_json: bool,
    pub(crate) tell_refusals: bool,
    /// `Strict-Transport-Security: …\r\n`, or nothing.
    pub(crate) hsts_line: Vec<u8>,
    pub(crate) tls: Policy,
    /// Names that are to be served over TLS.
    pub(crate) domains: Vec<String>,
    /// Whether there are rules for heads at all.
    pub(crate) has_rules: bool,
    /// For the heads of responses that no mount gives.
    pub(crate) header_rules: HeaderRules,
    /// Who may enter what is no mount's.
    pub(crate) guard: Option<Arc<Guard>>,
}

/// Who may enter. None: everybody.
#[derive(Debug)]
pub(crate) struct Guard {
    /// All of these must let a client in.
    pub(crate) addresses: Vec<Arc<AddressRules>>,
    pub(crate) login: Option<Arc<Login>>,
    /// Each of these counts a request.
    pub(crate) limits: Vec<Arc<Limit>>,
}

/// How often somebody may ask.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) key: RateKey,
    pub(crate) status: u16,
    pub(crate) is_dry: bool,
    pub(crate) rates: Arc<Counted>,
}

/// What has been counted, over reloads.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) rates: Rates,
    /// What its times are counted from.
    pub(crate) since: Instant,
}

/// Who may enter by password.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) basic: Basic,
    /// What a 401 says.
    pub(crate) challenge: Vec<u8>,
    /// What its times are counted from.
    pub(crate) since: Instant,
}

#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) path: String,
    pub(crate) files: Option<Arc<Files>>,
    pub(crate) application: Option<Application>,
    /// Where there is neither file nor application.
    pub(crate) program: Option<Program>,
    /// What the application sends is compressed for clients that take it.
    pub(crate) compress: bool,
    /// By status, sorted.
    pub(crate) error_pages: Vec<(u16, ErrorPage)>,
    /// Where the files are that the application may name in `X-Sendfile`.
    pub(crate) sendfile: Option<Arc<AllowedFolders>>,
    pub(crate) own: Option<Own>,
    pub(crate) header_rules: HeaderRules,
    pub(crate) cors: Option<Cors>,
    pub(crate) guard: Option<Arc<Guard>>,
    /// The application gets `Authorization` although the core has used it.
    pub(crate) pass_authorization: bool,
}

/// What a mount answers without looking any further.
#[derive(Debug)]
pub(crate) enum Own {
    Fixed(Arc<Fixed>),
    Redirect(Redirect),
}

/// An answer that is the same for all.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) status: u16,
    pub(crate) lines: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) status: u16,
    pub(crate) to: Vec<u8>,
    /// Nothing of the request is added.
    pub(crate) is_whole: bool,
    /// What else the answer says.
    pub(crate) lines: &'static [u8],
}

/// A file as it was when the configuration was taken over.
#[derive(Debug)]
pub(crate) struct ErrorPage {
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// A page is held in memory, and written with its head.
const MAX_ERROR_PAGE: u64 = 256 * 1024;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Application {
    pub(crate) index: u32,
    pub(crate) pool: usize,
    /// Whether it gets request bodies as they come. None: as it wishes.
    pub(crate) stream: Option<bool>,
}

/// A head must fit a frame together with its table and the decoded path; one that does not is refused when it has come.
const MAX_HEADER_BYTES: usize = 60 * 1024;
const MAX_REQUEST_LINE: usize = 60 * 1024;
const MAX_HEADER_COUNT: usize = 1000;

impl Generation {
    /// `previous`: whose counts go on.
    pub(crate) fn new(config: &Config, previous: Option<&Self>) -> Result<Self, Error> {
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
        let hsts = config.hsts.as_deref();
        if hsts.is_some_and(|value| {
            value.is_empty() || value.bytes().any(|byte| !(b' '..=b'~').contains(&byte))
        }) {
            return invalid(
                "Strict-Transport-Security holds printable ASCII characters only.".to_owned(),
            );
        }
        let trusted_proxies =
            config.trusted_proxies.as_deref().map(TrustedProxies::new).transpose()?;
        descriptors::keep_for_workers(config.reserved_descriptors);
        let packed = config.compression_cache.as_deref().map(PackedFolder::new).map(Arc::new);
        let guards = guards(config, previous)?;
        let upstreams: Vec<_> = config.upstreams.iter().cloned().map(Upstream::new).collect();
        let scripts = programs::script_folders(config)?;
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
                    let root = FileRoot::open(&files.root, files.symlinks).map_err(|error| {
                        let path = files.root.display();
                        let what = format!("The folder {path} can't be served");
                        Error::io(ErrorKind::Files, &what, &error)
                            .at(format!("mounts[{index}].files"))
                    })?;
                    let mut rules = rules(files)?;
                    programs::hide_scripts(&mut rules, &files.root, &scripts)?;
                    Some(Arc::new(Files { root, rules, packed: packed.clone() }))
                }
                None => None,
            };
            let application = mount.application.map(|index| Application {
                index,
                pool: mount.pool,
                stream: mount.stream,
            });
            let program = match (&mount.fastcgi, &mount.cgi) {
                (Some(own), _) => Some(programs::fastcgi(own, &upstreams, index)?),
                (None, Some(own)) => Some(programs::cgi(own, &upstreams, index)?),
                (None, None) => None,
            };
            let program = program
                .map(|made| Program { pass_authorization: pass_authorization(mount), ..made });
            let sendfile = match mount.sendfile.as_slice() {
                [] => None,
                paths => Some(Arc::new(AllowedFolders::open(paths, mount.compress).map_err(
                    |(path, error)| {
                        let path = path.display();
                        Error::new(
                            ErrorKind::Files,
                            format!("The folder {path} can't be used for X-Sendfile: {error}."),
                        )
                    },
                )?)),
            };
            let mut error_pages = Vec::new();
            for page in &mount.error_pages {
                let file = page.file.clone();
                let loaded = patiently(&page.file, move || load_page(&file)).map_err(|error| {
                    let what = format!("The page {} can't be read", page.file.display());
                    Error::io(ErrorKind::Files, &what, &error)
                        .at(format!("mounts[{index}].errorPages"))
                })?;
                error_pages.push((page.status, loaded));
            }
            error_pages.sort_by_key(|(status, _)| *status);
            let at = |error: Error| error.at(format!("mounts[{index}]"));
            let mut header_rules = HeaderRules::new(&mount.header_rules).map_err(at)?;
            let cors = mount.cors.as_ref().map(|cors| Cors::new(cors, &mut header_rules));
            let cors = cors.transpose().map_err(at)?;
            mounts.push(Mount {
                path: mount.path.clone(),
                files,
                application,
                program,
                compress: mount.compress,
                error_pages,
                sendfile,
                own: own(mount).map_err(at)?,
                header_rules,
                cors,
                guard: guards.mounts[index].as_ref().map(Arc::clone),
                pass_authorization: pass_authorization(mount),
            });
        }
        let header_rules = HeaderRules::new(&config.header_rules)?;
        let environ: Arc<[u8]> =
            static_environ(server.unwrap_or("gwanmun"), &config.environ).into();
        let pool = |own| Arc::new(Pool::new(own, Arc::clone(&environ), config.multiprocess));
        let pools = config.pools.iter().copied().map(pool).collect();
        Ok(Self {
            has_rules: !header_rules.is_empty()
                || mounts.iter().any(|mount| !mount.header_rules.is_empty()),
            header_rules,
            guard: guards.whole,
            router: Router::new(config.mounts.iter().map(|mount| mount.path.as_str())),
            mounts,
            head_limits: gwanmun_http1::Limits {
                request_line: limits.request_line,
                header_bytes: limits.header_bytes,
                header_count: limits.header_count,
            },
            body_limit: limits.body,
            body_in_memory: limits.body_in_memory,
            spool_limit: limits.spool,
            min_rate: limits.min_rate,
            timeouts: config.timeouts,
            server_line: server
                .map(|name| format!("Server: {name}\r\n").into_bytes())
                .unwrap_or_default(),
            pools,
            software: server.unwrap_or("gwanmun").to_owned(),
            bodies: Lane::for_bodies(format!(
                "the folder for temporary files {}",
                config.temp_dir.display()
            )),
            temp_dir: config.temp_dir.clone(),
            trusted_proxies,
            request_ids: config.request_ids,
            log_json: config.access_log.format == config::AccessFormat::Json,
            tell_refusals: config.tell_refusals,
            hsts_line: hsts
                .map(|value| format!("Strict-Transport-Security: {value}\r\n").into_bytes())
                .unwrap_or_default(),
            tls: Policy {
                min_version: match config.min_tls {
                    MinTls::V12 => MinVersion::Tls12,
                    MinTls::V13 => MinVersion::Tls13,
                },
            },
            domains: config.domains.clone(),
            log_access: config.access_log.format != config::AccessFormat::Off,
        })
    }

    /// What a limit has counted.
    fn counted(&self, name: &str, pace: Pace) -> Option<Arc<Counted>> {
        let guards = self.mounts.iter().filter_map(|mount| mount.guard.as_ref()).chain(&self.guard);
        let mut limits = guards.flat_map(|guard| &guard.limits);
        limits
            .find(|limit| limit.name == name && limit.rates.rates.pace() == pace)
            .map(|limit| Arc::clone(&limit.rates))
    }

    /// Writes the access log as another generation does: the log stays open.
    pub(crate) fn log_like(&mut self, other: &Self) {
        self.log_access = other.log_access;
        self.log_json = other.log_json;
    }

    /// What a client of a mount sees for an error.
    pub(crate) fn error_page(&self, mount: usize, status: u16) -> Option<&ErrorPage> {
        let pages = &self.mounts.get(mount)?.error_pages;
        let at = pages.binary_search_by_key(&status, |(own, _)| *own).ok()?;
        Some(&pages[at].1)
    }

    /// The pool that runs a mount's application.
    pub(crate) fn pool_of(&self, mount: usize) -> Option<&Arc<Pool>> {
        self.mounts.get(mount)?.application.and_then(|own| self.pools.get(own.pool))
    }
}

/// Guards, by what they are of.
struct Guards {
    whole: Option<Arc<Guard>>,
    /// As the mounts stand in the configuration.
    mounts: Vec<Option<Arc<Guard>>>,
}

/// A mount has the guards of all mounts around it, and of the whole, beside its own (A5). Of logins the innermost one holds: nobody can send two passwords.
fn guards(config: &Config, previous: Option<&Generation>) -> Result<Guards, Error> {
    let addresses = |addresses: &Option<config::Addresses>, at: &str| match addresses {
        None => Ok(None),
        Some(config::Addresses { allow, deny }) => AddressRules::new(allow, deny)
            .map(|rules| Some(Arc::new(rules)))
            .map_err(|(list, index, fault)| {
                Error::new(ErrorKind::Config, fault).at(format!("{at}{list}[{index}]"))
            }),
    };
    let login = |login: &Option<config::Login>, at: &str| {
        let made = login.as_ref().map(|own| Login::new(own).map(Arc::new));
        made.transpose().map_err(|error| error.at(format!("{at}auth")))
    };
    let mut counted: HashMap<(String, Pace), Arc<Counted>> = HashMap::new();
    let mut limit = |limit: &'_ Option<config::RateLimit>| {
        limit.as_ref().map(|own| {
            let pace = Pace::new(own.requests.into(), own.per.into(), own.burst.into());
            let rates = counted.entry((own.name.clone(), pace)).or_insert_with(|| {
                let known = previous.and_then(|previous| previous.counted(&own.name, pace));
                known.unwrap_or_else(|| {
                    Arc::new(Counted { rates: Rates::new(pace), since: Instant::now() })
                })
            });
            Arc::new(Limit {
                name: own.name.clone(),
                key: own.key.clone(),
                status: own.status,
                is_dry: own.dry_run,
                rates: Arc::clone(rates),
            })
        })
    };
    let guard = |addresses: Vec<_>, login: Option<_>, limits: Vec<_>| {
        (!addresses.is_empty() || login.is_some() || !limits.is_empty())
            .then(|| Arc::new(Guard { addresses, login, limits }))
    };
    let whole = guard(
        addresses(&config.addresses, "")?.into_iter().collect(),
        login(&config.login, "")?,
        limit(&config.rate_limit).into_iter().collect(),
    );
    // The shortest first, so that what is around a mount is known before it.
    let mut order: Vec<usize> = (0..config.mounts.len()).collect();
    order.sort_by_key(|&index| config.mounts[index].path.len());
    let mut by_path: HashMap<&str, usize> = HashMap::new();
    let mut mounts = vec![None; config.mounts.len()];
    for index in order {
        let mount = &config.mounts[index];
        let at = format!("mounts[{index}].");
        let around = mount.path.rmatch_indices('/').find_map(|(end, _)| {
            let path = if end == 0 { "/" } else { &mount.path[..end] };
            by_path.get(path).copied()
        });
        let around: Option<&Arc<Guard>> =
            around.map_or(&whole, |around: usize| &mounts[around]).as_ref();
        let (own, own_login) = (addresses(&mount.addresses, &at)?, login(&mount.login, &at)?);
        let own_limit = limit(&mount.rate_limit);
        let changes = mount.open
            || mount.no_login
            || mount.no_rate_limit
            || own.is_some()
            || own_login.is_some()
            || own_limit.is_some();
        mounts[index] = if changes {
            let inherited = around.filter(|_| !mount.open);
            let rules =
                inherited.into_iter().flat_map(|guard| guard.addresses.iter().map(Arc::clone));
            let inherited = around.filter(|_| !mount.no_login);
            let login = own_login
                .or_else(|| inherited.and_then(|guard| guard.login.as_ref().map(Arc::clone)));
            let inherited = around.filter(|_| !mount.no_rate_limit);
            let limits =
                inherited.into_iter().flat_map(|guard| guard.limits.iter().map(Arc::clone));
            guard(rules.chain(own).collect(), login, limits.chain(own_limit).collect())
        } else {
            around.map(Arc::clone)
        };
        by_path.insert(&mount.path, index);
    }
    Ok(Guards { whole, mounts })
}

impl Login {
    fn new(login: &config::Login) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(ErrorKind::Config, message);
        let name = login.file.as_ref().map(|file| file.display().to_string());
        let text = match (&login.file, &name) {
            (Some(file), Some(name)) => {
                let own = file.clone();
                let what = format!("The password file {name} can't be read");
                patiently(file, move || load_users(&own))
                    .map_err(|error| Error::io(ErrorKind::Files, &what, &error))?
            }
            _ => login.users.clone(),
        };
        let users = Users::parse(&text).map_err(|UserFault { line, message }| {
            invalid(match &name {
                Some(name) => format!("{name}, line {line}: {message}."),
                None => format!("user {line}: {message}."),
            })
        })?;
        if !login.realm.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(invalid("A realm holds printable ASCII characters only.".to_owned()));
        }
        let realm = login.realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = format!(
            "WWW-Authenticate: Basic realm=\"{realm}\", charset=\"UTF-8\"\r\nCache-Control: no-store\r\n"
        );
        Ok(Self {
            basic: Basic::new(users, login.attempts),
            challenge: challenge.into_bytes(),
            since: Instant::now(),
        })
    }
}

/// A password file is read whole, and looked at in memory.
const MAX_USERS: u64 = 16 * 1024 * 1024;

fn load_users(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_USERS {
        let message = format!("it is not a file of at most {} MiB", MAX_USERS / 1024 / 1024);
        return Err(std::io::Error::other(message));
    }
    let mut text = String::new();
    file.take(MAX_USERS).read_to_string(&mut text)?;
    Ok(text)
}

/// What a mount answers by itself.
fn own(mount: &config::Mount) -> Result<Option<Own>, Error> {
    let invalid = |message: &str| Err(Error::new(ErrorKind::Config, message.to_owned()));
    if let Some(fixed) = &mount.respond {
        let mut lines = Vec::new();
        for (name, value) in &fixed.headers {
            check(name, value)?;
            lines.extend_from_slice(&line(name, value));
        }
        if !(200..=599).contains(&fixed.status) {
            return invalid("The status of a fixed answer is from 200 to 599.");
        }
        let body = fixed.body.clone().into_bytes();
        return Ok(Some(Own::Fixed(Arc::new(Fixed { status: fixed.status, lines, body }))));
    }
    let Some(redirect) = &mount.redirect else { return Ok(None) };
    let is_path = redirect.to.starts_with('/') && !redirect.to.starts_with("//");
    let is_url = ["http://", "https://"].iter().any(|scheme| redirect.to.starts_with(scheme));
    if !(is_path || is_url) || !redirect.to.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return invalid("A redirect leads to a path or a URL, which is encoded.");
    }
    // A browser keeps a permanent one for ever, and with it a mistake, unless it is told how long (A129).
    let lines: &[u8] = match redirect.status {
        301 | 308 => b"Cache-Control: max-age=86400\r\n",
        302 | 303 | 307 => b"",
        _ => return invalid("The status of a redirect is 301, 302, 303, 307 or 308."),
    };
    Ok(Some(Own::Redirect(Redirect {
        status: redirect.status,
        to: redirect.to.clone().into_bytes(),
        is_whole: redirect.to.contains(['?', '#']),
        lines,
    })))
}

/// Whether what answers gets `Authorization`.
fn pass_authorization(mount: &config::Mount) -> bool {
    mount.pass_authorization
        || mount.fastcgi.as_ref().is_some_and(|own| own.pass_authorization)
        || mount.cgi.as_ref().is_some_and(|own| own.pass_authorization)
}

/// What goes into a head is checked here as well: it must not be able to end a line.
fn rules(files: &config::Files) -> Result<FileRules, Error> {
    let is_value = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let well_formed = files.headers.iter().all(|(_, name, value)| is_name(name) && is_value(value))
        && files.types.iter().all(|(_, media_type)| is_value(media_type))
        && files.try_files.iter().all(|path| path.starts_with('/') || path.starts_with("$path"));
    if !well_formed {
        let message = "A header, a type or a path of a mount's files is not well-formed.";
        return Err(Error::new(ErrorKind::Config, message.to_owned()));
    }
    Ok(FileRules {
        index: files.index.clone(),
        try_files: files.try_files.clone(),
        types: files.types.clone(),
        lines: Vec::new(),
        headers: files
            .headers
            .iter()
            .map(|(pattern, name, value)| (Pattern(pattern.clone()), name.clone(), value.clone()))
            .collect(),
        listing: files.listing,
        compress: files.compress,
        scripts: Vec::new(),
        hidden: Vec::new(),
    })
}

fn load_page(path: &Path) -> std::io::Result<ErrorPage> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_ERROR_PAGE {
        let message = format!("it is not a file of at most {} KiB", MAX_ERROR_PAGE / 1024);
        return Err(std::io::Error::other(message));
    }
    let mut body = Vec::new();
    file.take(MAX_ERROR_PAGE).read_to_end(&mut body)?;
    let name = path.as_os_str().as_encoded_bytes();
    Ok(ErrorPage { content_type: FileRules::default().content_type(name).into_owned(), body })
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
