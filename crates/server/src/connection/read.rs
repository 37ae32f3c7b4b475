//! From received bytes to requests and bodies.

use super::{Connection, Ending, MAX_PIPELINE, Phase, Reading};
use crate::thread::Context;
use gwanmun_http1::{Body, parse_request};
use gwanmun_sys::syscall::{self, Transfer};
use std::os::fd::AsFd;

/// Requests that one connection begins in a turn of its thread\'s loop: what the core answers at once could else be thousands.
const TURN_REQUESTS: u32 = 32;
/// How often one connection fills the thread's buffer before the others get their turn: with 256 KiB.
const TURN_FILLS: usize = 4;
/// Bytes that a closing connection throws away at most (H56).
const DISCARD_BYTES: u32 = 16 * 1024 * 1024;

impl Connection {
    /// Receives and consumes until the socket has nothing more or the connection has to wait.
    pub(super) fn read(&mut self, cx: &mut Context) {
        let mut received = 0;
        while self.readable && !self.blocked && !self.closed {
            let most = self.most_to_receive(cx).min(cx.scratch.len());
            if most == 0 {
                self.hold_body_back();
                break;
            }
            let mut scratch = std::mem::take(&mut cx.scratch);
            let handed_on = self.receive_for_worker(cx, most);
            let is_handed_on = handed_on.is_some();
            let result = handed_on
                .unwrap_or_else(|| syscall::receive(self.fd.as_fd(), &mut scratch[..most]));
            match result {
                Err(_) => self.close(cx),
                Ok(Transfer::WouldBlock) => self.readable = false,
                Ok(Transfer::Bytes(0)) => self.end_of_input(cx),
                Ok(Transfer::Bytes(count)) => {
                    // A short read has emptied the socket; the next bytes bring a new event, unless the end came already.
                    if count < most && !self.read_closed {
                        self.readable = false;
                    }
                    if matches!(self.phase, Phase::Closing) {
                        self.discarded += count as u32;
                        if self.discarded > DISCARD_BYTES {
                            self.close(cx);
                        }
                    } else if !is_handed_on {
                        self.take_input(cx, &scratch[..count]);
                    }
                    received += count;
                    if received >= self.turn_bytes(scratch.len()) && self.readable {
                        self.blocked = true;
                        self.mark_dirty(cx);
                    }
                }
            }
            cx.scratch = scratch;
        }
        // The end came together with the head, before it was known to be missing something.
        if self.read_closed && self.body_is_cut_off() {
            self.abandon_body(cx);
        }
    }

    /// A body that goes to a worker has one piece in a row: the others that wait for its link come before the next.
    fn turn_bytes(&self, buffer: usize) -> usize {
        if self.passes_body_on() { 1 } else { TURN_FILLS * buffer }
    }

