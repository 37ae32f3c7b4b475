//! Request bodies: counted or unchunked here, and taken in by [`intake`](crate::exchange::intake).

use super::{Connection, Ending, LINGER_MS, Phase, Reading};
use crate::exchange::intake::{Intake, Refused, SKIP_BODY, Whose};
use crate::exchange::seam::Respond;
use crate::exchange::turn::Turn;
use crate::exchange::{RequestBody, Upload, deliver};
use gwanmun_http1::{Body, Chunk, ChunkedDecoder, RequestHead};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_sys::syscall::Transfer;
use std::io;
use std::sync::Arc;

/// Who sends, or takes, so many bytes a second is not slow, however short descriptors run.
const BRISK: u64 = 16 * 1024;
/// Who has only just begun is not known to be slow.
const PACE_MS: u64 = 1000;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The request body that is being received.
#[derive(Debug)]
pub(super) struct BodyReader {
    exchange: Key,
    coding: Coding,
    intake: Intake,
    /// The client waits for 100 Continue, which the first room for a body that is passed on brings.
    continue_due: bool,
    /// The end of the body has been received.
    complete: bool,
    /// Since when the client is waited for, in milliseconds of the thread's clock, and what it had sent by then. Of a body that is passed on,
    /// 0 while there is no room for it.
    since_ms: u64,
    received_before: u64,
}

#[derive(Debug)]
enum Coding {
    Length(u64),
    Chunked(ChunkedDecoder),
}

impl BodyReader {
    fn new(exchange: Key, body: Body, intake: Intake, since_ms: u64) -> Self {
        let coding = match body {
            Body::None => Coding::Length(0),
            Body::Length(length) => Coding::Length(length),
            Body::Chunked => Coding::Chunked(ChunkedDecoder::new()),
        };
        let (continue_due, complete, received_before) = (false, false, 0);
        Self { exchange, coding, intake, continue_due, complete, since_ms, received_before }
    }

    /// How long the client may pause. Nobody waits for what is thrown away.
    fn patience_ms(&self, turn: &Turn) -> u64 {
        let body_ms = turn.generation.timeouts.body_ms;
        if self.intake.is_discarded() { body_ms.min(LINGER_MS) } else { body_ms }
    }

    /// Whether all of the body has been received.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the rest can be read and thrown away before the next request.
    fn can_be_skipped(&self) -> bool {
        match &self.coding {
            // The client may or may not send the body after this: only closing is unambiguous (H33).
            _ if self.continue_due => false,
            Coding::Length(left) => *left <= SKIP_BODY,
            Coding::Chunked(_) => true,
        }
    }
}

impl Connection {
    fn whose(&self, reader: &BodyReader) -> Whose {
        Whose { client: self.key, exchange: reader.exchange }
    }

    /// Collects the body of a request, of which `here` bytes have come. What is announced of it is asked for.
    pub(super) fn collect_body(
        &mut self,
        turn: &mut Turn,
        key: Key,
        head: &RequestHead,
        here: usize,
        limit: u64,
    ) {
        let is_here = matches!(head.body, Body::Length(length) if length <= here as u64);
        if head.expect_continue && !is_here {
            // The body is buffered here, so it is the core that wants it. It is the only exchange: its output is the next.
            self.output.tail(&mut turn.buffers).extend_from_slice(CONTINUE);
            self.mark_dirty(turn);
        }
        let now_ms = turn.clock.ms();
        let reader = BodyReader::new(key, head.body, Intake::collect(limit), now_ms);
        self.phase = Phase::Body(Box::new(reader));
        self.reading = Reading::Body;
        self.read_deadline = now_ms + turn.generation.timeouts.body_ms;
    }

    /// Passes the body of a request on as it comes.
    pub(super) fn pass_body(&mut self, key: Key, head: &RequestHead, limit: u64) {
        let mut reader = BodyReader::new(key, head.body, Intake::pass(limit), 0);
        reader.continue_due = head.expect_continue;
        self.phase = Phase::Body(Box::new(reader));
        self.reading = Reading::Body;
        self.read_deadline = 0;
    }

