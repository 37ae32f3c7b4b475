//! A client's connection: bytes in, exchanges, bytes out.
//!
//! The connection is a state machine that one I/O thread drives; it never waits. By role: [`read`] turns bytes into requests,
//! [`proxied`] whom they are from, [`request`] decides what answers a request, [`crossing`] makes of its head what a worker gets, [`body`] receives request
//! bodies, [`respond`] writes the core's own answers, [`relay`] writes an application's, which [`compress`] may make smaller,
//! and this file keeps their order, sends, and ends the connection.

pub(crate) mod body;
pub(crate) mod compress;
pub(crate) mod crossing;
pub(crate) mod holding;
pub(crate) mod output;
mod proxied;
mod read;
pub(crate) mod relay;
mod request;
pub(crate) mod respond;
pub(crate) mod sendfile;

use crate::exchange::{self, ResponseState};
use crate::thread::log::AccessLine;
use crate::thread::shedding::Standing;
use crate::thread::{Context, Message};
use body::{BodyReader, slow_pace};
use gwanmun_files::{fetch, load};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::Readiness;
use gwanmun_sys::syscall;
use holding::Holding;
use output::{Output, Sent};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// Requests of one connection that are worked on at once; more of a pipeline stay unread.
const MAX_PIPELINE: usize = 32;
/// How long a closing connection reads on, so that the client gets the response before a reset (RFC 9112 §9.6).
const LINGER_MS: u64 = 2000;

#[derive(Debug)]
pub(crate) struct Connection {
    key: Key,
    fd: OwnedFd,
    remote_addr: Box<str>,
    remote_port: u16,
    local: Rc<Local>,
    phase: Phase,
    /// Bytes that were received and not understood yet: a part of a head, or requests that have to wait.
    input: Vec<u8>,
    /// `input` can't go on before something else has happened.
    blocked: bool,
    /// A request that may change something is in progress; the next one of the pipeline waits for it.
    pipeline_held: bool,
    /// The turn of the thread's loop in which a request was begun last, and how many were in it.
    turn: u32,
    begun: u32,
    /// Requests whose responses are not sent yet, in the order of their arrival.
    exchanges: VecDeque<Key>,
    /// What they hold together.
    exchanges_hold: Holding,
    output: Output,
    readable: bool,
    writable: bool,
    /// The client has closed its sending side.
    read_closed: bool,
    /// Only a reset tells the client that what it was sent is not all.
    reset_at_end: bool,
    ending: Ending,
    /// Bytes that were thrown away since the connection is closing.
    discarded: u32,
    dirty: bool,
    closed: bool,
    /// A piece of a file is being read in by a blocking thread, or has just been.
    loading: bool,
    loaded: bool,
    /// In milliseconds of the thread's clock; 0 = never.
    read_deadline: u64,
    reading: Reading,
    write_deadline: u64,
    /// Bytes that the kernel held for the client at the last look, and was given since, while not all is sent.
    untaken: u32,
    /// While the client does not take at once what it is sent.
    pace: Option<Box<Pace>>,
    /// The access log waits until these are sent.
    unlogged: Option<Box<Unlogged>>,
}

/// How fast a client takes what it is sent.
#[derive(Debug)]
struct Pace {
    since_ms: u64,
    taken: u64,
}

/// What the access log will say of responses that are complete and not sent.
#[derive(Debug, Default)]
struct Unlogged {
    lines: VecDeque<AccessLine>,
    /// Bytes that the kernel has been given since the first of them.
    sent: u64,
}

/// The listener's side of a connection.
#[derive(Debug)]
pub(crate) struct Local {
    /// As it stands in a URL. None: every address of the machine.
    pub(crate) name: Option<Box<str>>,
    pub(crate) port: u16,
    pub(crate) is_unix: bool,
}

#[derive(Debug)]
enum Phase {
    Head,
    Body(Box<BodyReader>),
    /// No further request is taken; what arrives is thrown away.
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// Close when everything is sent.
    AfterOutput,
    /// Everything is sent and our side is shut down; waiting for the client's end.
    Lingering,
}

