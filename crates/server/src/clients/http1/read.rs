//! From received bytes to requests and bodies.

use super::{Connection, Ending, LEFT, MAX_PIPELINE, Phase, Reading};
use crate::exchange::seam::{Request, Respond, Start};
use crate::exchange::turn::Turn;
use crate::peer::Secured;
use crate::transport::{Tls, Transport};
use gwanmun_http1::{Body, HeaderSpan, RequestHead, parse_request};
use gwanmun_log::Level;
use gwanmun_reactor::arena::Key;
use gwanmun_sys::syscall::Transfer;
use gwanmun_tls::Ended;
use std::rc::Rc;

/// Requests that one connection begins in a turn of its thread's loop: what the core answers at once could else be thousands.
const TURN_REQUESTS: u32 = 32;
/// How often one connection fills the thread's buffer before the others get their turn: with 256 KiB.
const TURN_FILLS: usize = 4;
/// Bytes that a closing connection throws away at most (H56).
const DISCARD_BYTES: u32 = 16 * 1024 * 1024;

impl Connection {
    /// Receives and consumes until the socket has nothing more or the connection has to wait.
    pub(super) fn read(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        let mut received = 0;
        while self.readable && !self.blocked && !self.closed {
            if self.transport.is_handshaking() && !turn.may_shake_hands() {
                self.blocked = true;
                turn.yielded.push(self.key);
                break;
            }
            let most = self.most_to_receive(turn, respond).min(turn.scratch.len());
            if most == 0 {
                self.hold_body_back();
                break;
            }
            let mut scratch = std::mem::take(&mut turn.scratch);
            let handed_on = self.receive_straight(turn, respond, most);
            let is_handed_on = handed_on.is_some();
            let result = match handed_on {
                Some(result) => result,
                None => {
                    let (records, buffers) = (&mut turn.records, &mut turn.buffers);
                    self.transport.receive(&mut scratch[..most], records, buffers)
                }
            };
            if self.reading == Reading::Handshake {
                self.after_handshake(turn);
            }
            match result {
                Err(_) => self.fail(turn),
                Ok(Transfer::WouldBlock) if self.transport.is_drained(0, most) => {
                    self.readable = false;
                }
                // T106: records without a byte in them could come for ever.
                Ok(Transfer::WouldBlock) => {
                    self.blocked = true;
                    turn.yielded.push(self.key);
                }
                Ok(Transfer::Bytes(0)) => self.end_of_input(turn),
                Ok(Transfer::Bytes(count)) => {
                    // A short read has emptied the socket; the next bytes bring a new event, unless the end came already.
                    if self.transport.is_drained(count, most) && !self.read_closed {
                        self.readable = false;
                    }
                    if matches!(self.phase, Phase::Closing) {
                        self.discarded += count as u32;
                        if self.discarded > DISCARD_BYTES {
                            self.close(turn);
                        }
                    } else if !is_handed_on {
                        self.take_input(turn, respond, &scratch[..count]);
                    }
                    received += count;
                    if received >= self.turn_bytes(scratch.len()) && self.readable {
                        self.blocked = true;
                        self.mark_dirty(turn);
                    }
                }
            }
            turn.scratch = scratch;
        }
        // The end came together with the head, before it was known to be missing something.
        if self.read_closed && self.body_is_cut_off() {
            self.abandon_body(turn);
        }
    }

    /// Something of a handshake has come: an answer to it may have to leave, or it is done.
    #[cold]
    fn after_handshake(&mut self, turn: &mut Turn) {
        if self.transport.unsent() > 0 {
            self.mark_dirty(turn);
        }
        let Some(tls) = self.transport.tls() else { return };
        if tls.is_plain() {
            turn.tally().failed(Ended::PlainHttp.reason());
            // T99: it is understood, and told where it belongs.
            if let Some(plain) = self.peer.local.plain.as_ref().map(Rc::clone) {
                self.peer.local = plain;
            }
        } else if let Some(established) = tls.established() {
            turn.tally().succeeded(established);
            self.peer.secure(Secured::new(established));
        } else {
            return;
        }
        self.reading = Reading::Head;
        self.read_deadline = turn.clock.ms() + turn.generation.timeouts.header_ms;
        // It has begun under what was asked then.
        self.judge(turn, turn.asked());
    }

    /// Nothing more can be received.
    #[cold]
    fn fail(&mut self, turn: &mut Turn) {
        let ended = self.transport.tls().and_then(Tls::ended);
        let remote = &self.peer.addr;
        match ended {
            Some(Ended::Failed(failure, why)) if failure.is_strangers() => {
                turn.log_stranger(remote, why);
            }
            Some(ended) => {
                let level = match ended {
                    Ended::Panicked(_) => Level::Error,
                    _ => Level::Debug,
                };
                let text = format!("A TLS connection from {remote} has failed: {ended}.");
                turn.shared.logger.error(level, &text);
            }
            None => {}
        }
        let is_told =
            self.reading == Reading::Handshake && matches!(ended, Some(Ended::Failed(..)));
        let reason = ended.map(Ended::reason);
        self.fail_handshake(turn, reason.unwrap_or(LEFT));
        self.is_cut = true;
        if is_told {
            // The client is told why, which a reset could take with it.
            self.phase = Phase::Closing;
            self.ending = Ending::AfterOutput;
            self.readable = false;
            self.mark_dirty(turn);
            return;
        }
        if let Transport::Tls(tls) = &mut self.transport {
            // If it is not taken at once, the end says as much.
            let _ = tls.flush(&mut turn.buffers);
        }
        self.close(turn);
    }

