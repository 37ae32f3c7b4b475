//! Programs that answer as CGI says (RFC 3875). They are started for a request, or speak FastCGI: one request on a connection, which both sides then
//! close. A connection that is kept holds a child of php-fpm's for itself (F48).
//!
//! A request becomes a *run*, which goes through the states of [`State`]. Whatever it waits for has a deadline, and brings it back here: an event of
//! its connection, a message of another thread, a note of its client.

mod answer;
mod connection;
mod errors;
mod pipes;
mod script;
mod started;

use crate::exchange::answer::Answer;
use crate::exchange::responder::{Ahead, Responder};
use crate::exchange::seam::{Clients, Start};
use crate::exchange::turn::Turn;
use crate::exchange::{RequestBody, ResponseState, Source, deliver};
use crate::generation::Scripts;
use crate::mounts::application::Applications;
use crate::router::Resolved;
use crate::shared::message::Message;
use crate::upstreams::process::Process;
use crate::upstreams::{Admission, Attempt, Slot, Target, Upstream, attempt, finish};
use answer::Output;
use connection::{Connection, Outcome};
use errors::{Failure, Stderr};
use gwanmun_files::Sighting;
use gwanmun_files::scripts::has_control;
use gwanmun_gateway::request::set_body_length;
use gwanmun_http1::{Body, HeaderSpan};
use gwanmun_reactor::arena::{Arena, Generations, Key};
use gwanmun_reactor::blocking::PATIENCE;
use gwanmun_reactor::epoll::{Readiness, Token};
use gwanmun_sys::descriptors;
use gwanmun_sys::process::Exit;
use pipes::Pipes;
use script::{Found, Named};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

/// A client that has ended its side may have half-closed, and gets what comes so soon. Then it has left.
const HALF_CLOSED_MS: u64 = 1000;
/// So long the children of a program that has ended may go on without a word, if they have its output.
const LINGER_MS: u64 = 1000;
/// So long a program that nobody waits for has to end.
const GRACE_MS: u64 = 3000;
/// What one receive brings.
const BUFFER: usize = 64 * 1024;

/// A thread's requests that programs have.
pub(crate) struct Programs {
    runs: Arena<Run>,
    /// Runs that can go on.
    dirty: Vec<Key>,
    /// What connections receive into.
    buffer: Vec<u8>,
    /// Runs that found their program's queue of connections full.
    full: usize,
    /// Programs that nobody waits for.
    ending: Vec<Ending>,
    /// Exchanges whose program has answered with another path of this server.
    redirects: Vec<(Key, Box<[u8]>)>,
}

/// A program that nobody waits for, and has been asked to end.
#[derive(Debug)]
struct Ending {
    run: Key,
    /// When it is ended.
    due_ms: u64,
    _process: Process,
    /// It counts until it is gone.
    _slot: Slot,
}

#[derive(Debug)]
struct Run {
    exchange: Key,
    upstream: Arc<Upstream>,
    state: State,
    /// When it entered its state, or its program was last heard of; in milliseconds of the thread's clock.
    since_ms: u64,
    /// What it runs; nothing where the program knows that itself.
    script: Option<Found>,
    output: Output,
    stderr: Stderr,
    /// When its client ended its side.
    closed_ms: Option<u64>,
    dirty: bool,
}

#[derive(Debug)]
enum State {
    /// A blocking thread looks for its script: which of these.
    Seeking(Vec<script::Candidate>),
    /// For a slot, with this ticket.
    Queued(u64),
    /// It has a slot. Its program's name is looked up once.
    Ready {
        slot: Slot,
        has_asked: bool,
    },
    /// Others wait to be accepted, as many as the system lets (F46).
    Full(Slot),
    Connecting {
        slot: Slot,
        connection: Connection,
        others: Vec<Target>,
    },
    Talking {
        _slot: Slot,
        connection: Connection,
    },
    /// A thread starts its program.
    Starting(Slot),
    Running {
        slot: Slot,
        process: Process,
        pipes: Pipes,
        exit: Option<Exit>,
    },
    /// While it goes from one to another.
    Between,
}