/// What the read deadline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Head,
    Body,
    Idle,
    Linger,
}

impl Connection {
    pub(crate) fn new(
        key: Key,
        fd: OwnedFd,
        remote: (Box<str>, u16),
        local: Rc<Local>,
        cx: &Context,
    ) -> Self {
        Self {
            key,
            fd,
            remote_addr: remote.0,
            remote_port: remote.1,
            local,
            phase: Phase::Head,
            input: Vec::new(),
            blocked: false,
            pipeline_held: false,
            turn: 0,
            begun: 0,
            exchanges: VecDeque::new(),
            exchanges_hold: Holding::default(),
            output: Output::default(),
            readable: false,
            writable: true,
            read_closed: false,
            reset_at_end: false,
            ending: Ending::No,
            discarded: 0,
            dirty: false,
            closed: false,
            loading: false,
            loaded: false,
            read_deadline: cx.clock.ms() + cx.generation.timeouts.header_ms,
            reading: Reading::Head,
            write_deadline: 0,
            untaken: 0,
            pace: None,
            unlogged: None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Something happened on the socket.
    pub(crate) fn on_event(&mut self, cx: &mut Context, readiness: Readiness) {
        // Of a connection whose own side is ended it only says that the client's is too. What came before that is still read: else closing
        // were a reset, which takes the answers with it that have not crossed.
        if readiness.gone && self.ending != Ending::Lingering {
            self.close(cx);
            return;
        }
        self.readable |= readiness.readable || readiness.read_closed || readiness.gone;
        if readiness.read_closed && !self.read_closed {
            self.read_closed = true;
            self.on_read_closed(cx);
        }
        if readiness.writable {
            self.writable = true;
            self.mark_dirty(cx);
        }
        self.read(cx);
    }

    /// The client has ended its side. A request whose body can't become whole is given up; for the others it may still want
    /// the answers, but most likely it has left, which the workers are told.
    fn on_read_closed(&mut self, cx: &mut Context) {
        if self.body_is_cut_off() {
            self.abandon_body(cx);
        }
        for &key in &self.exchanges {
            cx.tell_closed(key);
        }
    }

    /// A blocking thread has read in the piece of file that was absent.
    pub(crate) fn on_loaded(&mut self, cx: &mut Context, result: io::Result<Option<Vec<u8>>>) {
        self.loading = false;
        match result {
            Ok(None) => self.loaded = true,
            Ok(Some(bytes)) => self.output.take_fetched(bytes),
            Err(error) => {
                cx.log_error(&format!(
                    "A file could not be read while it was sent: {error}; the connection was closed."
                ));
                self.close(cx);
            }
        }
        self.mark_dirty(cx);
    }

    /// Closes the connection if nothing is in progress on it, nor has come.
    pub(crate) fn close_if_idle(&mut self, cx: &mut Context) {
        let untouched =
            self.exchanges.is_empty() && self.input.is_empty() && matches!(self.phase, Phase::Head);
        if untouched && !self.readable {
            self.close(cx);
        }
    }

    /// Whether the connection may be closed when others need its descriptor: its client has sent no request, or is slow.
    pub(crate) fn gives_way(&self, cx: &Context) -> Option<Standing> {
        if self.closed {
            return None;
        }
        if let Some(pace) = self.slow_body(cx.clock.ms()).or_else(|| self.slow_response(cx)) {
            return Some(Standing::Slow { pace });
        }
        let waits = self.exchanges.is_empty()
            && self.output.is_empty()
            && matches!(self.phase, Phase::Head)
            && !self.readable
            && !self.blocked;
        let allowed_ms = match self.reading {
            Reading::Head => cx.generation.timeouts.header_ms,
            Reading::Idle => cx.generation.timeouts.keep_alive_ms,
            Reading::Body | Reading::Linger => return None,
        };
        let since_ms = self.read_deadline.saturating_sub(allowed_ms);
        if !waits {
            None
        } else if self.input.is_empty() {
            Some(Standing::Idle { since_ms })
        } else {
            Some(Standing::Head { since_ms })
        }
    }

    /// Bytes a second that the client takes of what waits for it, if it is slow.
    fn slow_response(&self, cx: &Context) -> Option<u64> {
        let pace = self.pace.as_ref().filter(|_| !self.output.is_empty() && !self.loading)?;
        slow_pace(pace.taken, cx.clock.ms().saturating_sub(pace.since_ms))
    }

    /// Closes the connection so that others can come.
    pub(crate) fn shed(&mut self, cx: &mut Context) {
        for &key in &self.exchanges {
            if let Some(exchange) = cx.exchanges.get_mut(key) {
                exchange.set_reason("file descriptors ran short, and its client is slow");
            }
        }
        self.close(cx);
    }

    /// Gives up on whatever takes too long.
    pub(crate) fn on_tick(&mut self, cx: &mut Context) {
        let now = cx.clock.ms();
        if self.write_deadline != 0 && now >= self.write_deadline {
            self.pay_for_taken(cx);
        }
        if self.write_deadline != 0 && now >= self.write_deadline {
            self.close(cx);
        } else if self.read_deadline != 0 && now >= self.read_deadline {
            match self.reading {
                Reading::Head if self.input.is_empty() => self.close(cx),
                Reading::Head => self.refuse(cx, 408, "the request head took too long"),
                Reading::Body if self.is_being_spooled() => {
                    let why = "writing the body to a temporary file took too long";
                    self.fail_body(cx, 503, why);
                }
                Reading::Body => self.fail_body(cx, 408, "the request body took too long"),
                Reading::Idle | Reading::Linger => self.close(cx),
            }
        }
    }

    /// Puts the write deadline off by what the client has taken since the last look. What counts is what was acknowledged: the
    /// kernel's buffer fills at once, and wants more only when a good part of it is gone.
    fn pay_for_taken(&mut self, cx: &Context) {
        let untaken = syscall::unacknowledged(self.fd.as_fd());
        let taken = self.untaken.saturating_sub(untaken).into();
        self.untaken = untaken;
        let now_ms = cx.clock.ms();
        let pace = self.pace.get_or_insert_with(|| Box::new(Pace { since_ms: now_ms, taken: 0 }));
        pace.taken += taken;
        self.write_deadline =
            cx.paid_up(self.write_deadline, taken, cx.generation.timeouts.write_ms);
    }

    pub(crate) fn mark_dirty(&mut self, cx: &mut Context) {
        if !self.dirty && !self.closed {
            self.dirty = true;
            cx.dirty.push(self.key);
        }
    }

    /// Sends what there is and sees what can go on; called once for each batch of changes.
    pub(crate) fn settle(&mut self, cx: &mut Context) {
        self.dirty = false;
        if self.closed {
            return;
        }
        self.advance(cx);
        self.send(cx);
        if self.closed {
            return;
        }
        if self.blocked {
            self.resume(cx);
        }
        // Who is still blocked has had its turn, and more to ask.
        if !self.closed && !self.blocked && self.output.is_empty() && self.exchanges.is_empty() {
            self.rest(cx);
        }
    }

    /// Closes the socket; the exchanges learn that their client is gone.
    pub(crate) fn close(&mut self, cx: &mut Context) {
        if !self.closed {
            self.closed = true;
            cx.closed.push(self.key);
        }
    }

    /// Lets go of everything; the connection is removed after this.
    pub(crate) fn dispose(&mut self, cx: &mut Context) {
        // What the kernel held when it was last asked, the client most likely has not got.
        let untaken = u64::from(self.untaken);
        if let Some(unlogged) = self.unlogged.take() {
            for line in unlogged.lines {
                let left = line.end.saturating_sub(unlogged.sent) + untaken;
                cx.log_access(&self.remote_addr, line, left);
            }
        }
        let left = self.output.left() + untaken;
        self.output.clear(&mut cx.buffers);
        let input = std::mem::take(&mut self.input);
        cx.buffers.give(input);
        for (index, key) in std::mem::take(&mut self.exchanges).into_iter().enumerate() {
            // Those behind the first have sent nothing.
            let left = if index == 0 { left } else { u64::MAX };
            if cx.generation.log_access
                && let Some(line) = cx.access_line(key, 0)
            {
                cx.log_access(&self.remote_addr, line, left);
            }
            cx.abandon(key);
        }
        cx.epoll.remove(self.fd.as_fd());
    }

    /// The output that the exchange writes to: the connection's if it is its turn, else its own.
    fn is_first(&self, key: Key) -> bool {
        self.exchanges.front() == Some(&key)
    }

    /// Sees whether the connection has to end with the response that is about to be written: because of a body that is not read to its
    /// end, or because the server closes and this is the last request of the pipeline that has come. `end`: nothing of it is still to come.
    fn decide_end(&self, cx: &mut Context, key: Key, end: bool) {
        let is_last = cx.closing && self.exchanges.back() == Some(&key);
        if (is_last || self.body_bars(key, end))
            && let Some(exchange) = cx.exchanges.get_mut(key)
        {
            exchange.keep_alive = false;
        }
    }

    /// Takes answered exchanges off the front and lets the next write.
    pub(super) fn advance(&mut self, cx: &mut Context) {
        while let Some(&key) = self.exchanges.front() {
            let Some(exchange) = cx.exchanges.get_mut(key) else {
                self.exchanges.pop_front();
                continue;
            };
            exchange.is_behind = false;
            if let Some(held) = exchange.held.take() {
                self.output.append(*held, &mut cx.buffers);
                let counted = std::mem::take(&mut exchange.held_counted);
                exchange.holds -= counted;
                self.exchanges_hold -= counted;
            }
            if !exchange.answered() {
                return;
            }
            self.exchanges_hold -= exchange.holds;
            if !exchange.keep_alive || exchange.response.state == ResponseState::Broken {
                self.ending = Ending::AfterOutput;
            }
            self.exchanges.pop_front();
            if cx.generation.log_access {
                self.keep_line(cx, key);
            }
            self.leave_body(cx, key);
            if self.ending != Ending::No {
                self.phase = Phase::Closing;
                for later in std::mem::take(&mut self.exchanges) {
                    if let Some(exchange) = cx.exchanges.get(later) {
                        self.exchanges_hold -= exchange.holds;
                    }
                    cx.abandon(later);
                }
            }
            cx.abandon(key);
        }
    }

    /// Keeps the access log's line of an exchange until its response is sent.
    fn keep_line(&mut self, cx: &mut Context, key: Key) {
        let sent = self.unlogged.as_ref().map_or(0, |unlogged| unlogged.sent);
        if let Some(line) = cx.access_line(key, sent + self.output.left()) {
            self.exchanges_hold += Holding::new(line.holds(), 0);
            self.unlogged.get_or_insert_default().lines.push_back(line);
        }
    }

    fn send(&mut self, cx: &mut Context) {
        if self.output.is_empty() || !self.writable || self.loading {
            return;
        }
        let loaded = std::mem::take(&mut self.loaded);
        match self.output.send(self.fd.as_fd(), &mut cx.buffers, loaded, cx.clock.ms()) {
            Err(_) => self.close(cx),
            Ok((sent, bytes)) => {
                self.untaken =
                    self.untaken.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
                self.log_sent(cx, bytes);
                // Who has only had its turn for now is looked at soon enough.
                if !matches!(sent, Sent::All | Sent::Yielded) {
                    self.pay_for_taken(cx);
                }
                match sent {
                    Sent::All => {
                        self.write_deadline = 0;
                        self.untaken = 0;
                        self.pace = None;
                        self.grant_credit(cx);
                    }
                    Sent::Blocked => self.writable = false,
                    Sent::Yielded => self.mark_dirty(cx),
                    Sent::Absent { source, offset, length } => {
                        self.loading = true;
                        cx.load(self.key, source, offset, length);
                    }
                    Sent::Shrunk => {
                        cx.log_error(
                            "A file became shorter while it was sent; the connection was closed.",
                        );
                        self.close(cx);
                    }
                }
            }
        }
    }

    /// Writes the log's lines of responses whose last byte has left.
    fn log_sent(&mut self, cx: &mut Context, bytes: u64) {
        let Some(unlogged) = &mut self.unlogged else { return };
        unlogged.sent += bytes;
        while unlogged.lines.front().is_some_and(|line| line.end <= unlogged.sent)
            && let Some(line) = unlogged.lines.pop_front()
        {
            self.exchanges_hold -= Holding::new(line.holds(), 0);
            cx.log_access(&self.remote_addr, line, 0);
        }
        if unlogged.lines.is_empty() {
            self.unlogged = None;
        }
    }

    /// Nothing is in progress: end, or wait for the next request.
    fn rest(&mut self, cx: &mut Context) {
        match self.ending {
            Ending::AfterOutput => self.linger(cx),
            Ending::Lingering => {}
            Ending::No if self.read_closed && !self.readable => self.close(cx),
            Ending::No if !matches!(self.phase, Phase::Head) || !self.input.is_empty() => {}
            Ending::No if cx.closing && !cx.patient && !self.readable => self.close(cx),
            // No request has begun since the deadline was set.
            Ending::No if self.read_deadline != 0 => {}
            Ending::No => {
                self.reading = Reading::Idle;
                self.read_deadline = cx.clock.ms() + cx.generation.timeouts.keep_alive_ms;
                if self.exchanges.capacity() > MAX_PIPELINE / 4 {
                    self.exchanges = VecDeque::new();
                }
            }
        }
    }

    /// Shuts down our side and reads on for a moment: closing with unread bytes would reset the connection and could take
    /// the response with it.
    fn linger(&mut self, cx: &mut Context) {
        self.phase = Phase::Closing;
        self.ending = Ending::Lingering;
        self.input.clear();
        self.blocked = false;
        if self.reset_at_end {
            syscall::reset_on_close(self.fd.as_fd());
            self.close(cx);
            return;
        }
        if self.read_closed && !self.readable {
            self.close(cx);
            return;
        }
        if syscall::shutdown_write(self.fd.as_fd()).is_err() {
            self.close(cx);
            return;
        }
        self.reading = Reading::Linger;
        self.read_deadline = cx.clock.ms() + LINGER_MS;
        self.read(cx);
    }

    /// The client has what it was sent: the application may send more.
    fn grant_credit(&mut self, cx: &mut Context) {
        if let Some(&key) = self.exchanges.front() {
            cx.grant_credit(key);
        }
    }
}

impl Context {
    /// The connection is done with the exchange; a worker that still has it is told.
    pub(crate) fn abandon(&mut self, key: Key) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.connection = None;
        if exchange.waiting {
            self.forget_waiting(key);
        } else if exchange.stream.is_some() {
            self.reset_stream(key);
        }
        exchange::release(&mut self.exchanges, key, &mut self.buffers);
    }

    /// The deadline of a client that has sent or taken `bytes` since `deadline` was set (0: there was none): each byte pays for a
    /// moment at `limits.minRate`, and `timeout_ms` from now is the most. So a drip does not go on for ever (H42).
    fn paid_up(&self, deadline: u64, bytes: u64, timeout_ms: u64) -> u64 {
        let most = self.clock.ms() + timeout_ms;
        let paid_ms = bytes.saturating_mul(1000).checked_div(self.generation.min_rate);
        match paid_ms {
            Some(_) if deadline == 0 => most,
            Some(paid_ms) => deadline.saturating_add(paid_ms).min(most),
            None if bytes > 0 || deadline == 0 => most,
            None => deadline,
        }
    }

    /// Has a blocking thread read a piece of a file into memory.
    fn load(&self, connection: Key, source: output::OpenFile, offset: u64, length: usize) {
        let Some(lane) = source.held().map(|file| Arc::clone(file.lane())) else { return };
        self.run_blocking(
            &lane,
            move || {
                let result = match source.held() {
                    Some(file) if file.waits() => fetch(file, offset, length).map(Some),
                    Some(file) => {
                        // If it can't be read, sendfile will say so.
                        let _ = load(file.as_fd(), offset, length);
                        Ok(None)
                    }
                    None => Ok(None),
                };
                Message::Loaded { connection, result }
            },
            move |error| Message::Loaded { connection, result: Err(error) },
        );
    }
}