    /// A body that is passed on has one piece in a row: the others that wait for room there come before the next.
    fn turn_bytes(&self, buffer: usize) -> usize {
        if self.passes_body_on() { 1 } else { TURN_FILLS * buffer }
    }

    /// Goes on with input that had to wait.
    pub(super) fn resume(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        self.blocked = false;
        self.await_body(turn, respond);
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            let used = self.consume(turn, respond, &input);
            self.keep_rest(turn, input, used);
        }
        self.read(turn, respond);
    }

    fn take_input(&mut self, turn: &mut Turn, respond: &mut dyn Respond, received: &[u8]) {
        if self.input.is_empty() {
            let used = self.consume(turn, respond, received);
            if used < received.len() && !self.closed && !matches!(self.phase, Phase::Closing) {
                self.input = turn.buffers.take();
                self.input.extend_from_slice(&received[used..]);
            }
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(received);
            let used = self.consume(turn, respond, &input);
            self.keep_rest(turn, input, used);
        }
    }

    fn keep_rest(&mut self, turn: &mut Turn, mut input: Vec<u8>, used: usize) {
        if used >= input.len() || matches!(self.phase, Phase::Closing) {
            turn.buffers.give(input);
        } else {
            input.drain(..used);
            self.input = input;
        }
    }

    /// Works through `bytes` as far as possible and gives how many are done with.
    fn consume(&mut self, turn: &mut Turn, respond: &mut dyn Respond, bytes: &[u8]) -> usize {
        let mut position = 0;
        while !self.closed {
            let rest = &bytes[position..];
            let phase = std::mem::replace(&mut self.phase, Phase::Head);
            match phase {
                Phase::Closing => {
                    self.phase = Phase::Closing;
                    return bytes.len();
                }
                Phase::Body(reader) => {
                    let (used, waits) = self.receive_body(turn, respond, reader, rest);
                    position += used;
                    if waits {
                        break;
                    }
                }
                Phase::Head => {
                    if rest.is_empty() {
                        break;
                    }
                    self.pipeline_held &= !self.exchanges.is_empty();
                    // What has had its place before keeps it.
                    if !self.is_undecided
                        && (self.exchanges.len() >= MAX_PIPELINE
                            || self.pipeline_held
                            || !self.has_room())
                    {
                        self.blocked = true;
                        break;
                    }
                    if self.has_had_turn(turn) {
                        self.blocked = true;
                        turn.yielded.push(self.key);
                        break;
                    }
                    match self.next_request(turn, respond, rest) {
                        Some(used) => position += used,
                        None => break,
                    }
                }
            }
        }
        position
    }

    /// Whether the others of the thread come first: so many requests have begun in this turn. Else one more is counted.
    fn has_had_turn(&mut self, turn: &Turn) -> bool {
        if self.turn != turn.number {
            self.turn = turn.number;
            self.begun = 0;
        }
        self.begun += 1;
        self.begun > TURN_REQUESTS
    }

    /// Parses and starts one request. `None`: it can't start yet.
    fn next_request(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        bytes: &[u8],
    ) -> Option<usize> {
        let mut headers = std::mem::take(&mut turn.headers);
        let parsed = parse_request(bytes, &turn.generation.head_limits, &mut headers);
        let used = match parsed {
            Err(rejection) => {
                self.refuse_input(turn, rejection.status(), rejection.reason());
                None
            }
            Ok(None) => {
                if self.reading != Reading::Head {
                    self.reading = Reading::Head;
                    self.read_deadline = 0;
                }
                if self.read_deadline == 0 {
                    self.read_deadline = turn.clock.ms() + turn.generation.timeouts.header_ms;
                }
                None
            }
            Ok(Some(head)) => {
                let method = head.method.of(bytes);
                let safe =
                    matches!(method, b"GET" | b"HEAD" | b"OPTIONS") && head.body == Body::None;
                if !safe && !self.exchanges.is_empty() && !self.is_undecided {
                    // RFC 9112 §9.3.2: only safe requests of a pipeline may be worked on at the same time.
                    self.blocked = true;
                    None
                } else {
                    self.read_deadline = 0;
                    self.pipeline_held = !safe;
                    let has_begun = self.start_request(turn, respond, bytes, &head, &mut headers);
                    if !has_begun {
                        self.blocked = true;
                        None
                    } else {
                        if matches!(self.phase, Phase::Head) && (!head.keep_alive || turn.closing) {
                            // RFC 9112 §9.6: what follows a request that ends the connection must not be processed.
                            self.phase = Phase::Closing;
                        }
                        Some(head.len)
                    }
                }
            }
        };
        turn.headers = headers;
        used
    }

    /// Starts the request whose head has been parsed from `bytes`. `false`: not yet.
    fn start_request(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        bytes: &[u8],
        head: &RequestHead,
        headers: &mut Vec<HeaderSpan>,
    ) -> bool {
        let key = match self.undecided() {
            Some(key) => {
                turn.open_again(key, &self.peer, bytes, head, headers);
                key
            }
            None => {
                let is_behind = !self.exchanges.is_empty();
                let key = turn.open(self.key, &self.peer, is_behind, bytes, head, headers);
                self.exchanges.push_back(key);
                key
            }
        };
        let socket = self.transport.socket();
        let mut request = Request { peer: &self.peer, socket, bytes, head, headers };
        let here = request.here();
        let start = respond.start(turn, key, &mut request);
        if matches!(start, Start::Undecided) {
            self.is_undecided = true;
            return false;
        }
        self.exchanges_hold += turn.holding_of(key);
        match start {
            Start::Undecided => {}
            Start::Started => self.skip_body(turn, key, head),
            Start::Answer(answer) => {
                self.skip_body(turn, key, head);
                turn.answer(self, key, answer);
            }
            Start::Refused(status, why) => self.refuse(turn, key, status, why),
            Start::Collect { limit } => self.collect_body(turn, key, head, here, limit),
            Start::Pass { limit } => self.pass_body(key, head, limit),
        }
        true
    }

    /// The exchange of a request that could not begin before, if the next one is that.
    fn undecided(&mut self) -> Option<Key> {
        if !std::mem::take(&mut self.is_undecided) {
            return None;
        }
        self.exchanges.back().copied()
    }

    /// Refuses what can't be understood as a request: answers after whatever came before, then closes.
    pub(super) fn refuse_input(&mut self, turn: &mut Turn, status: u16, why: &'static str) {
        let key = match self.undecided() {
            // Under another configuration it is too large, say.
            Some(key) => key,
            None => {
                let key = turn.open_malformed(self.key);
                self.exchanges.push_back(key);
                key
            }
        };
        self.refuse(turn, key, status, why);
    }

    /// Answers a request with an error after which the connection can't go on.
    pub(super) fn refuse(&mut self, turn: &mut Turn, key: Key, status: u16, why: &'static str) {
        turn.refuse(self, key, status, why);
        self.phase = Phase::Closing;
        self.blocked = false;
        self.read_deadline = 0;
        let input = std::mem::take(&mut self.input);
        turn.buffers.give(input);
    }

    fn end_of_input(&mut self, turn: &mut Turn) {
        self.read_closed = true;
        self.readable = false;
        match self.phase {
            // A body that is all here and is still being written to its file is whole.
            Phase::Body(ref reader) if !reader.is_complete() => self.abandon_body(turn),
            Phase::Closing if self.ending == Ending::Lingering => self.close(turn),
            _ if self.exchanges.is_empty() && self.output.is_empty() => self.close(turn),
            // A client that only closed its sending side still gets the answers to what it asked.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Local, Peer};
    use crate::server::tests::on_thread;
    use crate::thread::Thread;
    use crate::transport::Transport;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn t97_so_many_steps_of_handshakes_are_done_in_a_turn_and_then_others_come() {
        on_thread(|Thread { turn, .. }| {
            let steps = |turn: &mut Turn| (0..100).filter(|_| turn.may_shake_hands()).count();
            assert_eq!((steps(turn), steps(turn)), (16, 0));
            turn.number += 1;
            assert_eq!(steps(turn), 16);
        });
    }

    #[test]
    fn who_has_sent_much_is_read_for_one_turn_and_then_the_others() {
        on_thread(|Thread { turn, mounts, .. }| {
            turn.scratch.truncate(1000);
            let (own, mut client) = UnixStream::pair().unwrap();
            own.set_nonblocking(true).unwrap();
            client.write_all(&[b'x'; 10_500]).unwrap();
            let key = Key { index: 0, generation: 0 };
            let local = Rc::new(Local { is_unix: true, ..Local::default() });
            let peer = Peer { addr: "".into(), port: 0, local };
            let mut connection = Connection::new(key, Transport::Plain(own.into()), peer, turn);
            // It throws away what comes, and never waits for anything else.
            connection.phase = Phase::Closing;
            connection.readable = true;
            connection.read(turn, mounts);
            assert_eq!(connection.discarded, 4000);
            assert_eq!(turn.dirty, [key], "it goes on after the others");
            connection.resume(turn, mounts);
            assert_eq!(connection.discarded, 8000);
            connection.resume(turn, mounts);
            assert_eq!(connection.discarded, 10_500);
            assert!(!connection.readable);
        });
    }
}
