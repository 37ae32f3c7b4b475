//! An exchange: one request and its response, from the end of its head until both the client and the responder are done with it.
//!
//! Here a *client protocol* and a *responder* meet, which never see each other. What each may ask of the other is in [`seam`]; [`open`] makes an
//! exchange of a request head, [`intake`] takes a request's body, [`deliver`] gives a response to the client through the filters, [`fields`] what
//! every head says, [`answer`] what the core says itself, and [`access`] what the logs say of it. A [`Turn`](turn::Turn) lends what all of them need of their thread.

pub(crate) mod access;
pub(crate) mod answer;
pub(crate) mod deliver;
mod fields;
pub(crate) mod flood;
pub(crate) mod holding;
pub(crate) mod intake;
pub(crate) mod negotiate;
pub(crate) mod open;
mod respond;
pub(crate) mod responder;
pub(crate) mod seam;
pub(crate) mod sendfile;
pub(crate) mod turn;

use crate::filters::compress::Compression;
use crate::generation::{Generation, Login, Program};
use crate::peer::Secured;
use crate::request_id::RequestId;
use crate::shared::ByThread;
use crate::spool::SpooledBody;
use gwanmun_files::Files;
use gwanmun_gateway::NARROW_WINDOW;
use gwanmun_http1::Forwarded;
use gwanmun_reactor::arena::{Arena, Key};
use holding::Holding;
use responder::Responder;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub(crate) type Exchanges = Arena<Exchange>;

/// Each request moves one into its arena and out again: up to 256 bytes, with its generation, that is cheap.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// None: the client has its whole response, or is gone.
    pub(crate) client: Option<Key>,
    pub(crate) responder: Responder,
    /// How often a program has answered with another path of this server.
    pub(crate) redirects: u8,
    /// The configuration that it has come under and ends under.
    pub(crate) generation: ByThread<Generation>,
    /// Index of the mount that answers; beyond them all until there is one.
    pub(crate) mount: usize,
    pub(crate) head_only: bool,
    pub(crate) http10: bool,
    /// Its response has Strict-Transport-Security: it came over TLS, for a host that this means something for.
    pub(crate) is_hsts: bool,
    pub(crate) keep_alive: bool,
    /// The HEAD payload for a worker: the whole request head with its table. Empty if the request needed none.
    pub(crate) head: Vec<u8>,
    pub(crate) body: RequestBody,
    pub(crate) response: Response,
    /// Fields that follow its chunked body, each with its line end.
    pub(crate) trailers: Box<[u8]>,
    /// Its body is compressed.
    pub(crate) compression: Option<Box<Compression>>,
    /// What its client holds for it, as far as it is not its turn to be sent.
    pub(crate) holds: Holding,
    /// Its response must wait behind others, whatever comes of it.
    pub(crate) is_behind: bool,
    pub(crate) started: Instant,
    /// What was found when it was let in.
    pub(crate) admission: Option<Box<Admission>>,
    pub(crate) decision: Decision,
    /// None: request ids are off.
    pub(crate) id: Option<RequestId>,
    /// None: there is no access log, and no trusted proxy has said whom the request is from.
    pub(crate) log: Option<Box<LogFields>>,
}

/// What was found when a request was let in.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Lines that its response says to a page of another origin.
    pub(crate) granted: Vec<u8>,
    /// Who has logged in; empty: nobody.
    pub(crate) user: Vec<u8>,
    /// Where.
    pub(crate) login: Option<Arc<Login>>,
}

/// Whether a request's password is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// That has not been asked.
    None,
    Awaited,
    Right,
    Wrong,
    /// It could not be found out.
    Failed,
}

#[derive(Debug)]
pub(crate) enum RequestBody {
    None,
    Memory(Vec<u8>),
    File(Box<SpooledBody>),
    /// Comes as the client sends it.
    Streamed(Upload),
}

/// A request body that a worker gets as the client sends it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Upload {
    /// Bytes that the worker takes now.
    pub(crate) credit: u32,
    /// Some of it has gone to a worker, so that no other one can have all of it.
    pub(crate) begun: bool,
    /// The core does not want the rest of it: too large, too slow, or malformed.
    pub(crate) refused: bool,
}

impl Upload {
    /// So many bytes go to the worker.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.begun = true;
        self.credit = self.credit.saturating_sub(bytes as u32);
    }
}

