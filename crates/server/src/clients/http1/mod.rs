//! HTTP/1: a client's connection: bytes in, exchanges, bytes out.
//!
//! The connection is a state machine that one I/O thread drives; it never waits. By role: [`read`] turns bytes into requests, [`body`] takes the framing
//! off their bodies, [`write`] puts responses into HTTP/1's form, [`output`] is what is still to be sent, [`holding`] how much of the core one connection
//! may hold; this file keeps the order of the responses, sends, and ends the connection.

mod body;
mod holding;
pub(super) mod output;
mod read;
mod write;

use super::shedding::Standing;
use crate::exchange::ResponseState;
use crate::exchange::access::AccessLine;
use crate::exchange::holding::Holding;
use crate::exchange::seam::{Note, Respond};
use crate::exchange::turn::Turn;
use crate::peer::Peer;
use crate::transport::{Tls, Transport};
use body::{BodyReader, slow_pace};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::Readiness;
use gwanmun_tls::Asked;
use output::{Output, Sent};
use std::collections::VecDeque;
use std::io;

/// Requests of one connection that are worked on at once; more of a pipeline stay unread.
const MAX_PIPELINE: usize = 32;
/// How long a closing connection reads on, so that the client gets the response before a reset (RFC 9112 §9.6).
const LINGER_MS: u64 = 2000;
/// Why a handshake failed that the client has gone from.
const LEFT: &str = "left";
/// How long a TLS handshake may take, whatever drips in meanwhile (T95).
const HANDSHAKE_MS: u64 = 10_000;

