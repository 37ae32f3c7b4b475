//! The core as JavaScript sees it.

use crate::uv;
use crate::watch::{Callback, Ready, Watch, text};
use gwanmun_log::{Level, Record, WorkerName};
use gwanmun_server::config::Config;
use gwanmun_server::{
    Address, Authority, CertificateFacts, DescribedClients, Event, GivenCertificate, GivenClients,
    GivenTls, HttpChallenge, Server, TlsChallenge, WorkerLoad,
};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A running server: its listeners and its I/O threads.
#[napi]
pub struct Core {
    /// Until `dispose`: what is closed holds no descriptors, however late the object is collected.
    running: RefCell<Option<Running>>,
}

struct Running {
    server: Arc<Server>,
    events: Rc<Events>,
}

/// The ends of a new worker's links; the caller passes them to the worker and then closes its own with `closeFds`.
#[napi(object)]
pub struct WorkerFds {
    pub id: u32,
    pub memory: i32,
    pub links: Vec<i32>,
}

/// An event as the main process tells it.
#[napi(object, object_to_js = false)]
pub struct LogRecord {
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    pub event: String,
    pub msg: String,
    pub stack: Option<String>,
    pub code: Option<String>,
    pub worker: Option<u32>,
    pub pid: Option<u32>,
    pub stream: Option<String>,
}

/// What is needed to speak TLS.
#[napi(object, object_to_js = false)]
pub struct Tls {
    pub certificates: Vec<Certificate>,
    /// Undefined: clients are not asked for certificates.
    pub clients: Option<Clients>,
}

/// What clients are asked for. PEM.
#[napi(object, object_to_js = false)]
pub struct Clients {
    /// Certificates of the authorities whose clients are let in.
    pub ca: String,
    /// What these have revoked.
    pub crl: Option<String>,
    /// Who has no certificate is refused.
    pub is_required: bool,
}

/// What there is to say of what clients are asked for.
#[napi(object, object_from_js = false)]
pub struct AuthoritiesRecord {
    pub authorities: Vec<AuthorityRecord>,
    /// By the authority that issued it; `notAfter` is when the next one should be there.
    pub revocations: Vec<AuthorityRecord>,
    /// Certificates that are revoked.
    pub revoked: u32,
    pub warnings: Vec<String>,
}

/// An authority, or a list of what it has revoked.
#[napi(object, object_from_js = false)]
pub struct AuthorityRecord {
    pub name: String,
    /// Milliseconds since 1970.
    pub not_before: f64,
    pub not_after: f64,
}

/// A certificate with its private key, both as PEM.
#[napi(object, object_to_js = false)]
pub struct Certificate {
    /// What an operator knows it by: the path of its file.
    pub label: String,
    /// With its intermediates.
    pub cert: String,
    /// It may be the same text.
    pub key: String,
    /// For clients that ask for no name, or for one that no certificate has.
    pub is_default: bool,
}

/// A question of an authority that is to come, and its answer: a text over HTTP, or a certificate over TLS (RFC 8737).
#[napi(object, object_to_js = false)]
pub struct Challenge {
    /// Name or address.
    pub host: String,
    pub token: Option<String>,
    pub answer: Option<String>,
    /// DER.
    pub cert: Option<Buffer>,
    /// PKCS #8, DER.
    pub key: Option<Buffer>,
}

/// What there is to say of a certificate.
#[napi(object, object_from_js = false)]
pub struct CertificateRecord {
    pub label: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    pub issuer: String,
    /// Milliseconds since 1970.
    pub not_before: f64,
    pub not_after: f64,
    /// `ECDSA P-256`, `RSA 2048`, …
    pub key_type: String,
    pub is_default: bool,
    pub warnings: Vec<String>,
}

impl From<CertificateFacts> for CertificateRecord {
    fn from(described: CertificateFacts) -> Self {
        let CertificateFacts { label, facts, is_default } = described;
        let addresses = facts.addresses.iter().map(ToString::to_string);
        Self {
            label,
            names: facts.names.into_iter().chain(addresses).collect(),
            issuer: facts.issuer,
            not_before: facts.not_before as f64,
            not_after: facts.not_after as f64,
            key_type: facts.key_type,
            is_default,
            warnings: facts.warnings,
        }
    }
}

