//! Request bodies: counted or unchunked, collected in memory or, when large, in a temporary file, or passed on as they come.

use super::respond::SKIP_BODY;
use super::{Connection, Ending, LINGER_MS, Phase, Reading};
use crate::exchange::{RequestBody, ResponseState};
use crate::spool::{Share, SpooledBody, temporary_file};
use crate::thread::{Context, Message};
use gwanmun_http1::{Body, Chunk, ChunkedDecoder};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_sys::descriptors;
use gwanmun_sys::syscall::{self, Transfer};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Why a body is refused that would be in a temporary file.
pub(super) const SPOOL_FULL: &str = "buffered request bodies use up limits.spool";
/// Who sends, or takes, so many bytes a second is not slow, however short descriptors run.
const BRISK: u64 = 16 * 1024;
/// Who has only just begun is not known to be slow.
const PACE_MS: u64 = 1000;
/// Bytes that go to the temporary file in one write.
const WRITE_SIZE: usize = 256 * 1024;

/// The request body that is being received.
#[derive(Debug)]
pub(super) struct BodyReader {
    exchange: Key,
    coding: Coding,
    received: u64,
    /// Most bytes that it may have.
    limit: u64,
    sink: Sink,
    /// The end of the body has been received.
    complete: bool,
    /// Since when the client is waited for, in milliseconds of the thread's clock, and what it had sent by then. Of a body that goes to a
    /// worker, 0 while that takes nothing.
    since_ms: u64,
    received_before: u64,
}

#[derive(Debug)]
enum Coding {
    Length(u64),
    Chunked(ChunkedDecoder),
}

#[derive(Debug)]
enum Sink {
    Discard,
    Memory(Vec<u8>),
    File(Spool),
    /// To the worker that has the request, as far as it grants credit.
    Worker {
        /// The client waits for 100 Continue, which the worker's first grant brings.
        continue_due: bool,
    },
}

/// A body on its way into a temporary file. Blocking threads write it, one piece after the other; meanwhile one more
/// piece is collected, and then the client has to wait.
#[derive(Debug)]
struct Spool {
    share: Share,
    file: Option<Arc<HeldFile>>,
    pending: Vec<u8>,
    written: u64,
    writing: bool,
}

impl BodyReader {
    /// For a body that an application gets whole.
    pub(super) fn collect(exchange: Key, body: Body, limit: u64, now_ms: u64) -> Self {
        let reader = Self::new(exchange, body, limit, Sink::Memory(Vec::new()));
        Self { since_ms: now_ms, ..reader }
    }

    /// For a body that an application gets as it comes.
    pub(super) fn stream(exchange: Key, body: Body, limit: u64, continue_due: bool) -> Self {
        Self::new(exchange, body, limit, Sink::Worker { continue_due })
    }

    /// For a body that nobody wants but that stands before the next request.
    pub(super) fn discard(exchange: Key, body: Body) -> Self {
        Self::new(exchange, body, SKIP_BODY, Sink::Discard)
    }

    /// How long the client may pause. Nobody waits for what is thrown away.
    pub(super) fn patience_ms(&self, cx: &Context) -> u64 {
        let body_ms = cx.generation.timeouts.body_ms;
        if matches!(self.sink, Sink::Discard) { body_ms.min(LINGER_MS) } else { body_ms }
    }

    /// Whether all of the body has been received.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether it goes to the worker as it comes.
    fn passes_on(&self) -> bool {
        matches!(self.sink, Sink::Worker { .. })
    }

    fn new(exchange: Key, body: Body, limit: u64, sink: Sink) -> Self {
        let coding = match body {
            Body::None => Coding::Length(0),
            Body::Length(length) => Coding::Length(length),
            Body::Chunked => Coding::Chunked(ChunkedDecoder::new()),
        };
        let complete = false;
        Self {
            exchange,
            coding,
            received: 0,
            limit,
            sink,
            complete,
            since_ms: 0,
            received_before: 0,
        }
    }

    /// Whether the rest can be read and thrown away before the next request.
    fn can_be_skipped(&self) -> bool {
        match (&self.sink, &self.coding) {
            // The client may or may not send the body after this: only closing is unambiguous (H33).
            (Sink::Worker { continue_due: true }, _) => false,
            (_, Coding::Length(left)) => *left <= SKIP_BODY,
            (_, Coding::Chunked(_)) => true,
        }
    }
}