#[derive(Debug)]
pub(crate) struct Connection {
    key: Key,
    transport: Transport,
    peer: Peer,
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
    /// What was written for exchanges before their turn. Most connections never have any.
    #[expect(clippy::box_collection, reason = "a connection that waits is as small as can be")]
    early: Option<Box<VecDeque<Early>>>,
    readable: bool,
    writable: bool,
    /// The client has closed its sending side.
    read_closed: bool,
    /// Only a reset tells the client that what it was sent is not all.
    reset_at_end: bool,
    /// A response was broken off: the client must not be told that the end is as it should be.
    is_cut: bool,
    ending: Ending,
    /// The request of the last of its exchanges is still in the input: whether it may begin is being found out.
    is_undecided: bool,
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

/// What was written for an exchange before its turn.
#[derive(Debug)]
struct Early {
    exchange: Key,
    output: Output,
    /// What of it has been counted in what the exchange holds.
    counted: Holding,
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
    /// Nothing yet: it is being agreed on how.
    Handshake,
    Head,
    Body,
    Idle,
    Linger,
}

impl Connection {
    pub(crate) fn new(key: Key, transport: Transport, peer: Peer, turn: &Turn) -> Self {
        let (reading, patience_ms) = match transport {
            Transport::Tls(_) => (Reading::Handshake, HANDSHAKE_MS),
            _ => (Reading::Head, turn.generation.timeouts.header_ms),
        };
        Self {
            key,
            transport,
            peer,
            phase: Phase::Head,
            input: Vec::new(),
            blocked: false,
            pipeline_held: false,
            turn: 0,
            begun: 0,
            exchanges: VecDeque::new(),
            exchanges_hold: Holding::default(),
            output: Output::default(),
            early: None,
            readable: false,
            writable: true,
            read_closed: false,
            reset_at_end: false,
            is_cut: false,
            ending: Ending::No,
            is_undecided: false,
            discarded: 0,
            dirty: false,
            closed: false,
            loading: false,
            loaded: false,
            read_deadline: turn.clock.ms() + patience_ms,
            reading,
            write_deadline: 0,
            untaken: 0,
            pace: None,
            unlogged: None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    #[cfg(test)]
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    #[cfg(test)]
    pub(crate) fn transport_mut(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Something happened on the socket.
    pub(crate) fn on_event(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        readiness: Readiness,
    ) {
        // Of a connection whose own side is ended it only says that the client's is too. What came before that is still read: else closing
        // were a reset, which takes the answers with it that have not crossed.
        if readiness.gone && self.ending != Ending::Lingering {
            self.close(turn);
            return;
        }
        self.readable |= readiness.readable || readiness.read_closed || readiness.gone;
        if readiness.read_closed && !self.read_closed {
            self.read_closed = true;
            self.on_read_closed(turn);
        }
        if readiness.writable {
            self.writable = true;
            self.mark_dirty(turn);
        }
        self.read(turn, respond);
    }

    /// The client has ended its side. A request whose body can't become whole is given up; for the others it may still want
    /// the answers, but most likely it has left, which what answers is told.
    fn on_read_closed(&mut self, turn: &mut Turn) {
        if self.body_is_cut_off() {
            self.abandon_body(turn);
        }
        turn.notes.extend(self.exchanges.iter().map(|&key| Note::Closed(key)));
    }

    /// A blocking thread has read in the piece of file that was absent.
    pub(crate) fn on_loaded(&mut self, turn: &mut Turn, result: io::Result<Option<Vec<u8>>>) {
        self.loading = false;
        match result {
            Ok(None) => self.loaded = true,
            Ok(Some(bytes)) => self.output.take_fetched(bytes),
            Err(error) => {
                turn.log_error(&format!(
                    "A file could not be read while it was sent: {error}; the connection was closed."
                ));
                self.close(turn);
            }
        }
        self.mark_dirty(turn);
    }

    /// Closes the connection if nothing is in progress on it, nor has come.
    pub(crate) fn close_if_idle(&mut self, turn: &mut Turn) {
        let untouched =
            self.exchanges.is_empty() && self.has_no_input() && matches!(self.phase, Phase::Head);
        if untouched && !self.readable {
            self.close(turn);
        }
    }

    /// Takes no further request if the client has proved something else than is asked of clients now, or what it has proved holds no longer (T52). What it has
    /// asked before is answered.
    pub(crate) fn judge(&mut self, turn: &mut Turn, (asked, now_ms): (Asked, i64)) {
        let Some(secured) = self.peer.tls() else { return };
        if self.ending != Ending::No || self.closed || secured.is_current(asked, now_ms) {
            return;
        }
        match self.exchanges.back() {
            None => {
                self.phase = Phase::Closing;
                self.ending = Ending::AfterOutput;
                self.mark_dirty(turn);
            }
            Some(&last) => {
                if let Some(exchange) = turn.exchanges.get_mut(last) {
                    exchange.keep_alive = false;
                }
                // A body is that of the last one.
                if matches!(self.phase, Phase::Head) {
                    self.phase = Phase::Closing;
                }
            }
        }
    }

    /// Whether the connection may be closed when others need its descriptor: its client has sent no request, or is slow.
    pub(crate) fn gives_way(&self, turn: &Turn) -> Option<Standing> {
        if self.closed {
            return None;
        }
        if let Some(pace) = self.slow_body(turn.clock.ms()).or_else(|| self.slow_response(turn)) {
            return Some(Standing::Slow { pace });
        }
        if self.reading == Reading::Handshake {
            let since_ms = self.read_deadline.saturating_sub(HANDSHAKE_MS);
            return Some(Standing::Handshake { since_ms });
        }
        let waits = self.exchanges.is_empty()
            && self.is_sent()
            && matches!(self.phase, Phase::Head)
            && !self.readable
            && !self.blocked;
        let allowed_ms = match self.reading {
            Reading::Head => turn.generation.timeouts.header_ms,
            Reading::Idle => turn.generation.timeouts.keep_alive_ms,
            Reading::Handshake | Reading::Body | Reading::Linger => return None,
        };
        let since_ms = self.read_deadline.saturating_sub(allowed_ms);
        if !waits {
            None
        } else if self.has_no_input() {
            Some(Standing::Idle { since_ms })
        } else {
            Some(Standing::Head { since_ms })
        }
    }

    /// Bytes a second that the client takes of what waits for it, if it is slow.
    fn slow_response(&self, turn: &Turn) -> Option<u64> {
        let pace = self.pace.as_ref().filter(|_| !self.is_sent() && !self.loading)?;
        slow_pace(pace.taken, turn.clock.ms().saturating_sub(pace.since_ms))
    }

    /// Closes the connection so that others can come.
    pub(crate) fn shed(&mut self, turn: &mut Turn) {
        for &key in &self.exchanges {
            if let Some(exchange) = turn.exchanges.get_mut(key) {
                exchange.set_reason("file descriptors ran short, and its client is slow");
            }
        }
        self.fail_handshake(turn, "shed");
        self.close(turn);
    }

    /// Gives up on whatever takes too long.
    pub(crate) fn on_tick(&mut self, turn: &mut Turn) {
        let now = turn.clock.ms();
        if self.write_deadline != 0 && now >= self.write_deadline {
            self.pay_for_taken(turn);
        }
        if self.write_deadline != 0 && now >= self.write_deadline {
            self.close(turn);
        } else if self.read_deadline != 0 && now >= self.read_deadline {
            match self.reading {
                Reading::Head if self.input.is_empty() => self.close(turn),
                Reading::Head => self.refuse_input(turn, 408, "the request head took too long"),
                Reading::Body if self.is_being_spooled() => {
                    let why = "writing the body to a temporary file took too long";
                    self.fail_body(turn, (503, why));
                }
                Reading::Body => self.fail_body(turn, (408, "the request body took too long")),
                Reading::Handshake => {
                    self.fail_handshake(turn, "timeout");
                    self.close(turn);
                }
                Reading::Idle | Reading::Linger => self.close(turn),
            }
        }
    }

    /// Puts the write deadline off by what the client has taken since the last look. What counts is what was acknowledged: the
    /// kernel's buffer fills at once, and wants more only when a good part of it is gone.
    fn pay_for_taken(&mut self, turn: &Turn) {
        let untaken = self.transport.untaken();
        let taken = self.untaken.saturating_sub(untaken).into();
        self.untaken = untaken;
        let now_ms = turn.clock.ms();
        let pace = self.pace.get_or_insert_with(|| Box::new(Pace { since_ms: now_ms, taken: 0 }));
        pace.taken += taken;
        self.write_deadline =
            turn.paid_up(self.write_deadline, taken, turn.generation.timeouts.write_ms);
    }

    /// Counts a handshake that comes to nothing, if one is going on.
    fn fail_handshake(&mut self, turn: &Turn, reason: &'static str) {
        if self.reading == Reading::Handshake {
            self.reading = Reading::Linger;
            turn.tally().failed(reason);
        }
    }

    pub(crate) fn mark_dirty(&mut self, turn: &mut Turn) {
        if !self.dirty && !self.closed {
            self.dirty = true;
            turn.dirty.push(self.key);
        }
    }

    /// Sends what there is and sees what can go on; called once for each batch of changes.
    pub(crate) fn settle(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        self.dirty = false;
        if self.closed {
            return;
        }
        self.advance(turn);
        self.send(turn);
        if self.closed {
            return;
        }
        if self.blocked {
            self.resume(turn, respond);
        }
        // Who is still blocked has had its turn, and more to ask.
        if !self.closed && !self.blocked && self.is_sent() && self.exchanges.is_empty() {
            self.rest(turn, respond);
        }
    }

    /// Closes the socket; the exchanges learn that their client is gone.
    pub(crate) fn close(&mut self, turn: &mut Turn) {
        if !self.closed {
            self.closed = true;
            turn.closed.push(self.key);
        }
    }

    /// Lets go of everything; the connection is removed after this.
    pub(crate) fn dispose(&mut self, turn: &mut Turn) {
        if !turn.closing {
            let has_spoken = self.transport.tls().is_some_and(Tls::has_spoken);
            self.fail_handshake(turn, if has_spoken { LEFT } else { "silent" });
        }
        // What the kernel held when it was last asked, the client most likely has not got.
        let untaken = u64::from(self.untaken);
        if let Some(unlogged) = self.unlogged.take() {
            for line in unlogged.lines {
                let left = line.end.saturating_sub(unlogged.sent) + untaken;
                turn.log_access(&self.peer.addr, line, left);
            }
        }
        let left = self.output.left() + self.transport.unsent() as u64 + untaken;
        if self.exchanges.is_empty() && self.output.is_empty() && !self.is_cut {
            // Whoever does not take it now has no use for it.
            let _ = self.transport.say_goodbye(&mut turn.records, &mut turn.buffers);
        }
        self.transport.give_back(&mut turn.buffers);
        self.output.clear(&mut turn.buffers);
        let input = std::mem::take(&mut self.input);
        turn.buffers.give(input);
        for (index, key) in std::mem::take(&mut self.exchanges).into_iter().enumerate() {
            // Those behind the first have sent nothing.
            let left = if index == 0 { left } else { u64::MAX };
            if turn.generation.log_access
                && let Some(line) = turn.access_line(key, 0)
            {
                turn.log_access(&self.peer.addr, line, left);
            }
            turn.leave(key);
        }
        self.drop_early(turn);
        if let Some(socket) = self.transport.socket() {
            turn.epoll.remove(socket);
        }
    }

    fn drop_early(&mut self, turn: &mut Turn) {
        for mut early in self.early.take().into_iter().flat_map(|all| *all) {
            early.output.clear(&mut turn.buffers);
        }
    }

    /// Whether nothing has come that waits for more.
    fn has_no_input(&self) -> bool {
        self.input.is_empty() && self.transport.undelivered() == 0
    }

    /// Whether the socket has got all that there is to send.
    #[inline]
    fn is_sent(&self) -> bool {
        self.output.is_empty() && self.transport.unsent() == 0
    }

    /// Whether it is the exchange's turn.
    fn is_first(&self, key: Key) -> bool {
        self.exchanges.front() == Some(&key)
    }

    /// Takes answered exchanges off the front and lets the next write.
    fn advance(&mut self, turn: &mut Turn) {
        while let Some(&key) = self.exchanges.front() {
            let Some(exchange) = turn.exchanges.get_mut(key) else {
                self.exchanges.pop_front();
                continue;
            };
            exchange.is_behind = false;
            if let Some(early) = self.early.as_mut().and_then(|all| take_early(all, key)) {
                self.output.append(early.output, &mut turn.buffers);
                exchange.holds -= early.counted;
                self.exchanges_hold -= early.counted;
            }
            if !exchange.answered() {
                return;
            }
            self.exchanges_hold -= exchange.holds;
            let is_broken = exchange.response.state == ResponseState::Broken;
            self.is_cut |= is_broken;
            if !exchange.keep_alive || is_broken {
                self.ending = Ending::AfterOutput;
            }
            self.exchanges.pop_front();
            if turn.generation.log_access {
                self.keep_line(turn, key);
            }
            self.leave_body(turn, key);
            if self.ending != Ending::No {
                self.phase = Phase::Closing;
                for later in std::mem::take(&mut self.exchanges) {
                    self.exchanges_hold -= turn.holding_of(later);
                    turn.leave(later);
                }
                self.drop_early(turn);
            }
            turn.leave(key);
        }
    }

    /// Keeps the access log's line of an exchange until its response is sent.
    fn keep_line(&mut self, turn: &mut Turn, key: Key) {
        let sent = self.unlogged.as_ref().map_or(0, |unlogged| unlogged.sent);
        if let Some(line) = turn.access_line(key, sent + self.output.left()) {
            self.exchanges_hold += Holding::new(line.holds(), 0);
            self.unlogged.get_or_insert_default().lines.push_back(line);
        }
    }

    fn send(&mut self, turn: &mut Turn) {
        if self.is_sent() || !self.writable || self.loading {
            return;
        }
        let loaded = std::mem::take(&mut self.loaded);
        let (records, buffers) = (&mut turn.records, &mut turn.buffers);
        match self.output.send(&mut self.transport, records, buffers, loaded, turn.clock.ms()) {
            Err(_) => self.close(turn),
            Ok((sent, bytes)) => {
                self.untaken =
                    self.untaken.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
                self.log_sent(turn, bytes);
                // Who has only had its turn for now is looked at soon enough.
                if !matches!(sent, Sent::All | Sent::Yielded) {
                    self.pay_for_taken(turn);
                }
                match sent {
                    Sent::All => {
                        self.write_deadline = 0;
                        self.untaken = 0;
                        self.pace = None;
                        if let Some(&key) = self.exchanges.front() {
                            turn.notes.push(Note::Taken(key));
                        }
                    }
                    Sent::Blocked => self.writable = false,
                    Sent::Yielded => self.mark_dirty(turn),
                    Sent::Absent { source, offset, length, fetch } => {
                        self.loading = true;
                        source.load(turn, self.key, (offset, length), fetch);
                    }
                    Sent::Shrunk => {
                        turn.log_error(
                            "A file became shorter while it was sent; the connection was closed.",
                        );
                        self.close(turn);
                    }
                }
            }
        }
    }

    /// Writes the log's lines of responses whose last byte has left.
    fn log_sent(&mut self, turn: &mut Turn, bytes: u64) {
        let Some(unlogged) = &mut self.unlogged else { return };
        unlogged.sent += bytes;
        while unlogged.lines.front().is_some_and(|line| line.end <= unlogged.sent)
            && let Some(line) = unlogged.lines.pop_front()
        {
            self.exchanges_hold -= Holding::new(line.holds(), 0);
            turn.log_access(&self.peer.addr, line, 0);
        }
        if unlogged.lines.is_empty() {
            self.unlogged = None;
        }
    }

    /// Nothing is in progress: end, or wait for the next request.
    fn rest(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        match self.ending {
            Ending::AfterOutput => self.linger(turn, respond),
            Ending::Lingering => {}
            Ending::No if self.read_closed && !self.readable => self.close(turn),
            Ending::No if !matches!(self.phase, Phase::Head) || !self.input.is_empty() => {}
            Ending::No if turn.closing && !turn.patient && !self.readable => self.close(turn),
            // No request has begun since the deadline was set.
            Ending::No if self.read_deadline != 0 => {}
            Ending::No => {
                self.reading = Reading::Idle;
                self.read_deadline = turn.clock.ms() + turn.generation.timeouts.keep_alive_ms;
                if self.exchanges.capacity() > MAX_PIPELINE / 4 {
                    self.exchanges = VecDeque::new();
                }
                self.early = None;
            }
        }
    }

    /// Shuts down our side and reads on for a moment: closing with unread bytes would reset the connection and could take
    /// the response with it.
    fn linger(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        self.phase = Phase::Closing;
        self.ending = Ending::Lingering;
        self.input.clear();
        self.blocked = false;
        if self.reset_at_end {
            self.transport.reset_on_close();
            self.close(turn);
            return;
        }
        if !self.is_cut {
            match self.transport.say_goodbye(&mut turn.records, &mut turn.buffers) {
                Ok(true) => {}
                Ok(false) => {
                    // When the socket takes it, this is the next thing again.
                    self.ending = Ending::AfterOutput;
                    self.writable = false;
                    self.pay_for_taken(turn);
                    return;
                }
                Err(_) => {
                    self.close(turn);
                    return;
                }
            }
        }
        if self.read_closed && !self.readable {
            self.close(turn);
            return;
        }
        if self.transport.shutdown().is_err() {
            self.close(turn);
            return;
        }
        self.reading = Reading::Linger;
        self.read_deadline = turn.clock.ms() + LINGER_MS;
        self.read(turn, respond);
    }
}

/// What was written for an exchange whose turn it is now.
fn take_early(all: &mut VecDeque<Early>, key: Key) -> Option<Early> {
    let index = all.iter().position(|early| early.exchange == key)?;
    all.remove(index)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<super::Connection>() <= 272, "{}", size_of::<super::Connection>());
    }
}