    /// Sees to it that a body that nobody wants is not taken for the next request (H32).
    #[inline]
    pub(super) fn skip_body(&mut self, turn: &mut Turn, key: Key, head: &RequestHead) {
        match head.body {
            Body::None => {}
            // A client that waits for 100 Continue may or may not send the body after this: only closing is unambiguous (H33).
            Body::Length(_) | Body::Chunked if head.expect_continue => self.end_after(turn, key),
            Body::Length(length) if length > SKIP_BODY => self.end_after(turn, key),
            Body::Length(_) | Body::Chunked => {
                let reader = BodyReader::new(key, head.body, Intake::discard(), 0);
                self.reading = Reading::Body;
                self.read_deadline = turn.clock.ms() + reader.patience_ms(turn);
                self.phase = Phase::Body(Box::new(reader));
            }
        }
    }

    /// The connection ends with this exchange.
    fn end_after(&mut self, turn: &mut Turn, key: Key) {
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            exchange.keep_alive = false;
        }
        self.phase = Phase::Closing;
    }

    /// Takes body bytes. Gives how many, and whether the body waits for more input or for the temporary file.
    pub(super) fn receive_body(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        mut reader: Box<BodyReader>,
        bytes: &[u8],
    ) -> (usize, bool) {
        if reader.intake.passes_on() {
            return self.pass_on(turn, respond, reader, bytes);
        }
        let mut position = 0;
        let whose = self.whose(&reader);
        let before = reader.intake.received();
        while !reader.complete {
            if reader.intake.is_full() {
                self.blocked = true;
                self.read_deadline = 0;
                self.phase = Phase::Body(reader);
                return (position, true);
            }
            let rest = &bytes[position..];
            let data = match &mut reader.coding {
                Coding::Length(left) => {
                    let (data, _) =
                        rest.split_at(rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
                    *left -= data.len() as u64;
                    reader.complete = *left == 0;
                    position += data.len();
                    data
                }
                Coding::Chunked(decoder) => match decoder.decode(rest) {
                    Err(rejection) => {
                        self.phase = Phase::Body(reader);
                        self.fail_body(turn, (rejection.status(), rejection.reason()));
                        return (bytes.len(), true);
                    }
                    Ok((used, chunk)) => {
                        position += used;
                        match chunk {
                            Chunk::Data(data) => data,
                            Chunk::NeedMore => &[],
                            Chunk::Done => {
                                reader.complete = true;
                                &[]
                            }
                        }
                    }
                },
            };
            if let Err(refused) = reader.intake.take(turn, whose, data, reader.complete) {
                self.phase = Phase::Body(reader);
                self.fail_body(turn, refused);
                return (bytes.len(), true);
            }
            if data.is_empty() && !reader.complete {
                let received = reader.intake.received() - before;
                let patience_ms = reader.patience_ms(turn);
                self.read_deadline = turn.paid_up(self.read_deadline, received, patience_ms);
                self.phase = Phase::Body(reader);
                return (position, true);
            }
        }
        (position, self.complete_body(turn, respond, reader))
    }

    /// Bytes of a request body that are collected, or are being written to a file.
    pub(super) fn body_holds(&self) -> usize {
        let Phase::Body(reader) = &self.phase else { return 0 };
        reader.intake.holds()
    }

    /// Whether a request body has a file.
    pub(super) fn spools(&self) -> bool {
        matches!(&self.phase, Phase::Body(reader) if reader.intake.spools())
    }

    /// Bytes a second of the request body that is being received, if its client is slow.
    pub(super) fn slow_body(&self, now_ms: u64) -> Option<u64> {
        let Phase::Body(reader) = &self.phase else { return None };
        // What is taken at its own pace is not the client's doing.
        if reader.complete || (reader.intake.passes_on() && reader.since_ms == 0) {
            return None;
        }
        let received = reader.intake.received() - reader.received_before;
        slow_pace(received, now_ms.saturating_sub(reader.since_ms))
    }

    pub(super) fn passes_body_on(&self) -> bool {
        matches!(&self.phase, Phase::Body(reader) if reader.intake.passes_on())
    }

    /// How many bytes are to be received now: of a body that is passed on, what there is room for, or the rest would have to be put aside.
    pub(super) fn most_to_receive(&self, turn: &mut Turn, respond: &mut dyn Respond) -> usize {
        let Phase::Body(reader) = &self.phase else { return usize::MAX };
        if !reader.intake.passes_on() {
            return usize::MAX;
        }
        let room = respond.room(turn, reader.exchange);
        match reader.coding {
            Coding::Length(left) => room.min(usize::try_from(left).unwrap_or(usize::MAX)),
            Coding::Chunked(_) => room,
        }
    }

    /// There is no room for the body for now: the client is not the one who keeps us waiting.
    pub(super) fn hold_body_back(&mut self) {
        self.blocked = true;
        self.read_deadline = 0;
        if let Phase::Body(reader) = &mut self.phase {
            reader.since_ms = 0;
        }
    }

    /// Of a body that is passed on: if there is room for more of it again, it is the client who is waited for from now on.
    pub(super) fn await_body(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        let Phase::Body(reader) = &mut self.phase else { return };
        if !reader.intake.passes_on() || reader.since_ms != 0 {
            return;
        }
        if respond.room(turn, reader.exchange) == 0 {
            self.blocked = true;
            return;
        }
        reader.since_ms = turn.clock.ms();
        reader.received_before = reader.intake.received();
        self.reading = Reading::Body;
        self.read_deadline = turn.clock.ms() + turn.generation.timeouts.body_ms;
    }

    /// Passes body bytes on, as far as there is room. Gives the same as [`receive_body`](Self::receive_body).
    fn pass_on(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        mut reader: Box<BodyReader>,
        bytes: &[u8],
    ) -> (usize, bool) {
        let exchange = reader.exchange;
        let room = respond.room(turn, exchange);
        let mut used = 0;
        match &mut reader.coding {
            Coding::Length(left) => {
                used = bytes.len().min(room).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                reader.complete = *left == 0;
                if let Err(refused) = reader.intake.count(used) {
                    self.phase = Phase::Body(reader);
                    self.fail_body(turn, refused);
                    return (bytes.len(), true);
                }
                if used > 0 {
                    respond.body(turn, exchange, &bytes[..used], reader.complete);
                }
            }
            Coding::Chunked(decoder) => {
                let mut piece = turn.buffers.take();
                let mut fault = None;
                // A slice no longer than the room holds no more data than that.
                while !reader.complete && fault.is_none() {
                    let rest = &bytes[used..];
                    let rest = &rest[..rest.len().min(room - piece.len())];
                    if rest.is_empty() {
                        break;
                    }
                    match decoder.decode(rest) {
                        Err(rejection) => fault = Some((rejection.status(), rejection.reason())),
                        Ok((count, chunk)) => {
                            used += count;
                            match chunk {
                                Chunk::Data(data) => piece.extend_from_slice(data),
                                Chunk::NeedMore => {}
                                Chunk::Done => reader.complete = true,
                            }
                        }
                    }
                }
                // Too much is what counts, if it is malformed as well.
                fault = reader.intake.count(piece.len()).err().or(fault);
                if let Some(refused) = fault {
                    turn.buffers.give(piece);
                    self.phase = Phase::Body(reader);
                    self.fail_body(turn, refused);
                    return (bytes.len(), true);
                }
                if !piece.is_empty() || reader.complete {
                    respond.body(turn, exchange, &piece, reader.complete);
                }
                turn.buffers.give(piece);
            }
        }
        (used, self.passed_on(turn, respond, reader))
    }

    /// After a piece that was passed on. Gives whether the body waits for more.
    fn passed_on(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        reader: Box<BodyReader>,
    ) -> bool {
        if reader.complete {
            self.read_deadline = 0;
            self.phase = Phase::Head;
            return false;
        }
        self.read_deadline = turn.clock.ms() + turn.generation.timeouts.body_ms;
        let has_room = respond.room(turn, reader.exchange) > 0;
        self.phase = Phase::Body(reader);
        if !has_room {
            self.hold_body_back();
        }
        true
    }

    /// Receives a piece of a body of known length, `most` bytes of it at the most, straight to where it goes. `None`:
    /// it has to go through [`receive_body`](Self::receive_body).
    pub(super) fn receive_straight(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        most: usize,
    ) -> Option<io::Result<Transfer>> {
        let Phase::Body(reader) = &mut self.phase else { return None };
        let Coding::Length(left) = &mut reader.coding else { return None };
        if !reader.intake.passes_on() || !self.input.is_empty() {
            return None;
        }
        let from = self.transport.plain()?;
        let received = respond.receive(turn, reader.exchange, from, most, *left)?;
        if let Ok(Transfer::Bytes(count @ 1..)) = received {
            *left -= count as u64;
            reader.complete = *left == 0;
            // Its length was announced, and is within the limit.
            let _ = reader.intake.count(count);
            if let Phase::Body(reader) = std::mem::replace(&mut self.phase, Phase::Head) {
                self.passed_on(turn, respond, reader);
            }
        }
        Some(received)
    }

    /// There is room for more of a body.
    pub(super) fn go_on_with_body(&mut self, turn: &mut Turn, exchange: Key) {
        if let Phase::Body(reader) = &mut self.phase
            && reader.intake.passes_on()
            && reader.exchange == exchange
        {
            let is_awaited =
                turn.exchanges.get(exchange).is_some_and(|exchange| exchange.is_awaited());
            if std::mem::take(&mut reader.continue_due) && is_awaited {
                // It is the only exchange: its output is the next.
                self.output.tail(&mut turn.buffers).extend_from_slice(CONTINUE);
            }
            // Settling goes on with the input that had to wait.
            self.blocked = true;
            self.mark_dirty(turn);
        }
    }

    /// Whether the client has ended its side before the end of a body that waits for room: what is there says so.
    pub(super) fn body_is_cut_off(&self) -> bool {
        let Phase::Body(reader) = &self.phase else { return false };
        if !self.blocked || !reader.intake.passes_on() {
            return false;
        }
        let Some(unread) = self.transport.unread() else { return false };
        let there = unread + self.input.len();
        match reader.coding {
            Coding::Length(left) => (there as u64) < left,
            Coding::Chunked(_) => there == 0,
        }
    }

    /// Whether the connection has to end with the response, because of a body that is not read to its end. `end`: nothing
    /// of the response is still to come.
    #[inline]
    pub(super) fn body_bars(&self, exchange: Key, end: bool) -> bool {
        let Phase::Body(reader) = &self.phase else { return false };
        reader.exchange == exchange
            && reader.intake.passes_on()
            && (reader.continue_due || (end && !reader.can_be_skipped()))
    }

    /// The request is answered. What is left of its body is thrown away if that is little; else the connection ends (W23).
    pub(super) fn leave_body(&mut self, turn: &Turn, exchange: Key) {
        if let Phase::Body(reader) = &mut self.phase
            && reader.intake.passes_on()
            && reader.exchange == exchange
        {
            if reader.can_be_skipped() {
                reader.intake.give_up();
                self.reading = Reading::Body;
                self.read_deadline = turn.clock.ms() + reader.patience_ms(turn);
            } else {
                self.ending = Ending::AfterOutput;
            }
        }
    }

    /// Whether a blocking thread writes a piece of the body.
    pub(super) fn is_being_spooled(&self) -> bool {
        matches!(&self.phase, Phase::Body(reader) if reader.intake.is_being_written())
    }

    /// A blocking thread has written a piece of the body.
    pub(crate) fn on_spooled(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        exchange: Key,
        result: io::Result<Arc<HeldFile>>,
    ) {
        let Phase::Body(mut reader) = std::mem::replace(&mut self.phase, Phase::Closing) else {
            return;
        };
        if !reader.intake.spools() || reader.exchange != exchange {
            self.phase = Phase::Body(reader);
            return;
        }
        let whose = self.whose(&reader);
        if let Err(refused) = reader.intake.on_written(turn, whose, result, reader.complete) {
            self.phase = Phase::Body(reader);
            self.fail_body(turn, refused);
            return;
        }
        if reader.complete {
            self.complete_body(turn, respond, reader);
        } else {
            self.read_deadline = turn.clock.ms() + turn.generation.timeouts.body_ms;
            self.phase = Phase::Body(reader);
        }
        // Settling goes on with the input that had to wait.
        self.blocked = true;
        self.mark_dirty(turn);
    }

    /// The body can't be received to its end: answers with a status and closes.
    pub(super) fn fail_body(&mut self, turn: &mut Turn, (status, why): Refused) {
        let Phase::Body(reader) = std::mem::replace(&mut self.phase, Phase::Closing) else {
            return;
        };
        let key = reader.exchange;
        if reader.intake.is_discarded() {
            // Its request has an answer, or will have one.
            self.ending = Ending::AfterOutput;
            self.read_deadline = 0;
            self.mark_dirty(turn);
            return;
        }
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        if let RequestBody::Streamed(Upload { refused, .. }) = &mut exchange.body {
            *refused = true;
        }
        if exchange.is_awaited() {
            self.refuse(turn, key, status, why);
        } else {
            turn.log_refusal(&self.peer.addr, key, status, why);
            self.blocked = false;
            self.read_deadline = 0;
            deliver::abort(turn, self, key);
        }
    }

    /// The client has ended its side within a body: nobody gets that request, but what was answered before is still sent.
    pub(super) fn abandon_body(&mut self, turn: &mut Turn) {
        self.phase = Phase::Closing;
        self.ending = Ending::AfterOutput;
        self.read_deadline = 0;
        if let Some(&key) = self.exchanges.back()
            && turn.exchanges.get(key).is_some_and(|exchange| !exchange.answered())
        {
            self.exchanges.pop_back();
            self.exchanges_hold -= turn.holding_of(key);
            if let Some(line) = turn.access_line(key, 0) {
                turn.log_access(&self.peer.addr, line, u64::MAX);
            }
            turn.leave(key);
        }
        self.mark_dirty(turn);
    }

    /// Goes on with the request if its body is where it belongs. Gives whether it still waits for that.
    fn complete_body(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        reader: Box<BodyReader>,
    ) -> bool {
        if reader.intake.is_being_written() {
            self.blocked = true;
            self.read_deadline = turn.clock.ms() + turn.generation.timeouts.body_ms;
            self.phase = Phase::Body(reader);
            return true;
        }
        self.read_deadline = 0;
        self.phase = Phase::Head;
        let key = reader.exchange;
        if reader.intake.is_discarded() {
            self.mark_dirty(turn);
            return false;
        }
        let length = reader.intake.received();
        let Some(exchange) = turn.exchanges.get_mut(key) else { return false };
        exchange.body = reader.intake.into_body();
        if let Some(answer) = respond.proceed(turn, key, length) {
            turn.answer(self, key, answer);
        }
        false
    }
}

/// So many bytes in so many milliseconds, as bytes a second, if that is slow.
pub(super) fn slow_pace(bytes: u64, passed_ms: u64) -> Option<u64> {
    let pace = bytes.saturating_mul(1000).checked_div(passed_ms)?;
    (passed_ms >= PACE_MS && pace < BRISK).then_some(pace)
}
