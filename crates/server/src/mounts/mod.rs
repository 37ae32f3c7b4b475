//! Who answers: which mount a request is for, and of which kind that is.

pub(crate) mod application;
mod challenge;
mod elsewhere;
mod files;
mod fixed;
mod guard;
mod programs;

use crate::exchange::answer::Answer;
use crate::exchange::seam::{Client, Clients, Note, Request, Respond, Start};
use crate::exchange::turn::Turn;
use crate::exchange::{Decision, Exchange};
use crate::generation::{Generation, Own};
use crate::peer::Elsewhere;
use crate::router::Resolved;
use application::Applications;
use files::FileMounts;
use guard::{Asked, Logins};
use gwanmun_access::Fingerprint;
use gwanmun_files::Found;
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_gateway::response::WISH_ANY_TARGET;
use gwanmun_http1::path::{self, Normal, PathError};
use gwanmun_http1::{Body, HeaderSpan, TargetForm, parse_request};
use gwanmun_reactor::arena::{Generations, Key};
use gwanmun_sys::syscall::Transfer;
use programs::Programs;
use std::borrow::Cow;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;

/// What answers on a thread.
pub(crate) struct Mounts {
    pub(crate) files: FileMounts,
    pub(crate) applications: Applications,
    pub(crate) programs: Programs,
    logins: Logins,
    /// Room for the normal form of a path.
    path: Vec<u8>,
}

/// What answers where there is no file.
struct Behind<'a> {
    applications: &'a mut Applications,
    programs: &'a mut Programs,
}

impl Behind<'_> {
    /// A request is complete, and no file answers it. Gives the answer if there is nobody who can.
    fn hand_over(&mut self, turn: &mut Turn, key: Key) -> Option<Answer> {
        let exchange = turn.exchanges.get(key)?;
        let has_program =
            exchange.generation.mounts.get(exchange.mount).is_some_and(|own| own.program.is_some());
        if has_program {
            self.programs.hand_over(turn, key)
        } else {
            self.applications.hand_over(turn, key)
        }
    }
}

/// Of a request for the server as a whole.
const ALLOWED: &[u8] = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

impl Mounts {
    /// `generations`: of all the thread's lives.
    pub(crate) fn new(generations: &Generations, turn: &Turn) -> Self {
        Self {
            files: FileMounts::new(&turn.shared),
            applications: Applications::new(generations),
            programs: Programs::new(generations),
            logins: Logins::default(),
            path: Vec::new(),
        }
    }

    /// Hears what clients have told of their exchanges.
    pub(crate) fn listen(&mut self, turn: &mut Turn) {
        let mut notes = std::mem::take(&mut turn.notes);
        for note in notes.drain(..) {
            match note {
                Note::Taken(key) => {
                    self.applications.grant_credit(turn, key);
                    self.programs.on_taken(turn, key);
                }
                Note::Closed(key) => {
                    self.applications.tell_closed(turn, key);
                    self.programs.on_closed(turn, key);
                }
                Note::Cancelled(key) => {
                    self.programs.cancel(turn, key);
                    self.applications.cancel(turn, key);
                }
            }
        }
        // Nobody has written one meanwhile.
        turn.notes = notes;
    }

    /// Gives up on files that have been looked for too long.
    pub(crate) fn expire_lookups(&mut self, turn: &mut Turn, clients: &mut impl Clients) {
        let Self { files, applications, programs, .. } = self;
        files.expire_lookups(turn, clients, &mut Behind { applications, programs });
    }

    /// A file has been looked for.
    pub(crate) fn on_found(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        sight: (&Arc<Generation>, usize, &[u8]),
        found: &Found,
    ) {
        let Self { files, applications, programs, .. } = self;
        files.on_found(turn, clients, &mut Behind { applications, programs }, sight, found);
    }

    /// Whether something is to be sent, or can go on.
    pub(crate) fn is_dirty(&self) -> bool {
        self.applications.is_dirty() || self.programs.is_dirty()
    }