fn given(tls: Option<&Tls>) -> GivenTls<'_> {
    let Some(Tls { certificates, clients }) = tls else { return GivenTls::default() };
    GivenTls {
        certificates: certificates.iter().map(Certificate::given).collect(),
        clients: clients.as_ref().map(|clients| GivenClients {
            ca: clients.ca.as_bytes(),
            crl: clients.crl.as_deref().map(str::as_bytes),
            is_required: clients.is_required,
        }),
    }
}

impl From<Authority> for AuthorityRecord {
    fn from(Authority { name, not_before, not_after }: Authority) -> Self {
        Self { name, not_before: not_before as f64, not_after: not_after as f64 }
    }
}

impl Certificate {
    fn given(&self) -> GivenCertificate<'_> {
        GivenCertificate {
            label: &self.label,
            cert: self.cert.as_bytes(),
            key: self.key.as_bytes(),
            is_default: self.is_default,
        }
    }
}

impl Challenge {
    fn http(&self) -> Option<HttpChallenge> {
        let (token, answer) = self.token.clone().zip(self.answer.clone())?;
        Some(HttpChallenge { host: self.host.clone(), token, answer })
    }

    fn tls(&self) -> Option<TlsChallenge<'_>> {
        let (cert, key) = self.cert.as_ref().zip(self.key.as_ref())?;
        Some(TlsChallenge { name: &self.host, cert, key })
    }
}

/// Says what there is to say of a certificate and its private key, both PEM, after everything that would be checked before it is served. Throws as the
/// constructor of `Core` does, if it would be refused.
#[napi]
pub fn read_certificate(cert: String, key: String) -> Result<CertificateRecord, String> {
    gwanmun_server::read_certificate(cert.as_bytes(), key.as_bytes())
        .map(CertificateRecord::from)
        .map_err(|error| thrown(&error))
}

/// Says what there is to say of certificates of authorities and what these have revoked, both PEM, after everything that would be checked before clients are asked for
/// certificates by them. Throws as the constructor of `Core` does, if they would be refused.
#[napi]
pub fn read_authorities(ca: String, crl: Option<String>) -> Result<AuthoritiesRecord, String> {
    let crl = crl.as_deref().map(str::as_bytes);
    let DescribedClients { authorities, revocations, revoked, warnings } =
        gwanmun_server::read_authorities(ca.as_bytes(), crl).map_err(|error| thrown(&error))?;
    Ok(AuthoritiesRecord {
        authorities: authorities.into_iter().map(AuthorityRecord::from).collect(),
        revocations: revocations.into_iter().map(AuthorityRecord::from).collect(),
        revoked: u32::try_from(revoked).unwrap_or(u32::MAX),
        warnings,
    })
}

/// Events on their way from the I/O threads to JavaScript.
struct Queue {
    events: Mutex<VecDeque<String>>,
    eventfd: OwnedFd,
}

struct Events {
    queue: Arc<Queue>,
    watch: Rc<Watch>,
    callback: Callback,
    ended: Cell<bool>,
}

