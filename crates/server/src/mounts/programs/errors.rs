//! What programs write to standard error, and what goes wrong with them, as the logs say it.

use crate::config::UpstreamAddress;
use crate::exchange::Exchange;
use crate::exchange::turn::Turn;
use crate::request_id::RequestId;
use crate::upstreams::Upstream;
use crate::upstreams::process::StartError;
use gwanmun_cgi::response::HeadError;
use gwanmun_fastcgi::{ProtocolError, Status};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_log::{Level, Record};
use gwanmun_reactor::arena::Key;
use gwanmun_sys::descriptors;
use gwanmun_sys::process::Exit;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Bytes of standard error that are logged of a request (F42).
const MOST_STDERR: usize = 64 * 1024;
/// So much of what is no header is shown.
const SHOWN: usize = 80;

/// Why a request is not answered.
#[derive(Debug)]
pub(super) enum Failure {
    Connect(io::Error),
    ConnectTimeout,
    /// Nobody was free in time.
    Queue,
    /// The folder of the scripts does not answer.
    Folder,
    Timeout,
    TooLarge,
    /// The request's body can't be read from its file.
    Body(io::Error),
    /// After so many bytes.
    Closed(Option<io::Error>, u64),
    Protocol(ProtocolError),
    Head(HeadError),
    /// All that came.
    NoHead(Vec<u8>),
    Refused(Status),
    /// Programs answer with each other's paths.
    Circle,
    /// There is no thread for it, or the like.
    Thread(io::Error),
    Start(StartError),
    /// Before the end of its header, of which this came.
    Exited(Exit, Vec<u8>),
}

impl Failure {
    /// The status for the client, and why for the access log.
    fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Connect(error) if descriptors::is_exhaustion(error) => {
                (503, "file descriptors run short")
            }
            Self::Connect(_) => (502, "the program can't be reached"),
            Self::ConnectTimeout => (502, "the program did not take the connection in time"),
            Self::Queue => (503, "no child of the program was free in time"),
            Self::Folder => (503, "the folder of the scripts does not answer"),
            Self::Timeout => (504, "the program took too long"),
            Self::TooLarge => (431, "the request head is too large to pass on"),
            Self::Body(_) => (500, "the request body could not be read"),
            Self::Closed(..) => (502, "the program closed the connection"),
            Self::Protocol(_) => (502, "the program does not speak FastCGI"),
            Self::Head(_) | Self::NoHead(_) => (502, "the program's response has no valid header"),
            Self::Refused(Status::Overloaded) => (503, "the program is overloaded"),
            Self::Refused(_) => (502, "the program refused the request"),
            Self::Thread(_) => (503, "the program could not be started"),
            Self::Start(error) if descriptors::is_exhaustion(&error.error) => {
                (503, "file descriptors or processes run short")
            }
            Self::Start(_) => (500, "the program could not be started"),
            Self::Exited(..) => (502, "the program ended without an answer"),
            Self::Circle => (502, "programs redirect to each other without end"),
        }
    }

    fn text(&self, upstream: &Upstream) -> String {
        match self {
            Self::Connect(error) => format!("can't connect: {error}{}", hint(error, upstream)),
            Self::ConnectTimeout => {
                format!(
                    "did not take the connection within {} s",
                    seconds(upstream.config.connect_timeout_ms)
                )
            }
            Self::Queue => format!(
                "none of {} connections was free for {} s. If it can have more, raise maxConnections or maxProcesses",
                upstream.config.max_connections,
                seconds(upstream.config.queue_timeout_ms)
            ),
            Self::Timeout => {
                format!("has sent nothing for {} s", seconds(upstream.config.timeout_ms))
            }
            Self::Body(error) => format!("the request body could not be read: {error}"),
            Self::Closed(error, bytes) => {
                let why = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
                format!(
                    "closed the connection before the end of the response, after {bytes} bytes{why}"
                )
            }
            Self::Protocol(error) => format!("does not speak FastCGI: {error}"),
            Self::Head(error) => format!("its response was not sent: {error}"),
            Self::NoHead(bytes) if bytes.is_empty() => "answered nothing at all".to_owned(),
            Self::NoHead(bytes) => format!(
                "its response has no end of the header: \"{}\"",
                bytes[..bytes.len().min(SHOWN)].escape_ascii()
            ),
            Self::Refused(Status::Overloaded) => "is overloaded (FCGI_OVERLOADED)".to_owned(),
            Self::Refused(Status::CannotMultiplex) => {
                "refused the request (FCGI_CANT_MPX_CONN)".to_owned()
            }
            Self::Refused(Status::UnknownRole) => {
                "refused the request (FCGI_UNKNOWN_ROLE)".to_owned()
            }
            Self::Thread(error) => format!("could not be started: {error}"),
            Self::Start(StartError { error, hint }) => {
                format!("could not be started: {error}{hint}")
            }
            Self::Exited(exit, head) => {
                let came = head[..head.len().min(SHOWN)].escape_ascii();
                let came = if head.is_empty() { String::new() } else { format!(": \"{came}\"") };
                format!("{} before the end of its header{came}", ended(*exit))
            }
            Self::Refused(Status::Complete) | Self::Folder | Self::TooLarge | Self::Circle => {
                self.status().1.to_owned()
            }
        }
    }

    /// Tells the logs. Gives the status for the client.
    pub(super) fn tell(&self, turn: &mut Turn, key: Key, upstream: &Upstream) -> u16 {
        let (status, reason) = self.status();
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            exchange.set_reason(reason);
        }
        if turn.may_log_failure() {
            let event =
                if matches!(self, Self::Timeout) { "request-timeout" } else { "program-error" };
            let text = format!("{}; the client got a {status}", self.text(upstream));
            log(turn, key, upstream, (Level::Error, event, None), &text);
        }
        status
    }
}