impl Programs {
    /// `generations`: of all the thread's lives.
    pub(super) fn new(generations: &Generations) -> Self {
        Self {
            runs: Arena::new(generations),
            dirty: Vec::new(),
            buffer: vec![0; BUFFER],
            full: 0,
            ending: Vec::new(),
            redirects: Vec::new(),
        }
    }

    /// Begins to answer a request: its body is collected first, for a child of a program's that waits for a slow client is one fewer for all others (F19).
    pub(super) fn start(
        &mut self,
        turn: &mut Turn,
        applications: &mut Applications,
        key: Key,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
    ) -> Start {
        if has_control(request.path) {
            return Start::Refused(400, "a control character in the path of a program");
        }
        if !applications.encode_head(turn, key, 0, request, headers) {
            return Start::TOO_LARGE_TO_PASS;
        }
        if request.head.body != Body::None {
            return crate::exchange::intake::collect(turn, request.head.body);
        }
        match self.hand_over(turn, key) {
            None => Start::Started,
            Some(answer) => Start::Answer(answer),
        }
    }

    /// A request's body has been collected.
    pub(super) fn proceed(&mut self, turn: &mut Turn, key: Key, length: u64) -> Option<Answer> {
        let exchange = turn.exchanges.get_mut(key)?;
        set_body_length(&mut exchange.head, length);
        self.hand_over(turn, key)
    }

    /// A request is complete, and no file answers it.
    pub(super) fn hand_over(&mut self, turn: &mut Turn, key: Key) -> Option<Answer> {
        let now = turn.clock.now();
        let exchange = turn.exchanges.get_mut(key)?;
        let generation = Rc::clone(&exchange.generation);
        let program = generation.mounts.get(exchange.mount)?.program.as_ref()?;
        if let Some(log) = &mut exchange.log {
            log.source = match program.scripts {
                Scripts::Started { .. } => Source::Cgi,
                Scripts::None | Scripts::Of { .. } => Source::FastCgi,
            };
            log.complete = Some(now);
        }
        let candidates = match script::name(&exchange.head, &program.scripts) {
            Named::Candidates(candidates) => candidates,
            Named::Refused(status) => return Some(Answer::page(status)),
        };
        let ahead = Ahead::new(exchange.is_behind);
        let run = self.runs.insert_with(|_| Run {
            exchange: key,
            upstream: Arc::clone(&program.upstream),
            state: State::Seeking(Vec::new()),
            since_ms: turn.clock.ms(),
            script: None,
            output: Output::default(),
            stderr: Stderr::default(),
            closed_ms: None,
            dirty: false,
        });
        exchange.responder = Responder::Program { run, ahead };
        match program.scripts.root() {
            None => self.admit(turn, run),
            Some(root) => {
                seek(turn, run, root, &candidates);
                if let Some(run) = self.runs.get_mut(run) {
                    run.state = State::Seeking(candidates);
                }
                None
            }
        }
    }

    /// A run wants a slot. Gives the answer if there is no room even to wait for one.
    fn admit(&mut self, turn: &mut Turn, key: Key) -> Option<Answer> {
        let run = self.runs.get_mut(key)?;
        let shared = Arc::clone(&turn.shared);
        let thread = turn.thread;
        let admission = run.upstream.admit(move |slot| {
            shared.mailboxes[thread].post(Message::Slot { run: key, slot });
        });
        run.since_ms = turn.clock.ms();
        match admission {
            Admission::Granted(slot) => {
                run.state = State::Ready { slot, has_asked: false };
                self.mark_dirty(key);
            }
            Admission::Queued(ticket) => run.state = State::Queued(ticket),
            Admission::Refused => {
                let exchange = run.exchange;
                turn.log_unserved(exchange, "the queue for the program is full");
                self.remove(turn, key);
                return Some(Answer::unavailable());
            }
        }
        None
    }