    /// Lets requests that programs have go on. `keys`: room.
    pub(crate) fn flush_programs(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        keys: &mut Vec<Key>,
    ) {
        if !self.programs.is_dirty() {
            return;
        }
        self.programs.flush_dirty(turn, clients, keys);
        for (exchange, target) in self.programs.take_redirects() {
            turn.with_client(clients, exchange, |client, turn| {
                self.redirect(turn, client, exchange, &target);
            });
        }
    }

    /// A program has answered with another path of this server: whatever that is answers in its place, to a GET without a body (C32, C64).
    fn redirect(&mut self, turn: &mut Turn, client: &mut impl Client, key: Key, target: &[u8]) {
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        let bytes = redirected(exchange, target);
        if let Some(forwarded) = exchange.log.as_mut().and_then(|log| log.forwarded.as_deref_mut())
        {
            // It is the Host of the request now, and its place in the head that came is nothing in this one.
            forwarded.authority = None;
        }
        turn.buffers.give(std::mem::take(&mut exchange.head));
        // What was decided was for another path.
        exchange.decision = Decision::None;
        let mut headers = Vec::new();
        let limits = turn.generation.head_limits;
        match parse_request(&bytes, &limits, &mut headers) {
            Ok(Some(head)) => {
                let request = &mut Request {
                    peer: client.peer(),
                    socket: None,
                    bytes: &bytes,
                    head: &head,
                    headers: &mut headers,
                };
                match self.start(turn, key, request) {
                    Start::Answer(answer) => turn.answer(client, key, answer),
                    Start::Refused(status, why) => turn.refuse(client, key, status, why),
                    Start::Undecided => {
                        if let Some(exchange) = turn.exchanges.get_mut(key) {
                            exchange.decision = Decision::Failed;
                            exchange.set_reason("a program named a path behind another password");
                        }
                        turn.answer(client, key, Answer::page(403));
                    }
                    // It has no body.
                    Start::Started | Start::Collect { .. } | Start::Pass { .. } => {}
                }
            }
            Ok(None) | Err(_) => {
                turn.log_error(&format!(
                    "A program has answered with a path that is none: {}.",
                    target.escape_ascii()
                ));
                turn.answer(client, key, Answer::page(502));
            }
        }
    }

    /// New requests are of another generation.
    pub(crate) fn renew(&mut self, turn: &Turn) {
        self.files = FileMounts::new(&turn.shared).with_lookups_of(&mut self.files);
    }

    /// What refuses a request that is for no mount.
    fn refusal(
        &mut self,
        turn: &mut Turn,
        generation: &Generation,
        key: Key,
        request: &Request<'_>,
    ) -> Option<Start> {
        let guard = generation.guard.as_ref()?;
        let refused = guard::refusal(turn, key, request.peer, guard);
        let refused = refused.or_else(|| guard::excess(turn, key, &Asked::of(request), guard));
        refused.or_else(|| {
            let login = guard.login.as_ref()?;
            self.logins.refusal(turn, key, &Asked::of(request), login)
        })
    }

    /// Passwords have been looked at.
    pub(crate) fn on_verified(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        fingerprint: Fingerprint,
        is_right: Option<bool>,
    ) {
        self.logins.on_verified(turn, clients, fingerprint, is_right);
    }