impl RequestBody {
    /// Its bytes in memory.
    pub(crate) fn holds(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.capacity(),
            Self::None | Self::File(_) | Self::Streamed(_) => 0,
        }
    }

    /// Makes it ready for another worker. `false`: that one could not have all of it.
    pub(crate) fn rewind(&mut self) -> bool {
        match self {
            Self::Streamed(upload) => {
                upload.credit = 0;
                !upload.begun
            }
            Self::None | Self::Memory(_) | Self::File(_) => true,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Response {
    pub(crate) state: ResponseState,
    pub(crate) status: u16,
    /// Body bytes handed to the connection.
    pub(crate) bytes: u64,
}

/// How far the response is, and how its body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResponseState {
    #[default]
    Awaited,
    /// The file that the response names is being looked for.
    Sought,
    /// So many bytes are still announced.
    Length(u64),
    /// How long its body is will be known at its end.
    Open,
    /// The client gets no body, whatever the application sends.
    Bodiless,
    Complete,
    /// Cut off, and the client must notice.
    Broken,
}

/// What the access log says of a request: what is copied from its head, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct LogFields {
    /// What its proxies say of the client, if they are trusted; applications are told as well.
    pub(crate) forwarded: Option<Box<Forwarded>>,
    pub(crate) method: Box<[u8]>,
    pub(crate) target: Box<[u8]>,
    pub(crate) http10: bool,
    pub(crate) referer: Option<Box<[u8]>>,
    pub(crate) user_agent: Option<Box<[u8]>>,
    pub(crate) source: Source,
    /// For JSON lines alone, like the header's fields below.
    pub(crate) host: Option<Box<[u8]>>,
    pub(crate) traceparent: Option<Box<[u8]>>,
    pub(crate) tls: Option<Rc<Secured>>,
    pub(crate) routed: bool,
    /// Bytes that were copied, at the most.
    pub(crate) copied: usize,
    /// The number of the worker that got it.
    pub(crate) worker: u32,
    /// When the request was complete, when a worker got it, and when that was done with it.
    pub(crate) complete: Option<Instant>,
    pub(crate) sent: Option<Instant>,
    pub(crate) done: Option<Instant>,
    /// Why it was refused, or failed.
    pub(crate) reason: Option<&'static str>,
}

/// What answers a request, by the name it has in the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Source {
    #[default]
    Core,
    File,
    App,
    FastCgi,
    Cgi,
}

impl Source {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::File => "file",
            Self::App => "app",
            Self::FastCgi => "fastcgi",
            Self::Cgi => "cgi",
        }
    }
}

impl LogFields {
    /// The address of the client that its proxies name.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.forwarded.as_ref()?.client.map(|(address, _)| address)
    }
}

impl Exchange {
    /// The files of its mount.
    pub(crate) fn files(&self) -> Option<&Arc<Files>> {
        self.generation.mounts.get(self.mount)?.files.as_ref()
    }

    /// Whether its mount lets the application name a file that is sent instead of its response.
    pub(crate) fn may_name_file(&self) -> bool {
        self.generation.mounts.get(self.mount).is_some_and(|own| own.sendfile.is_some())
    }

    pub(crate) fn new(client: Key, started: Instant, generation: &ByThread<Generation>) -> Self {
        Self {
            client: Some(client),
            responder: Responder::None,
            redirects: 0,
            generation: Rc::clone(generation),
            mount: usize::MAX,
            head_only: false,
            http10: false,
            is_hsts: false,
            keep_alive: false,
            head: Vec::new(),
            body: RequestBody::None,
            response: Response::default(),
            trailers: Box::default(),
            compression: None,
            holds: Holding::default(),
            is_behind: false,
            started,
            admission: None,
            decision: Decision::None,
            id: None,
            log: None,
        }
    }

    /// The program of its mount.
    pub(crate) fn program(&self) -> Option<&Program> {
        self.generation.mounts.get(self.mount)?.program.as_ref()
    }

    /// Gives back the credit for what its client has taken, once that is worth telling, and how much it is.
    pub(crate) fn replenish(&mut self) -> u32 {
        if self.answered() {
            return 0;
        }
        let waiting = self.compression.as_ref().map_or(0, |compression| compression.waiting());
        let is_behind = self.is_behind;
        self.responder.ahead_mut().map_or(0, |ahead| ahead.replenish(is_behind, waiting))
    }

    /// Says why it is refused, or why it failed, unless that has been said.
    pub(crate) fn set_reason(&mut self, reason: &'static str) {
        if let Some(log) = &mut self.log {
            log.reason.get_or_insert(reason);
        }
    }

    /// What its proxies say of the client, if they are trusted.
    pub(crate) fn forwarded(&self) -> Option<&Forwarded> {
        self.log.as_ref()?.forwarded.as_deref()
    }

    /// Whether nothing more will be written to the client for it.
    pub(crate) fn answered(&self) -> bool {
        matches!(self.response.state, ResponseState::Complete | ResponseState::Broken)
    }

    /// Whether nothing has been said to the client yet, nor is going to be by the core.
    pub(crate) fn is_awaited(&self) -> bool {
        self.response.state == ResponseState::Awaited
    }

    /// Counts what its client comes to hold for it: `files` are those that its answer may bring.
    pub(crate) fn charge(&mut self, bytes: usize, files: usize) {
        self.holds += Holding::new(bytes, files);
    }

    /// Counts what a request holds that waits for an application: its head is kept, and crosses; behind others its response may come
    /// before its turn.
    pub(crate) fn charge_request(&mut self) {
        let mut bytes = 2 * self.head.len();
        let mut files = 0;
        if self.is_behind {
            bytes += NARROW_WINDOW as usize;
            files += usize::from(self.may_name_file());
        }
        self.charge(bytes, files);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_exchange_is_cheap_to_move() {
        assert!(size_of::<super::Exchange>() <= 248, "{}", size_of::<super::Exchange>());
    }
}