    fn mark_dirty(&mut self, key: Key) {
        if let Some(run) = self.runs.get_mut(key)
            && !std::mem::replace(&mut run.dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// Whether a run can go on.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.redirects.is_empty()
    }

    /// Whether a run is to be looked at again soon, though nothing tells.
    pub(crate) fn is_impatient(&self) -> bool {
        self.full > 0
    }

    /// The client of an exchange has taken what it was sent.
    pub(super) fn on_taken(&mut self, turn: &mut Turn, key: Key) {
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        if let Some(run) = exchange.responder.run()
            && exchange.replenish() > 0
        {
            self.mark_dirty(run);
        }
    }

    /// The client of an exchange has ended its side.
    pub(super) fn on_closed(&mut self, turn: &Turn, key: Key) {
        let run = turn.exchanges.get(key).and_then(|exchange| exchange.responder.run());
        if let Some(run) = run.and_then(|run| self.runs.get_mut(run)) {
            run.closed_ms.get_or_insert(turn.clock.ms());
        }
    }

    /// Nobody waits for the answer any more. Who has had all of it has not left: its program comes to its end (F52).
    pub(super) fn cancel(&mut self, turn: &mut Turn, key: Key) {
        let Some(exchange) = turn.exchanges.get(key) else { return };
        let Some(run) = exchange.responder.run() else { return };
        if exchange.response.state == ResponseState::Complete {
            self.mark_dirty(run);
        } else {
            self.remove(turn, run);
        }
    }

    /// A run is over: its slot is free, and its connection closed.
    fn remove(&mut self, turn: &mut Turn, key: Key) -> Option<Run> {
        let mut run = self.runs.remove(key)?;
        match std::mem::replace(&mut run.state, State::Between) {
            State::Queued(ticket) => run.upstream.forget(ticket),
            State::Full(_) => self.full -= 1,
            State::Connecting { connection, .. } | State::Talking { connection, .. } => {
                turn.epoll.remove(connection.fd());
            }
            State::Running { slot, process, pipes, exit } => {
                for fd in pipes.fds() {
                    turn.epoll.remove(fd);
                }
                if exit.is_none() {
                    process.terminate();
                    let due_ms = turn.clock.ms() + GRACE_MS;
                    self.ending.push(Ending { run: key, due_ms, _process: process, _slot: slot });
                }
            }
            State::Seeking(_) | State::Ready { .. } | State::Starting(_) | State::Between => {}
        }
        if let Some(exchange) = turn.exchanges.get_mut(run.exchange) {
            exchange.responder = Responder::None;
            if let Some(log) = &mut exchange.log {
                log.done = Some(turn.clock.now());
            }
            turn.release(run.exchange);
        }
        Some(run)
    }

    /// Lets runs go on. `keys`: room.
    pub(crate) fn flush_dirty(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        keys: &mut Vec<Key>,
    ) {
        std::mem::swap(keys, &mut self.dirty);
        for key in keys.drain(..) {
            if let Some(run) = self.runs.get_mut(key) {
                run.dirty = false;
            }
            self.advance(turn, clients, key);
        }
    }

    /// Exchanges that go on with another path of this server.
    pub(super) fn take_redirects(&mut self) -> Vec<(Key, Box<[u8]>)> {
        std::mem::take(&mut self.redirects)
    }

    pub(crate) fn on_event(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        readiness: Readiness,
    ) {
        let Some(run) = self.runs.get_mut(key) else { return };
        match &mut run.state {
            State::Connecting { connection, .. } | State::Talking { connection, .. } => {
                connection.note(readiness);
            }
            State::Running { pipes, .. } => pipes.note(readiness),
            _ => return,
        }
        self.advance(turn, clients, key);
    }

    /// The script of a run has been looked for.
    pub(crate) fn on_script(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        found: io::Result<Option<Sighting>>,
    ) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let State::Seeking(candidates) = &mut run.state else { return };
        let exchange = run.exchange;
        let answer = match found {
            Ok(Some(Sighting { index, folder, is_executable })) if index < candidates.len() => {
                let found = Found { candidate: candidates.swap_remove(index), root: folder };
                if run.upstream.starts_processes() && !is_executable {
                    let file = found.file();
                    let file = file.display();
                    turn.log_error(&format!(
                        "CGI: {file} is not executable, so the client got a 403: chmod +x {file}"
                    ));
                    Some(Answer::page(403))
                } else {
                    run.script = Some(found);
                    self.admit(turn, key)
                }
            }
            Ok(_) => Some(Answer::page(404)),
            Err(error) => {
                let answer = match error.kind() {
                    io::ErrorKind::PermissionDenied => Answer::page(403),
                    _ if descriptors::is_exhaustion(&error) => Answer::unavailable(),
                    io::ErrorKind::TimedOut => Answer::unavailable(),
                    _ => Answer::page(500),
                };
                turn.log_error(&format!("A script could not be looked for: {error}."));
                Some(answer)
            }
        };
        if let Some(answer) = answer {
            self.remove(turn, key);
            turn.with_client(clients, exchange, |client, turn| {
                turn.answer(client, exchange, answer);
            });
        }
    }