    fn start_resolved(
        &mut self,
        turn: &mut Turn,
        generation: &Generation,
        key: Key,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
    ) -> Start {
        let Resolved { bytes, head, route, .. } = *request;
        let mount = &generation.mounts[route.mount];
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            exchange.mount = route.mount;
            if let Some(log) = &mut exchange.log {
                log.routed = true;
            }
        }
        let is_preflight = match &mount.cors {
            None => false,
            Some(cors) => {
                let find = |name: &[u8]| {
                    let header = headers
                        .iter()
                        .find(|header| header.name.of(bytes).eq_ignore_ascii_case(name))?;
                    Some(header.value.of(bytes))
                };
                let origin = find(b"origin");
                let is_preflight = origin.is_some()
                    && head.method.of(bytes) == b"OPTIONS"
                    && find(b"access-control-request-method").is_some();
                let granted = cors.lines(origin, is_preflight);
                if let Some(exchange) = turn.exchanges.get_mut(key)
                    && !granted.is_empty()
                {
                    exchange.admission.get_or_insert_default().granted = granted;
                }
                is_preflight
            }
        };
        if let Some(guard) = &mount.guard {
            let asked = Asked { peer: request.peer, bytes, headers };
            let refused = guard::refusal(turn, key, request.peer, guard);
            if let Some(start) = refused.or_else(|| guard::excess(turn, key, &asked, guard)) {
                return start;
            }
        }
        if is_preflight {
            return Start::Answer(Answer::page(204));
        }
        if let Some(login) = mount.guard.as_ref().and_then(|guard| guard.login.as_ref()) {
            let asked = Asked { peer: request.peer, bytes, headers };
            if let Some(start) = self.logins.refusal(turn, key, &asked, login) {
                return start;
            }
            headers.retain(|header| !guard::is_identity(header.name.of(bytes)));
        }
        match &mount.own {
            None => {}
            Some(Own::Fixed(own)) => return Start::Answer(fixed::respond(own)),
            Some(Own::Redirect(own)) => return Start::Answer(fixed::redirect(own, request)),
        }
        if matches!(head.body, Body::Length(length) if length > generation.body_limit) {
            let why = "the announced request body is over limits.body";
            return Start::Refused(413, why);
        }
        // A body of a GET means nothing to a file; an application may have a use for it.
        let is_file_alone = mount.application.is_none() && mount.program.is_none();
        let reads = matches!(head.method.of(bytes), b"GET" | b"HEAD")
            && (head.body == Body::None || is_file_alone);
        let Self { files: own, applications, programs, .. } = self;
        let behind = &mut Behind { applications, programs };
        if let Some(files) = &mount.files
            && reads
        {
            let found = own.start(turn, behind, key, files, request, headers);
            if let Some(start) = found {
                return start;
            }
        }
        match mount.application {
            Some(own) => self.applications.start(turn, key, own, request, headers),
            None if mount.program.is_some() => {
                self.programs.start(turn, &mut self.applications, key, request, headers)
            }
            None if reads => Start::Answer(Answer::page(404)),
            None => Start::Answer(Answer::Page {
                status: 405,
                lines: Cow::Borrowed(b"Allow: GET, HEAD\r\n"),
            }),
        }
    }

    /// Gives a request whose path has no normal form to the application at `/`, if that wants it. No other mount's path, and no
    /// file's, can be meant by it.
    fn start_any_target(
        &mut self,
        turn: &mut Turn,
        generation: &Generation,
        key: Key,
        request: &mut Request<'_>,
    ) -> Option<Start> {
        let route = generation.router.root()?;
        let own = generation.mounts[route.mount].application?;
        if !generation.pools[own.pool].wishes(own.index, WISH_ANY_TARGET) {
            return None;
        }
        let (bytes, head) = (request.bytes, request.head);
        let resolved = Resolved {
            peer: request.peer,
            socket: request.socket,
            bytes,
            head,
            path_span: Some(head.path),
            path: head.path.of(bytes),
            doubled: false,
            route,
            servable: false,
        };
        Some(self.start_resolved(turn, generation, key, &resolved, request.headers))
    }
}