    /// Goes on with input that had to wait.
    pub(super) fn resume(&mut self, cx: &mut Context) {
        self.blocked = false;
        self.await_body(cx);
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            let used = self.consume(cx, &input);
            self.keep_rest(cx, input, used);
        }
        self.read(cx);
    }

    fn take_input(&mut self, cx: &mut Context, received: &[u8]) {
        if self.input.is_empty() {
            let used = self.consume(cx, received);
            if used < received.len() && !self.closed && !matches!(self.phase, Phase::Closing) {
                self.input = cx.buffers.take();
                self.input.extend_from_slice(&received[used..]);
            }
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(received);
            let used = self.consume(cx, &input);
            self.keep_rest(cx, input, used);
        }
    }

    fn keep_rest(&mut self, cx: &mut Context, mut input: Vec<u8>, used: usize) {
        if used >= input.len() || matches!(self.phase, Phase::Closing) {
            cx.buffers.give(input);
        } else {
            input.drain(..used);
            self.input = input;
        }
    }

    /// Works through `bytes` as far as possible and gives how many are done with.
    fn consume(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
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
                    let (used, waits) = self.receive_body(cx, reader, rest);
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
                    if self.exchanges.len() >= MAX_PIPELINE
                        || self.pipeline_held
                        || !self.has_room()
                    {
                        self.blocked = true;
                        break;
                    }
                    if self.has_had_turn(cx) {
                        self.blocked = true;
                        cx.yielded.push(self.key);
                        break;
                    }
                    match self.next_request(cx, rest) {
                        Some(used) => position += used,
                        None => break,
                    }
                }
            }
        }
        position
    }

    /// Whether the others of the thread come first: so many requests have begun in this turn. Else one more is counted.
    fn has_had_turn(&mut self, cx: &Context) -> bool {
        if self.turn != cx.turn {
            self.turn = cx.turn;
            self.begun = 0;
        }
        self.begun += 1;
        self.begun > TURN_REQUESTS
    }

    /// Parses and starts one request. `None`: it can't start yet.
    fn next_request(&mut self, cx: &mut Context, bytes: &[u8]) -> Option<usize> {
        let mut headers = std::mem::take(&mut cx.headers);
        let parsed = parse_request(bytes, &cx.generation.head_limits, &mut headers);
        let used = match parsed {
            Err(rejection) => {
                self.refuse(cx, rejection.status(), rejection.reason());
                None
            }
            Ok(None) => {
                if self.reading != Reading::Head {
                    self.reading = Reading::Head;
                    self.read_deadline = 0;
                }
                if self.read_deadline == 0 {
                    self.read_deadline = cx.clock.ms() + cx.generation.timeouts.header_ms;
                }
                None
            }
            Ok(Some(head)) => {
                let method = head.method.of(bytes);
                let safe =
                    matches!(method, b"GET" | b"HEAD" | b"OPTIONS") && head.body == Body::None;
                if !safe && !self.exchanges.is_empty() {
                    // RFC 9112 §9.3.2: only safe requests of a pipeline may be worked on at the same time.
                    self.blocked = true;
                    None
                } else {
                    self.read_deadline = 0;
                    self.pipeline_held = !safe;
                    self.start_request(cx, bytes, &head, &mut headers);
                    if matches!(self.phase, Phase::Head) && (!head.keep_alive || cx.closing) {
                        // RFC 9112 §9.6: what follows a request that ends the connection must not be processed.
                        self.phase = Phase::Closing;
                    }
                    Some(head.len)
                }
            }
        };
        cx.headers = headers;
        used
    }

    fn end_of_input(&mut self, cx: &mut Context) {
        self.read_closed = true;
        self.readable = false;
        match self.phase {
            // A body that is all here and is still being written to its file is whole.
            Phase::Body(ref reader) if !reader.is_complete() => self.abandon_body(cx),
            Phase::Closing if self.ending == Ending::Lingering => self.close(cx),
            _ if self.exchanges.is_empty() && self.output.is_empty() => self.close(cx),
            // A client that only closed its sending side still gets the answers to what it asked.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Local;
    use crate::server::tests::on_thread;
    use gwanmun_reactor::arena::Key;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;

    #[test]
    fn who_has_sent_much_is_read_for_one_turn_and_then_the_others() {
        on_thread(|cx| {
            cx.scratch.truncate(1000);
            let (own, mut client) = UnixStream::pair().unwrap();
            own.set_nonblocking(true).unwrap();
            client.write_all(&[b'x'; 10_500]).unwrap();
            let key = Key { index: 0, generation: 0 };
            let local = Rc::new(Local { name: None, port: 0, is_unix: true });
            let mut connection = Connection::new(key, own.into(), ("".into(), 0), local, cx);
            // It throws away what comes, and never waits for anything else.
            connection.phase = Phase::Closing;
            connection.readable = true;
            connection.read(cx);
            assert_eq!(connection.discarded, 4000);
            assert_eq!(cx.dirty, [key], "it goes on after the others");
            connection.resume(cx);
            assert_eq!(connection.discarded, 8000);
            connection.resume(cx);
            assert_eq!(connection.discarded, 10_500);
            assert!(!connection.readable);
        });
    }
}