    /// A run that was queued has got a slot. If it is gone, the next one has it.
    pub(crate) fn on_slot(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        slot: Slot,
    ) {
        if let Some(run) = self.runs.get_mut(key)
            && let State::Queued(_) = run.state
        {
            run.state = State::Ready { slot, has_asked: false };
            run.since_ms = turn.clock.ms();
            self.advance(turn, clients, key);
        }
    }

    /// The name of a run's program has been looked up.
    pub(crate) fn on_looked_up(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        result: io::Result<Vec<Target>>,
    ) {
        if !matches!(self.runs.get(key).map(|run| &run.state), Some(State::Ready { .. })) {
            return;
        }
        match result {
            Ok(targets) => self.connect(turn, clients, key, targets, None),
            Err(error) => self.fail(turn, clients, key, Failure::Connect(error)),
        }
    }

    /// A piece of a run's request body has been read from its file.
    pub(crate) fn on_piece(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        result: io::Result<Vec<u8>>,
    ) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let State::Talking { connection, .. } = &mut run.state else { return };
        match result {
            Ok(piece) => {
                connection.take_piece(&piece);
                self.advance(turn, clients, key);
            }
            Err(error) => self.fail(turn, clients, key, Failure::Body(error)),
        }
    }

    /// Lets a run go as far as it can.
    fn advance(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key) {
        let Some(run) = self.runs.get_mut(key) else { return };
        match &mut run.state {
            State::Seeking(_)
            | State::Queued(_)
            | State::Full(_)
            | State::Starting(_)
            | State::Between => {}
            State::Ready { .. } if run.upstream.starts_processes() => {
                self.launch(turn, clients, key)
            }
            State::Ready { has_asked, .. } => match run.upstream.targets_at_once() {
                Some(targets) => self.connect(turn, clients, key, targets, None),
                None if std::mem::replace(has_asked, true) => {}
                None => look_up(turn, key, &run.upstream),
            },
            State::Connecting { connection, others, .. } => {
                if !connection.is_writable() {
                    return;
                }
                match finish(connection.fd()) {
                    Ok(()) => self.begin(turn, clients, key),
                    Err(error) => {
                        turn.epoll.remove(connection.fd());
                        let others = std::mem::take(others);
                        self.connect(turn, clients, key, others, Some(error));
                    }
                }
            }
            State::Talking { connection, .. } => {
                let exchange = turn.exchanges.get(run.exchange);
                let is_wanted = exchange.is_some_and(|exchange| !exchange.answered());
                let outcome = connection.talk(
                    turn,
                    clients,
                    (key, run.exchange, is_wanted),
                    &mut run.output,
                    &mut run.stderr,
                    &mut self.buffer,
                );
                if connection.has_moved() {
                    run.since_ms = turn.clock.ms();
                }
                match outcome {
                    Outcome::Wait => {}
                    Outcome::Yield => self.mark_dirty(key),
                    Outcome::End => self.end(turn, key),
                    Outcome::Redirect(target) => self.redirect(turn, clients, key, target),
                    Outcome::Failed(failure) => self.fail(turn, clients, key, failure),
                }
            }
            State::Running { pipes, .. } => {
                let exchange = turn.exchanges.get(run.exchange);
                let is_wanted = exchange.is_some_and(|exchange| !exchange.answered());
                let outcome = pipes.talk(
                    turn,
                    clients,
                    (run.exchange, is_wanted),
                    &mut run.output,
                    &mut run.stderr,
                    &mut self.buffer,
                );
                if pipes.has_moved() {
                    run.since_ms = turn.clock.ms();
                }
                match outcome {
                    Outcome::Wait => {}
                    Outcome::Yield => self.mark_dirty(key),
                    Outcome::End => self.on_output_end(turn, clients, key),
                    Outcome::Redirect(target) => self.redirect(turn, clients, key, target),
                    Outcome::Failed(failure) => self.fail(turn, clients, key, failure),
                }
            }
        }
    }

    /// Connects to the first target that takes it. `before`: why the one before these did not.
    fn connect(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        mut targets: Vec<Target>,
        before: Option<io::Error>,
    ) {
        let mut trouble = before;
        while !targets.is_empty() {
            let target = targets.remove(0);
            let attempt = attempt(&target);
            let Some(run) = self.runs.get_mut(key) else { return };
            let (fd, is_connected) = match attempt {
                Ok(Attempt::Connected(fd)) => (fd, true),
                Ok(Attempt::Pending(fd)) => (fd, false),
                Ok(Attempt::Full) => {
                    let before = std::mem::replace(&mut run.state, State::Between);
                    if let State::Ready { slot, .. } | State::Connecting { slot, .. } = before {
                        run.state = State::Full(slot);
                        self.full += 1;
                    }
                    return;
                }
                Err(error) => {
                    trouble = Some(error);
                    continue;
                }
            };
            if let Err(error) = turn.epoll.add_edges(fd.as_fd(), Token::Upstream(key)) {
                trouble = Some(error);
                continue;
            }
            let before = std::mem::replace(&mut run.state, State::Between);
            let (State::Ready { slot, .. } | State::Connecting { slot, .. }) = before else {
                return;
            };
            let connection = Connection::new(fd);
            run.state = State::Connecting { slot, connection, others: targets };
            if is_connected {
                self.begin(turn, clients, key);
            }
            return;
        }
        let error = trouble.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        self.fail(turn, clients, key, Failure::Connect(error));
    }

    /// A run is connected: its request goes out.
    fn begin(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let before = std::mem::replace(&mut run.state, State::Between);
        let State::Connecting { slot, mut connection, .. } = before else { return };
        let now_ms = turn.clock.ms();
        run.since_ms = now_ms;
        let mut fits = false;
        if let Some(exchange) = turn.exchanges.get_mut(run.exchange) {
            if let Some(log) = &mut exchange.log {
                log.sent = Some(turn.clock.now());
            }
            if let Some(program) = exchange.program() {
                let variables = script::variables(exchange, program, run.script.as_ref());
                fits = connection.write_request(&variables, &exchange.body);
            }
        }
        run.state = State::Talking { _slot: slot, connection };
        if fits {
            self.advance(turn, clients, key);
        } else {
            self.fail(turn, clients, key, Failure::TooLarge);
        }
    }

    /// A run has its whole answer.
    fn end(&mut self, turn: &mut Turn, key: Key) {
        if let Some(run) = self.runs.get_mut(key) {
            run.stderr.end(turn, run.exchange, &run.upstream);
        }
        self.remove(turn, key);
    }

    /// A program has answered with another path of this server.
    fn redirect(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        target: Box<[u8]>,
    ) {
        const MOST: u8 = 10;
        let Some(run) = self.runs.get(key) else { return };
        let Some(exchange) = turn.exchanges.get_mut(run.exchange) else { return };
        exchange.redirects += 1;
        if exchange.redirects > MOST {
            self.fail(turn, clients, key, Failure::Circle);
            return;
        }
        exchange.body = RequestBody::None;
        let exchange = run.exchange;
        self.end(turn, key);
        self.redirects.push((exchange, target));
    }

    /// A run can't be answered: its client gets an error, or a response that breaks off.
    fn fail(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key, failure: Failure) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let exchange = run.exchange;
        run.stderr.end(turn, exchange, &run.upstream);
        let status = failure.tell(turn, exchange, &run.upstream);
        self.remove(turn, key);
        if status == 503 || status == 431 {
            turn.with_client(clients, exchange, |client, turn| {
                let answer =
                    if status == 503 { Answer::unavailable() } else { Answer::page(status) };
                turn.answer_unless_begun(client, exchange, answer);
            });
        } else {
            deliver::fail(turn, clients, exchange, status);
        }
    }

    /// Looks for runs that have waited too long, for those that can be tried again, and for programs that have not ended when they were asked to.
    pub(crate) fn on_tick(&mut self, turn: &mut Turn, clients: &mut impl Clients) {
        let now_ms = turn.clock.ms();
        let mut late = Vec::new();
        let mut again = Vec::new();
        let mut left = Vec::new();
        let mut over = Vec::new();
        self.ending.retain(|ending| ending.due_ms > now_ms);
        for (key, run) in self.runs.iter_mut() {
            if run.closed_ms.is_some_and(|closed_ms| now_ms >= closed_ms + HALF_CLOSED_MS) {
                left.push((key, run.exchange));
                continue;
            }
            let config = &run.upstream.config;
            let (limit_ms, failure) = match &run.state {
                State::Seeking(_) => (PATIENCE.as_millis() as u64, Failure::Folder),
                State::Queued(_) => (config.queue_timeout_ms, Failure::Queue),
                State::Full(_) => {
                    again.push(key);
                    (config.queue_timeout_ms, Failure::Queue)
                }
                State::Between => continue,
                State::Running { exit: Some(_), .. } => {
                    if now_ms >= run.since_ms + LINGER_MS {
                        over.push(key);
                    }
                    continue;
                }
                State::Ready { .. } | State::Connecting { .. } | State::Starting(_) => {
                    (config.connect_timeout_ms, Failure::ConnectTimeout)
                }
                State::Talking { .. } | State::Running { .. } => {
                    // Whom the client keeps waiting is not late.
                    let waits = turn.exchanges.get_mut(run.exchange).is_some_and(|exchange| {
                        let ahead = exchange.responder.ahead_mut();
                        ahead.is_some_and(|ahead| ahead.credit == 0) && !exchange.answered()
                    });
                    if waits {
                        run.since_ms = now_ms;
                    }
                    match config.timeout_ms {
                        0 => continue,
                        timeout_ms => (timeout_ms, Failure::Timeout),
                    }
                }
            };
            if now_ms.saturating_sub(run.since_ms) >= limit_ms {
                late.push((key, failure));
            }
        }
        for key in over {
            self.conclude(turn, clients, key);
        }
        for (key, exchange) in left {
            self.remove(turn, key);
            turn.with_client(clients, exchange, |client, turn| {
                deliver::abort(turn, client, exchange);
            });
        }
        for (key, failure) in late {
            self.on_late(turn, clients, key, failure);
        }
        for key in again {
            let Some(run) = self.runs.get_mut(key) else { continue };
            let State::Full(_) = run.state else { continue };
            let before = std::mem::replace(&mut run.state, State::Between);
            if let State::Full(slot) = before {
                self.full -= 1;
                run.state = State::Ready { slot, has_asked: false };
                self.advance(turn, clients, key);
            }
        }
    }

    /// A run has waited too long. If its client has its answer, its program is ended all the same.
    fn on_late(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key, failure: Failure) {
        let Some(run) = self.runs.get(key) else { return };
        let exchange = turn.exchanges.get(run.exchange);
        if exchange.is_some_and(|exchange| !exchange.answered()) {
            self.fail(turn, clients, key, failure);
            return;
        }
        turn.log_error(&format!(
            "A program of {:?} went on without a word after its answer, and was ended.",
            run.upstream
        ));
        self.end(turn, key);
    }

    /// Whether programs that have been asked to end have not.
    pub(crate) fn has_ending(&self) -> bool {
        !self.ending.is_empty()
    }

    /// Bytes that programs have not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.runs
            .iter()
            .map(|run| match &run.state {
                State::Talking { connection, .. } => connection.unsent(),
                _ => 0,
            })
            .sum()
    }
}

/// Has a blocking thread look which of these scripts there is.
fn seek(
    turn: &Turn,
    run: Key,
    root: &Arc<gwanmun_files::FileRoot>,
    candidates: &[script::Candidate],
) {
    let (root, lane) = (Arc::clone(root), Arc::clone(root.lane()));
    let paths: Vec<Vec<u8>> = candidates.iter().map(|candidate| candidate.path.clone()).collect();
    turn.run_blocking(
        &lane,
        move || {
            let paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
            Message::Script { run, found: root.first_file(&paths) }
        },
        move |error| Message::Script { run, found: Err(error) },
    );
}

fn look_up(turn: &Turn, run: Key, upstream: &Arc<Upstream>) {
    let own = Arc::clone(upstream);
    turn.run_blocking(
        &upstream.lane,
        move || Message::LookedUp { run, result: own.find() },
        move |error| Message::LookedUp { run, result: Err(error) },
    );
}