#[napi]
impl Core {
    /// Binds and starts. `config` is JSON; `tls` has the certificates, if there are any; `onEvent` gets JSON. Throws an Error with a `code` of `GWM_…`; its message is a text, or
    /// JSON: `{ message, part }` with the part of the configuration that it is about.
    #[napi(
        constructor,
        ts_args_type = "config: string, tls: Tls | null, onEvent: (event: string) => void"
    )]
    pub fn new(
        env: Env,
        config: String,
        tls: Option<Tls>,
        on_event: Unknown<'_>,
    ) -> Result<Self, String> {
        let internal = |error: Error| Error::new("GWM_CORE".to_owned(), error.reason.clone());
        let config: Config = serde_json::from_str(&config)
            .map_err(|error| Error::new("GWM_CONFIG_INVALID".to_owned(), error.to_string()))?;
        let callback = Callback::new(env, on_event.raw(), c"GWANMUN_EVENT").map_err(internal)?;
        let queue = Arc::new(
            Queue::new().map_err(|error| Error::new("GWM_CORE".to_owned(), error.to_string()))?,
        );
        let posting = Arc::clone(&queue);
        let certificates = given(tls.as_ref());
        let server = Server::start(&config, &certificates, move |event| posting.post(&event))
            .map_err(|error| thrown(&error))?;
        let fd = queue.eventfd.as_raw_fd();
        let events = Watch::start(env, fd, |watch| {
            Rc::new(Events { queue, watch, callback, ended: Cell::new(false) })
        })
        .map_err(internal)?;
        Ok(Self { running: RefCell::new(Some(Running { server: Arc::new(server), events })) })
    }

    /// JSON: where the server listens.
    #[napi]
    pub fn addresses(&self) -> String {
        self.server().map_or_else(|| "[]".to_owned(), |server| addresses_json(&server))
    }

    /// Makes everything that another configuration needs, while the current one goes on; gives the numbers of its pools. Throws as the
    /// constructor does; nothing has changed then.
    #[napi]
    pub fn prepare(&self, config: String, tls: Option<Tls>) -> Result<Vec<u32>, String> {
        let config: Config = serde_json::from_str(&config)
            .map_err(|error| Error::new("GWM_CONFIG_INVALID".to_owned(), error.to_string()))?;
        let Some(server) = self.server() else { return Ok(Vec::new()) };
        let pools =
            server.prepare(&config, &given(tls.as_ref())).map_err(|error| thrown(&error))?;
        Ok(pools.into_iter().filter_map(|pool| u32::try_from(pool).ok()).collect())
    }

    /// Drops what was prepared.
    #[napi]
    pub fn discard(&self) {
        if let Some(server) = self.server() {
            server.discard();
        }
    }

    /// Has new requests served by what was prepared; then comes the event `renewed`.
    #[napi]
    pub fn commit(&self) {
        if let Some(server) = self.server() {
            server.commit();
        }
    }

    /// Has new connections get other certificates; the established ones go on. Throws as the constructor does; nothing has changed then.
    #[napi]
    pub fn set_certificates(&self, tls: Tls) -> Result<(), String> {
        let Some(server) = self.server() else { return Ok(()) };
        server.set_certificates(&given(Some(&tls))).map_err(|error| thrown(&error))
    }

    /// Has authorities that ask whether names lead here answered so, and no others any more. On return every thread does.
    #[napi]
    pub fn set_challenges(&self, challenges: Vec<Challenge>) -> Result<(), String> {
        let Some(server) = self.server() else { return Ok(()) };
        let http: Vec<_> = challenges.iter().filter_map(Challenge::http).collect();
        let tls: Vec<_> = challenges.iter().filter_map(Challenge::tls).collect();
        server.set_challenges(&http, &tls).map_err(|error| thrown(&error))
    }

    /// What there is to say of each certificate that is served.
    #[napi]
    pub fn certificates(&self) -> Vec<CertificateRecord> {
        let server = self.server();
        let certificates = server.map(|server| server.certificates()).unwrap_or_default();
        certificates.into_iter().map(CertificateRecord::from).collect()
    }

    /// The keys of session tickets, for a process that takes this one's place. They are secret.
    #[napi]
    pub fn ticket_keys(&self) -> Buffer {
        self.server().map(|server| server.ticket_keys()).unwrap_or_default().into()
    }

    /// Takes over the keys of session tickets from the process before. `false`: these are none.
    #[napi]
    pub fn set_ticket_keys(&self, keys: Buffer) -> bool {
        self.server().is_some_and(|server| server.set_ticket_keys(&keys))
    }

    /// JSON: connections, the requests that wait in each pool, and what each worker has got.
    #[napi]
    pub fn status(&self) -> String {
        let Some(status) = self.server().map(|server| server.status()) else {
            return "{}".to_owned();
        };
        let queue = |(pool, length, oldest): &(usize, usize, Duration)| json!({ "pool": pool, "length": length, "oldest": oldest.as_millis() as u64 });
        let worker = |load: &WorkerLoad| {
            json!({
                "id": load.id,
                "inFlight": load.in_flight,
                "requests": load.requests,
                "beats": load.pulse.beats,
                "lag": load.pulse.lag_ms,
            })
        };
        let held = status.usage;
        json!({
            "connections": status.connections,
            "queues": status.queues.iter().map(queue).collect::<Vec<_>>(),
            "workers": status.workers.iter().map(worker).collect::<Vec<_>>(),
            "held": {
                "clients": held.clients,
                "descriptors": held.descriptors,
                "most": held.most,
                "mostDescriptors": held.most_descriptors,
                "queued": held.queued,
                "kept": held.kept,
                "spooled": held.spooled,
            },
            "handshakes": {
                "full": status.handshakes.full,
                "resumed": status.handshakes.resumed,
                "versions": status.handshakes.versions,
                "groups": status.handshakes.groups,
                "failed": status.handshakes.failed,
            },
        })
        .to_string()
    }

    /// How many requests wait for a worker of the pool.
    #[napi]
    pub fn queued(&self, pool: u32) -> u32 {
        let count = self.server().map_or(0, |server| server.queued(pool as usize));
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The pool has no more workers, and no request will want one.
    #[napi]
    pub fn forget_pool(&self, pool: u32) {
        if let Some(server) = self.server() {
            server.forget_pool(pool as usize);
        }
    }

    /// Makes the links of one worker of a pool.
    #[napi]
    pub fn add_worker(&self, pool: u32) -> Result<WorkerFds, String> {
        let server = self.server();
        let server = server
            .ok_or_else(|| Error::new("GWM_CORE".to_owned(), "The server is closed.".to_owned()))?;
        let ends = server.add_worker(pool as usize).map_err(|error| thrown(&error))?;
        Ok(WorkerFds {
            id: ends.id,
            memory: ends.memory.into_raw_fd(),
            links: ends.links.into_iter().map(IntoRawFd::into_raw_fd).collect(),
        })
    }

    /// Has the logs call a worker by its number and its process.
    #[napi]
    pub fn name_worker(&self, id: u32, number: u32, pid: u32) {
        if let Some(server) = self.server() {
            server.name_worker(id, number, pid);
        }
    }

    /// Writes an event to the error log. Does nothing once the server is closed.
    #[napi]
    pub fn log(&self, record: LogRecord) {
        if let Some(server) = self.server() {
            server.log(&Record {
                level: match record.level.as_str() {
                    "error" => Level::Error,
                    "warn" => Level::Warn,
                    "debug" => Level::Debug,
                    _ => Level::Info,
                },
                event: &record.event,
                text: &record.msg,
                stack: record.stack.as_deref(),
                code: record.code.as_deref(),
                worker: record
                    .worker
                    .map(|number| WorkerName { number, pid: record.pid.unwrap_or_default() }),
                stream: record.stream.as_deref(),
                ..Record::default()
            });
        }
    }

    /// Opens the files of the logs anew by their names.
    #[napi]
    pub fn reopen_logs(&self) {
        if let Some(server) = self.server() {
            server.reopen_logs();
        }
    }

    /// No more requests for this worker; its links end when its requests are done.
    #[napi]
    pub fn remove_worker(&self, id: u32) {
        if let Some(server) = self.server() {
            server.remove_worker(id);
        }
    }

    /// The worker's process has ended, whoever else may hold its links: what it was at fails, and the rest goes to others.
    #[napi]
    pub fn worker_died(&self, id: u32) {
        if let Some(server) = self.server() {
            server.worker_died(id);
        }
    }

    /// Accepts no more, finishes requests in progress, cuts what is left after `graceMs`; then comes the event `closed`.
    /// A second call can shorten the grace.
    #[napi]
    pub fn close(&self, grace_ms: u32) {
        if let Some(server) = self.server() {
            server.close(Duration::from_millis(grace_ms.into()));
        }
    }

    /// The descriptors of all listening sockets, for a process that takes this one's place. They stay the core's.
    #[napi]
    pub fn sockets(&self) -> Vec<i32> {
        self.server().map_or_else(Vec::new, |server| server.sockets())
    }

    /// As `close`, for when another process has the sockets: idle connections get one more response or their keep-alive timeout.
    #[napi]
    pub fn leave(&self, grace_ms: u32) {
        if let Some(server) = self.server() {
            server.leave(Duration::from_millis(grace_ms.into()));
        }
    }

    /// Closes the clients' connections, or those on which no request is in progress. The server goes on.
    #[napi]
    pub fn close_connections(&self, idle_only: bool) {
        if let Some(server) = self.server() {
            server.close_connections(idle_only);
        }
    }

    /// Keeps the process alive until it is disposed of (the default).
    #[napi(js_name = "ref")]
    pub fn reference(&self) {
        if let Some(Running { events, .. }) = &*self.running.borrow() {
            events.watch.set_ref(true);
        }
    }

    #[napi]
    pub fn unref(&self) {
        if let Some(Running { events, .. }) = &*self.running.borrow() {
            events.watch.set_ref(false);
        }
    }

    /// Ends the watch for events and waits for the threads; called after the event `closed`.
    #[napi]
    pub fn dispose(&self) {
        if let Some(Running { server, events }) = self.running.take() {
            events.ended.set(true);
            events.watch.close();
            events.callback.release();
            server.join();
        }
    }

    fn server(&self) -> Option<Arc<Server>> {
        self.running.borrow().as_ref().map(|running| Arc::clone(&running.server))
    }
}