impl Connection {
    /// Takes body bytes. Gives how many, and whether the body waits for more input or for the temporary file.
    pub(super) fn receive_body(
        &mut self,
        cx: &mut Context,
        mut reader: Box<BodyReader>,
        bytes: &[u8],
    ) -> (usize, bool) {
        if reader.passes_on() {
            return self.pass_on(cx, reader, bytes);
        }
        let mut position = 0;
        let before = reader.received;
        while !reader.complete {
            if matches!(&reader.sink, Sink::File(spool) if spool.writing && spool.pending.len() >= WRITE_SIZE)
            {
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
                        self.fail_body(cx, rejection.status(), rejection.reason());
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
            reader.received += data.len() as u64;
            if reader.received > reader.limit {
                self.phase = Phase::Body(reader);
                self.fail_body(cx, 413, "the request body is over limits.body");
                return (bytes.len(), true);
            }
            if !self.collect(cx, &mut reader, data) {
                self.phase = Phase::Body(reader);
                self.fail_body(cx, 503, SPOOL_FULL);
                return (bytes.len(), true);
            }
            if data.is_empty() && !reader.complete {
                let received = reader.received - before;
                let patience_ms = reader.patience_ms(cx);
                self.read_deadline = cx.paid_up(self.read_deadline, received, patience_ms);
                self.phase = Phase::Body(reader);
                return (position, true);
            }
        }
        (position, self.complete_body(cx, reader))
    }

    /// Bytes of a request body that are collected, or are being written to a file.
    pub(super) fn body_holds(&self) -> usize {
        let Phase::Body(reader) = &self.phase else { return 0 };
        match &reader.sink {
            Sink::Memory(memory) => memory.capacity(),
            Sink::File(spool) => {
                spool.pending.capacity() + if spool.writing { WRITE_SIZE } else { 0 }
            }
            Sink::Discard | Sink::Worker { .. } => 0,
        }
    }

    /// Whether a request body has a file.
    pub(super) fn spools(&self) -> bool {
        matches!(&self.phase, Phase::Body(reader) if matches!(reader.sink, Sink::File(_)))
    }

    /// Bytes a second of the request body that is being received, if its client is slow.
    pub(super) fn slow_body(&self, now_ms: u64) -> Option<u64> {
        let Phase::Body(reader) = &self.phase else { return None };
        // What a worker takes at its own pace is not the client's doing.
        if reader.complete || (reader.passes_on() && reader.since_ms == 0) {
            return None;
        }
        let received = reader.received - reader.received_before;
        slow_pace(received, now_ms.saturating_sub(reader.since_ms))
    }

    pub(super) fn passes_body_on(&self) -> bool {
        matches!(&self.phase, Phase::Body(reader) if reader.passes_on())
    }

    /// How many bytes are to be received now: of a body, what its worker takes, or the rest would have to be put aside.
    pub(super) fn most_to_receive(&self, cx: &mut Context) -> usize {
        let Phase::Body(reader) = &self.phase else { return usize::MAX };
        if !reader.passes_on() {
            return usize::MAX;
        }
        let credit = cx.upload_credit(reader.exchange, self.key);
        match reader.coding {
            Coding::Length(left) => credit.min(usize::try_from(left).unwrap_or(usize::MAX)),
            Coding::Chunked(_) => credit,
        }
    }

    /// The worker takes nothing of the body for now: the client is not the one who keeps us waiting.
    pub(super) fn hold_body_back(&mut self) {
        self.blocked = true;
        self.read_deadline = 0;
        if let Phase::Body(reader) = &mut self.phase {
            reader.since_ms = 0;
        }
    }

    /// Of a body that goes to a worker: if that takes more of it again, it is the client who is waited for from now on.
    pub(super) fn await_body(&mut self, cx: &mut Context) {
        let Phase::Body(reader) = &mut self.phase else { return };
        if !reader.passes_on() || reader.since_ms != 0 {
            return;
        }
        if cx.upload_credit(reader.exchange, self.key) == 0 {
            self.blocked = true;
            return;
        }
        reader.since_ms = cx.clock.ms();
        reader.received_before = reader.received;
        self.reading = Reading::Body;
        self.read_deadline = cx.clock.ms() + cx.generation.timeouts.body_ms;
    }

    /// Passes body bytes on to the worker, as far as it takes them. Gives the same as [`receive_body`](Self::receive_body).
    fn pass_on(
        &mut self,
        cx: &mut Context,
        mut reader: Box<BodyReader>,
        bytes: &[u8],
    ) -> (usize, bool) {
        let exchange = reader.exchange;
        let credit = cx.upload_credit(exchange, self.key);
        let mut used = 0;
        match &mut reader.coding {
            Coding::Length(left) => {
                used = bytes.len().min(credit).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                reader.received += used as u64;
                reader.complete = *left == 0;
                if used > 0 {
                    cx.send_upload(exchange, &bytes[..used], reader.complete);
                }
            }
            Coding::Chunked(decoder) => {
                let mut piece = cx.buffers.take();
                let mut fault = None;
                // A slice no longer than the credit holds no more data than that.
                while !reader.complete && fault.is_none() {
                    let rest = &bytes[used..];
                    let rest = &rest[..rest.len().min(credit - piece.len())];
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
                reader.received += piece.len() as u64;
                if reader.received > reader.limit {
                    fault = Some((413, "the request body is over limits.body"));
                }
                if let Some((status, why)) = fault {
                    cx.buffers.give(piece);
                    self.phase = Phase::Body(reader);
                    self.fail_body(cx, status, why);
                    return (bytes.len(), true);
                }
                if !piece.is_empty() || reader.complete {
                    cx.send_upload(exchange, &piece, reader.complete);
                }
                cx.buffers.give(piece);
            }
        }
        (used, self.passed_on(cx, reader))
    }

    /// After a piece that was passed on. Gives whether the body waits for more.
    fn passed_on(&mut self, cx: &mut Context, reader: Box<BodyReader>) -> bool {
        if reader.complete {
            self.read_deadline = 0;
            self.phase = Phase::Head;
            return false;
        }
        self.read_deadline = cx.clock.ms() + cx.generation.timeouts.body_ms;
        let takes_more = cx.upload_credit(reader.exchange, self.key) > 0;
        self.phase = Phase::Body(reader);
        if !takes_more {
            self.hold_body_back();
        }
        true
    }

    /// Receives a piece of a body of known length, `most` bytes of it at the most, straight to where its worker sees it. `None`:
    /// it has to go through [`receive_body`](Self::receive_body).
    pub(super) fn receive_for_worker(
        &mut self,
        cx: &mut Context,
        most: usize,
    ) -> Option<io::Result<Transfer>> {
        let Phase::Body(reader) = &mut self.phase else { return None };
        let Coding::Length(left) = &mut reader.coding else { return None };
        if !matches!(reader.sink, Sink::Worker { .. }) || !self.input.is_empty() {
            return None;
        }
        let received = cx.receive_upload(reader.exchange, self.fd.as_fd(), most, *left)?;
        if let Ok(Transfer::Bytes(count @ 1..)) = received {
            *left -= count as u64;
            reader.received += count as u64;
            reader.complete = *left == 0;
            if let Phase::Body(reader) = std::mem::replace(&mut self.phase, Phase::Head) {
                self.passed_on(cx, reader);
            }
        }
        Some(received)
    }

    /// The worker takes more of the body.
    pub(crate) fn on_upload_credit(&mut self, cx: &mut Context, exchange: Key) {
        if let Phase::Body(reader) = &mut self.phase
            && let Sink::Worker { continue_due } = &mut reader.sink
            && reader.exchange == exchange
        {
            let awaited = cx
                .exchanges
                .get(exchange)
                .is_some_and(|exchange| exchange.response.state == ResponseState::Awaited);
            if std::mem::take(continue_due) && awaited {
                // It is the only exchange: its output is the next.
                self.output
                    .tail(&mut cx.buffers)
                    .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            // Settling goes on with the input that had to wait.
            self.blocked = true;
            self.mark_dirty(cx);
        }
    }

    /// Whether the client has ended its side before the end of a body that waits for the worker: what is there says so.
    pub(super) fn body_is_cut_off(&self) -> bool {
        let Phase::Body(reader) = &self.phase else { return false };
        if !self.blocked || !reader.passes_on() {
            return false;
        }
        let Ok(unread) = syscall::unread(self.fd.as_fd()) else { return false };
        let there = unread + self.input.len();
        match reader.coding {
            Coding::Length(left) => (there as u64) < left,
            Coding::Chunked(_) => there == 0,
        }
    }

    /// Whether the connection has to end with the response, because of a body that is not read to its end. `end`: nothing
    /// of the response is still to come.
    pub(super) fn body_bars(&self, exchange: Key, end: bool) -> bool {
        let Phase::Body(reader) = &self.phase else { return false };
        reader.exchange == exchange
            && match reader.sink {
                Sink::Worker { continue_due } => continue_due || (end && !reader.can_be_skipped()),
                _ => false,
            }
    }

    /// The request is answered. What is left of its body is thrown away if that is little; else the connection ends (W23).
    pub(super) fn leave_body(&mut self, cx: &Context, exchange: Key) {
        if let Phase::Body(reader) = &mut self.phase
            && reader.passes_on()
            && reader.exchange == exchange
        {
            if reader.can_be_skipped() {
                reader.sink = Sink::Discard;
                reader.limit = reader.received + SKIP_BODY;
                self.reading = Reading::Body;
                self.read_deadline = cx.clock.ms() + reader.patience_ms(cx);
            } else {
                self.ending = Ending::AfterOutput;
            }
        }
    }

    /// Whether a blocking thread writes a piece of the body.
    pub(super) fn is_being_spooled(&self) -> bool {
        matches!(&self.phase, Phase::Body(reader)
            if matches!(&reader.sink, Sink::File(spool) if spool.writing))
    }

    /// A blocking thread has written a piece of the body.
    pub(crate) fn on_spooled(
        &mut self,
        cx: &mut Context,
        exchange: Key,
        result: io::Result<Arc<HeldFile>>,
    ) {
        let Phase::Body(mut reader) = std::mem::replace(&mut self.phase, Phase::Closing) else {
            return;
        };
        let Sink::File(spool) = &mut reader.sink else {
            self.phase = Phase::Body(reader);
            return;
        };
        if reader.exchange != exchange {
            self.phase = Phase::Body(reader);
            return;
        }
        match result {
            Err(error) => {
                self.phase = Phase::Body(reader);
                if descriptors::is_exhaustion(&error) {
                    self.fail_body(cx, 503, "file descriptors run short");
                } else {
                    cx.log_error(&format!(
                        "A request body could not be written to a temporary file: {error}."
                    ));
                    self.fail_body(cx, 500, "the request body could not be buffered");
                }
            }
            Ok(file) => {
                spool.file = Some(file);
                spool.writing = false;
                if reader.complete {
                    self.complete_body(cx, reader);
                } else {
                    self.write_spool(cx, &mut reader);
                    self.read_deadline = cx.clock.ms() + cx.generation.timeouts.body_ms;
                    self.phase = Phase::Body(reader);
                }
                // Settling goes on with the input that had to wait.
                self.blocked = true;
                self.mark_dirty(cx);
            }
        }
    }

    /// The body can't be received to its end: answers with `status` and closes.
    pub(super) fn fail_body(&mut self, cx: &mut Context, status: u16, why: &'static str) {
        let Phase::Body(reader) = std::mem::replace(&mut self.phase, Phase::Closing) else {
            return;
        };
        let key = reader.exchange;
        if matches!(reader.sink, Sink::Discard) {
            // Its request has an answer, or will have one.
            self.ending = Ending::AfterOutput;
            self.read_deadline = 0;
            self.mark_dirty(cx);
            return;
        }
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        if let RequestBody::Streamed(upload) = &mut exchange.body {
            upload.refused = true;
        }
        if exchange.response.state == ResponseState::Awaited {
            self.refuse_exchange(cx, key, status, why);
        } else {
            cx.log_refusal(&self.remote_addr, key, status, why);
            self.blocked = false;
            self.read_deadline = 0;
            self.break_off(cx, key);
        }
    }

    /// The client has ended its side within a body: nobody gets that request, but what was answered before is still sent.
    pub(super) fn abandon_body(&mut self, cx: &mut Context) {
        self.phase = Phase::Closing;
        self.ending = Ending::AfterOutput;
        self.read_deadline = 0;
        if let Some(&key) = self.exchanges.back()
            && cx.exchanges.get(key).is_some_and(|exchange| !exchange.answered())
        {
            self.exchanges.pop_back();
            if let Some(exchange) = cx.exchanges.get(key) {
                self.exchanges_hold -= exchange.holds;
            }
            if let Some(line) = cx.access_line(key, 0) {
                cx.log_access(&self.remote_addr, line, u64::MAX);
            }
            cx.abandon(key);
        }
        self.mark_dirty(cx);
    }

    /// Keeps a piece of a body. `false`: all that is spooled would be more than `limits.spool`.
    fn collect(&mut self, cx: &mut Context, reader: &mut BodyReader, data: &[u8]) -> bool {
        let limit = cx.generation.spool_limit;
        match &mut reader.sink {
            Sink::Discard | Sink::Worker { .. } => {}
            Sink::Memory(memory) => {
                if memory.len() + data.len() <= cx.generation.body_in_memory {
                    memory.extend_from_slice(data);
                    return true;
                }
                let mut share = cx.shared.spooled.share();
                if !share.grow((memory.len() + data.len()) as u64, limit) {
                    return false;
                }
                let mut pending = std::mem::take(memory);
                pending.extend_from_slice(data);
                let (file, written, writing) = (None, 0, false);
                reader.sink = Sink::File(Spool { share, file, pending, written, writing });
            }
            Sink::File(spool) => {
                if !spool.share.grow(data.len() as u64, limit) {
                    return false;
                }
                spool.pending.extend_from_slice(data);
            }
        }
        self.write_spool(cx, reader);
        true
    }

    /// Has a blocking thread write what has been collected, if it is worth it or the end.
    fn write_spool(&mut self, cx: &mut Context, reader: &mut BodyReader) {
        let Sink::File(spool) = &mut reader.sink else { return };
        if spool.writing
            || spool.pending.is_empty()
            || (spool.pending.len() < WRITE_SIZE && !reader.complete)
        {
            return;
        }
        let bytes = std::mem::take(&mut spool.pending);
        let offset = spool.written;
        spool.written += bytes.len() as u64;
        spool.writing = true;
        let file = spool.file.clone();
        let generation = Arc::clone(&cx.generation);
        let (connection, exchange) = (self.key, reader.exchange);
        let lane = Arc::clone(&generation.bodies);
        cx.run_blocking(
            &lane,
            move || {
                let result = match file {
                    Some(file) => Ok(file),
                    None => temporary_file(&generation.temp_dir)
                        .map(|file| Arc::new(HeldFile::new(file, &generation.bodies, true))),
                };
                let result =
                    result.and_then(|file| file.write_all_at(&bytes, offset).map(|()| file));
                Message::Spooled { connection, exchange, result }
            },
            move |error| Message::Spooled { connection, exchange, result: Err(error) },
        );
    }

    /// Hands the request over if its body is where it belongs. Gives whether it still waits for that.
    fn complete_body(&mut self, cx: &mut Context, mut reader: Box<BodyReader>) -> bool {
        self.write_spool(cx, &mut reader);
        if matches!(&reader.sink, Sink::File(spool) if spool.writing) {
            self.blocked = true;
            self.read_deadline = cx.clock.ms() + cx.generation.timeouts.body_ms;
            self.phase = Phase::Body(reader);
            return true;
        }
        self.read_deadline = 0;
        self.phase = Phase::Head;
        let key = reader.exchange;
        let length = reader.received;
        let body = match reader.sink {
            Sink::Discard | Sink::Worker { .. } => {
                self.mark_dirty(cx);
                return false;
            }
            Sink::Memory(memory) => RequestBody::Memory(memory),
            Sink::File(Spool { file: Some(file), share, .. }) => {
                RequestBody::File(Box::new(SpooledBody { file, _share: share }))
            }
            Sink::File(_) => RequestBody::None,
        };
        let Some(exchange) = cx.exchanges.get_mut(key) else { return false };
        gwanmun_gateway::request::set_body_length(&mut exchange.head, length);
        exchange.body = if length == 0 { RequestBody::None } else { body };
        self.hand_over(cx, key);
        false
    }
}

/// So many bytes in so many milliseconds, as bytes a second, if that is slow.
pub(super) fn slow_pace(bytes: u64, passed_ms: u64) -> Option<u64> {
    let pace = bytes.saturating_mul(1000).checked_div(passed_ms)?;
    (passed_ms >= PACE_MS && pace < BRISK).then_some(pace)
}