/// How a program has ended (C59).
fn ended(exit: Exit) -> String {
    let name = match exit {
        Exit::Code(code) => return format!("ended with status {code}"),
        Exit::Signal(libc::SIGKILL) => "SIGKILL (out of memory?)",
        Exit::Signal(libc::SIGTERM) => "SIGTERM",
        Exit::Signal(libc::SIGSEGV) => "SIGSEGV",
        Exit::Signal(libc::SIGABRT) => "SIGABRT",
        Exit::Signal(libc::SIGBUS) => "SIGBUS",
        Exit::Signal(libc::SIGPIPE) => "SIGPIPE",
        Exit::Signal(libc::SIGXCPU) => "SIGXCPU (limits.cpu)",
        Exit::Signal(libc::SIGXFSZ) => "SIGXFSZ (limits.fileSize)",
        Exit::Signal(other) => return format!("was killed by signal {other}"),
    };
    format!("was killed by {name}")
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// F55.
fn hint(error: &io::Error, upstream: &Upstream) -> String {
    match (&upstream.config.address, error.kind()) {
        (UpstreamAddress::Unix { path }, io::ErrorKind::PermissionDenied) => {
            // SAFETY: neither call has arguments, nor can it fail.
            let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
            let whose = std::fs::metadata(path).map(|metadata| {
                let mode = metadata.mode() & 0o7777;
                format!(
                    "the socket belongs to user {}, group {}, mode {mode:o}",
                    metadata.uid(),
                    metadata.gid()
                )
            });
            let whose =
                whose.unwrap_or_else(|_| "a folder above the socket may not be entered".to_owned());
            format!(
                ". {whose}; this server runs as user {uid}, group {gid}. Set listen.owner or listen.group of its pool, or user of this server"
            )
        }
        (UpstreamAddress::Unix { .. }, io::ErrorKind::NotFound) => {
            ". Is it running, and is this the path that it listens on?".to_owned()
        }
        (_, io::ErrorKind::ConnectionRefused) => ". It is not running".to_owned(),
        _ => String::new(),
    }
}

/// What a program writes to standard error for a request.
#[derive(Debug, Default)]
pub(super) struct Stderr {
    line: Vec<u8>,
    kept: usize,
    dropped: usize,
    lines: Vec<Vec<u8>>,
    /// What the program has said at its end: 0 is well.
    pub(super) exit: u32,
    /// How the program has ended.
    pub(super) exited: Option<Exit>,
}

impl Stderr {
    pub(super) fn take(&mut self, turn: &Turn, key: Key, bytes: &[u8]) {
        let room = MOST_STDERR - self.kept;
        let (kept, dropped) = bytes.split_at(bytes.len().min(room));
        self.kept += kept.len();
        self.dropped += dropped.len();
        for piece in kept.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.lines.push(std::mem::take(&mut self.line));
            }
        }
        self.tell(turn, key);
    }

    /// The request is over.
    pub(super) fn end(&mut self, turn: &Turn, key: Key, upstream: &Upstream) {
        if !self.line.is_empty() {
            self.lines.push(std::mem::take(&mut self.line));
        }
        self.tell(turn, key);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let text = format!("wrote {dropped} more bytes to standard error, which were dropped");
            log(turn, key, upstream, (Level::Warn, "output", None), &text);
        }
        if let Some(exit) = self.exited.take().filter(|exit| *exit != Exit::Code(0)) {
            log(turn, key, upstream, (Level::Warn, "program-error", None), &ended(exit));
        }
        let exit = std::mem::take(&mut self.exit);
        if exit != 0 {
            let text = format!("ended the request with status {exit}");
            log(turn, key, upstream, (Level::Warn, "program-error", None), &text);
        }
    }

    fn tell(&mut self, turn: &Turn, key: Key) {
        let upstream = turn.exchanges.get(key).and_then(Exchange::program);
        let Some(upstream) = upstream.map(|program| &program.upstream) else { return };
        for line in self.lines.drain(..) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !text.is_empty() {
                log(turn, key, upstream, (level_of(text), "output", Some("stderr")), text);
            }
        }
    }
}

/// How bad PHP says it is.
fn level_of(text: &str) -> Level {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["Fatal error", "Parse error", "Uncaught"]) {
        Level::Error
    } else if has(&["Notice:", "Deprecated:"]) {
        Level::Info
    } else {
        Level::Warn
    }
}

fn log(
    turn: &Turn,
    key: Key,
    upstream: &Upstream,
    (level, event, stream): (Level, &str, Option<&str>),
    text: &str,
) {
    let exchange = turn.exchanges.get(key);
    let request = exchange.map(|exchange| {
        let view = HeadView::new(&exchange.head);
        (view.piece(Piece::Method), view.piece(Piece::Target))
    });
    let kind = if upstream.starts_processes() { "CGI" } else { "FastCGI" };
    let (method, target) = request.unwrap_or_default();
    let [method, target] = [method, target].map(String::from_utf8_lossy);
    turn.shared.logger.record(&Record {
        level,
        event,
        text: &format!("{kind} {} ({method} {target}): {text}", upstream.config.address),
        stream,
        request_id: exchange.and_then(|exchange| exchange.id.as_ref()).map(RequestId::bytes),
        request,
        ..Record::default()
    });
}