/// The server's error for JavaScript.
fn thrown(error: &gwanmun_server::Error) -> Error<String> {
    let message = json!({ "message": error.to_string(), "part": error.part() });
    Error::new(error.code().to_owned(), message.to_string())
}

fn addresses_json(server: &Server) -> String {
    let addresses: Vec<_> = server
        .addresses()
        .iter()
        .map(|(address, tls)| {
            let mut address = match address {
                Address::Tcp(address) => {
                    json!({ "kind": "tcp", "host": address.ip().to_string(), "port": address.port() })
                }
                Address::Unix(path) => json!({ "kind": "unix", "path": path.to_string_lossy() }),
            };
            if *tls {
                address["tls"] = json!(true);
            }
            address
        })
        .collect();
    json!(addresses).to_string()
}

/// With so many events on their way, refusals are not told.
const MOST_REFUSALS: usize = 1024;

impl Queue {
    fn new() -> std::io::Result<Self> {
        // SAFETY: no pointers; the result is checked, and the descriptor is new.
        unsafe {
            match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
                -1 => Err(std::io::Error::last_os_error()),
                fd => Ok(Self { events: Mutex::default(), eventfd: OwnedFd::from_raw_fd(fd) }),
            }
        }
    }

    fn post(&self, event: &Event) {
        let text = match event {
            Event::WorkerReady { worker } => json!({ "type": "worker-ready", "worker": worker }),
            Event::WorkerGone { worker, reason } => {
                json!({ "type": "worker-gone", "worker": worker, "reason": reason })
            }
            Event::WorkerLate { worker, request, stuck } => {
                json!({ "type": "worker-late", "worker": worker, "request": request, "stuck": stuck })
            }
            Event::Refused { status, reason } => {
                json!({ "type": "refused", "status": status, "reason": reason })
            }
            Event::Renewed => json!({ "type": "renewed" }),
            Event::Closed => json!({ "type": "closed" }),
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever sends nonsense must not fill the memory of a program that is busy.
        if matches!(event, Event::Refused { .. }) && events.len() >= MOST_REFUSALS {
            return;
        }
        events.push_back(text.to_string());
        drop(events);
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight live bytes. The counter does not overflow: it is read before every batch.
        unsafe { libc::write(self.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    fn take(&self) -> VecDeque<String> {
        let mut count = [0u8; 8];
        // SAFETY: eight live bytes.
        unsafe { libc::read(self.eventfd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ready for Events {
    fn ready(&self, events: c_int) {
        if events & uv::READABLE != 0 {
            for event in self.queue.take() {
                if !self.ended.get() {
                    self.callback.call(|env| text(env, Some(&event)));
                }
            }
        }
    }
}