impl Respond for Mounts {
    fn start(&mut self, turn: &mut Turn, key: Key, request: &mut Request<'_>) -> Start {
        let generation = Rc::clone(&turn.generation);
        let (bytes, head) = (request.bytes, request.head);
        let raw = head.path.of(bytes);
        let token = raw.strip_prefix(challenge::PATH);
        if let Some(start) = token.and_then(|token| challenge::start(turn, request, token)) {
            return start;
        }
        if request.peer.local.elsewhere.is_some()
            && let Some(start) = self.refusal(turn, &generation, key, request)
        {
            return start;
        }
        if let Some(elsewhere) = request.peer.local.elsewhere
            && (token.is_none() || matches!(elsewhere, Elsewhere::Tls(_)))
            && let Some(start) = elsewhere::start(turn, key, request, elsewhere)
        {
            return start;
        }
        if head.form == TargetForm::Asterisk {
            if let Some(start) = self.refusal(turn, &generation, key, request) {
                return start;
            }
            let start = self.start_any_target(turn, &generation, key, request);
            return start.unwrap_or(Start::Answer(Answer::Page {
                status: 204,
                lines: Cow::Borrowed(ALLOWED),
            }));
        }
        let mut decoded = std::mem::take(&mut self.path);
        let start = match path::normalize(raw, &mut decoded) {
            // Some mount may be meant by it, and which one is a matter of opinion.
            Err(error @ PathError::Ambiguous) => Start::Refused(400, error.reason()),
            Err(error) => {
                let start = self.start_any_target(turn, &generation, key, request);
                start.unwrap_or(Start::Refused(400, error.reason()))
            }
            Ok(normalized) => {
                let (path, path_span) = match normalized.form {
                    Normal::Same => (raw, Some(head.path)),
                    Normal::Decoded => (decoded.as_slice(), None),
                };
                match generation.router.find(path) {
                    None => self
                        .refusal(turn, &generation, key, request)
                        .unwrap_or(Start::Answer(Answer::page(404))),
                    Some(route) => {
                        let resolved = Resolved {
                            peer: request.peer,
                            socket: request.socket,
                            bytes,
                            head,
                            path_span,
                            path,
                            doubled: normalized.doubled,
                            route,
                            // An encoded slash separates nothing in a file's path (H69).
                            servable: !normalized.encoded_slash,
                        };
                        self.start_resolved(turn, &generation, key, &resolved, request.headers)
                    }
                }
            }
        };
        self.path = decoded;
        start
    }

    fn proceed(&mut self, turn: &mut Turn, key: Key, length: u64) -> Option<Answer> {
        let exchange = turn.exchanges.get(key)?;
        let mount = exchange.generation.mounts.get(exchange.mount)?;
        if mount.program.is_some() {
            return self.programs.proceed(turn, key, length);
        }
        self.applications.proceed(turn, key, length)
    }

    fn room(&mut self, turn: &mut Turn, key: Key) -> usize {
        self.applications.upload_credit(turn, key)
    }

    fn body(&mut self, turn: &mut Turn, key: Key, bytes: &[u8], end: bool) {
        self.applications.send_upload(turn, key, bytes, end);
    }

    fn receive(
        &mut self,
        turn: &mut Turn,
        key: Key,
        from: BorrowedFd<'_>,
        most: usize,
        left: u64,
    ) -> Option<io::Result<Transfer>> {
        self.applications.receive_upload(turn, key, from, most, left)
    }
}

/// The head of a request for another path, as the client of an exchange would ask for it.
fn redirected(exchange: &Exchange, target: &[u8]) -> Vec<u8> {
    let view = HeadView::new(&exchange.head);
    let method: &[u8] = if view.piece(Piece::Method) == b"HEAD" { b"HEAD" } else { b"GET" };
    let target = target.split(|&byte| byte == b'#').next().unwrap_or_default();
    let version: &[u8] = if exchange.http10 { b"HTTP/1.0" } else { b"HTTP/1.1" };
    let mut bytes = [method, b" ", target, b" ", version, b"\r\n"].concat();
    for (name, value) in view.headers() {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let is_other = is(b"content-length")
            || is(b"content-type")
            || is(b"content-encoding")
            || is(b"expect")
            || is(b"transfer-encoding");
        // That is said anew.
        let is_other = is_other || guard::is_identity(name);
        if !is_other {
            for part in [name, b": ", value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
