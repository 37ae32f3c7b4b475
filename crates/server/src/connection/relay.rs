//! An application's response on its way to the client.

use super::Connection;
use super::compress::{Compression, LARGE};
use super::output::{OpenFile, Output};
use super::respond::{write_connection, write_length};
use crate::exchange::{Exchange, ResponseState};
use crate::mounts::application::link::Block;
use crate::thread::Context;
use gwanmun_files::compression::{self, Accepted, Coding, Encoder, LEAST, MOST_MEMORY};
use gwanmun_files::{Identity, tells};
use gwanmun_gateway::frame::FrameError;
use gwanmun_gateway::request::HeadView;
use gwanmun_http1::response::{
    BlockFacts, body_allowed, check_block, check_trailers, is_reason, write_chunk_head,
    write_last_chunk, write_status_line, write_status_line_with,
};
use gwanmun_http1::{ResponseHead, ResponseHeadError, parse_response_head};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::blocking::Lane;
use gwanmun_reactor::clock::Clock;
use gwanmun_sys::syscall;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

/// The head of an application's response: lines of a block that the worker defined before, and lines of its own.
pub(crate) struct RelayedHead<'a> {
    pub(super) status: u16,
    /// None: the usual one.
    pub(super) reason: Option<&'a [u8]>,
    block: Option<&'a Block>,
    lines: &'a [u8],
    pub(super) facts: BlockFacts,
    /// The application wants the connection closed.
    pub(super) close: bool,
    /// The application wants the body chunked, even if it comes whole.
    chunked: bool,
}

impl<'a> RelayedHead<'a> {
    /// # Errors
    /// The worker broke a rule of the protocol.
    pub(crate) fn new(
        status: u16,
        reason: Option<&'a [u8]>,
        block: Option<&'a Block>,
        lines: &'a [u8],
    ) -> Result<Self, FrameError> {
        // As a header line: the worker has checked it by the same rule.
        if reason.is_some_and(|reason| !is_reason(reason)) {
            return Err(FrameError("a reason that must not be sent"));
        }
        let facts = facts(block, lines)?;
        Ok(Self { status, reason, block, lines, facts, close: false, chunked: false })
    }

    /// A head of lines that have been checked.
    pub(super) fn of_lines(
        status: u16,
        reason: Option<&'a [u8]>,
        lines: &'a [u8],
        facts: BlockFacts,
    ) -> Self {
        Self { status, reason, block: None, lines, facts, close: false, chunked: false }
    }

    pub(super) fn all_lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        [self.block.map_or(&b""[..], |block| &block.lines), self.lines].into_iter()
    }

    /// A head that a Node application's `ServerResponse` wrote. `lines` is room for what is relayed of it.
    ///
    /// # Errors
    /// The application wrote something that must not be sent.
    pub(crate) fn parse(head: &'a [u8], lines: &'a mut Vec<u8>) -> Result<Self, ResponseHeadError> {
        let ResponseHead { status, reason, facts, close, chunked } =
            parse_response_head(head, lines)?;
        if status < 200 {
            return Err(ResponseHeadError::StatusLine);
        }
        Ok(Self { status, reason: Some(reason), block: None, lines, facts, close, chunked })
    }
}

/// With more than this unsent no informational response is added.
const MOST_BEFORE_INFORMATIONAL: u32 = 64 * 1024;

const VARY: &[u8] = b"Vary: Accept-Encoding\r\n";

impl Connection {
    /// The response's head with the first, perhaps only, part of its body.
    ///
    /// # Errors
    /// The worker broke a rule of the protocol.
    pub(crate) fn relay_head(
        &mut self,
        cx: &mut Context,
        key: Key,
        head: &RelayedHead<'_>,
        body: &[u8],
        end: bool,
    ) -> Result<(), FrameError> {
        if self.is_taken_over(cx, key, head) {
            return Ok(());
        }
        let known = if end && !head.chunked { Some(body.len() as u64) } else { None };
        let Some(plan) = plan_coding(cx, self, key, head, known) else {
            // What it stands for may have been compressed (RFC 9110 §15.4.5).
            let varies = head.status == 304
                && cx.exchanges.get(key).is_some_and(|exchange| {
                    exchange.generation.mounts.get(exchange.mount).is_some_and(|own| own.compress)
                });
            let lines = if varies { VARY } else { b"" };
            self.begin_response(cx, key, head, known, lines);
            self.relay_plain(cx, key, body, end);
            return Ok(());
        };
        let mut lines = VARY.to_vec();
        let Some(coding) = plan.coding else {
            self.begin_response(cx, key, head, known, &lines);
            self.relay_plain(cx, key, body, end);
            return Ok(());
        };
        lines.extend_from_slice(b"Content-Encoding: ");
        lines.extend_from_slice(coding.name().as_bytes());
        lines.extend_from_slice(b"\r\n");
        let rewritten = lines_for_coding(head);
        let facts = BlockFacts { content_length: None, ..head.facts };
        let head = &RelayedHead { block: None, lines: &rewritten, facts, ..*head };
        let is_head = cx.exchanges.get(key).is_some_and(|exchange| exchange.head_only);
        if is_head {
            self.begin_response(cx, key, head, None, &lines);
            self.relay_plain(cx, key, body, end);
            return Ok(());
        }
        let encoder = match Encoder::new(coding) {
            Ok(encoder) => encoder,
            Err(error) => {
                self.fail_compression(cx, key, &error);
                return Ok(());
            }
        };
        let is_whole = end && plan.announced.is_none_or(|announced| announced == body.len() as u64);
        if is_whole && body.len() < LARGE {
            let packed = match encoder.finish(body) {
                Ok(packed) => packed,
                Err(error) => {
                    self.fail_compression(cx, key, &error);
                    return Ok(());
                }
            };
            self.begin_response(cx, key, head, Some(packed.len() as u64), &lines);
            self.relay_plain(cx, key, &packed, true);
        } else {
            self.begin_response(cx, key, head, None, &lines);
            if let Some(exchange) = cx.exchanges.get_mut(key) {
                self.charge(exchange, MOST_MEMORY, 0);
                exchange.compression = Some(Box::new(Compression::new(encoder, plan.announced)));
            }
            self.relay_body(cx, key, body, end);
        }
        Ok(())
    }

    /// Whether the client has got an answer of the core's already, or is going to, so that what the worker says comes too late; or gets the file
    /// that the response names.
    fn is_taken_over(&mut self, cx: &mut Context, key: Key, head: &RelayedHead<'_>) -> bool {
        let Some(exchange) = cx.exchanges.get(key) else { return true };
        exchange.response.state != ResponseState::Awaited
            || (exchange.may_name_file() && self.begin_sendfile(cx, key, head))
    }

    fn fail_compression(&mut self, cx: &mut Context, key: Key, error: &io::Error) {
        cx.log_error(&format!("A response could not be compressed: {error}."));
        self.answer(cx, key, 500, b"");
    }

    /// A whole response whose body is a part of a file. None: from the descriptor's position, to the file's end.
    ///
    /// # Errors
    /// The worker broke a rule of the protocol.
    pub(crate) fn relay_file(
        &mut self,
        cx: &mut Context,
        key: Key,
        head: &RelayedHead<'_>,
        file: File,
        (offset, length): (Option<u64>, Option<u64>),
    ) -> Result<(), FrameError> {
        if self.is_taken_over(cx, key, head) {
            return Ok(());
        }
        let (file, identity) = cx.hold_passed(file);
        let position = || offset.map_or_else(|| position(&file), Ok);
        let (size, offset) = match (identity, position()) {
            (Ok(Some(identity)), Ok(offset)) => (identity.size, offset),
            (Ok(None), Ok(_)) => {
                // What kind it is does not change after it was opened.
                return Err(FrameError("a response's descriptor must be a regular file"));
            }
            (Err(error), _) | (_, Err(error)) => {
                cx.log_error(&format!(
                    "A file that an application returned can't be read: {error}."
                ));
                self.answer(cx, key, 500, b"");
                return Ok(());
            }
        };
        let there = size.saturating_sub(offset);
        let part = length.map_or(there, |length| length.min(there));
        self.begin_response(cx, key, head, Some(part), &[]);
        let Some(exchange) = cx.exchanges.get_mut(key) else { return Ok(()) };
        if let ResponseState::Length(announced) = exchange.response.state {
            let sent = part.min(announced);
            exchange.response.bytes = sent;
            let first = self.is_first(key);
            let output = Output::in_turn(first, &mut self.output, &mut exchange.held);
            output.push_file(OpenFile::Passed(Arc::new(file)), offset, offset + sent);
            if sent < announced {
                cx.log_error(
                    "A file was shorter than the Content-Length of its response; the connection was closed.",
                );
                self.break_off(cx, key);
                return Ok(());
            }
        }
        self.finish(cx, key);
        Ok(())
    }

    /// Writes a response's head. `known`: its body has so many bytes, and is all there. `others`: further lines.
    fn begin_response(
        &mut self,
        cx: &mut Context,
        key: Key,
        head: &RelayedHead<'_>,
        known: Option<u64>,
        others: &[u8],
    ) {
        self.decide_end(cx, key, known.is_some());
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let facts = head.facts;
        let bodiless = !body_allowed(head.status);
        let (state, length_line) = match facts.content_length {
            _ if bodiless => (ResponseState::Bodiless, None),
            Some(_) if exchange.head_only => (ResponseState::Bodiless, None),
            None if exchange.head_only => {
                (ResponseState::Bodiless, known.filter(|length| *length > 0))
            }
            Some(length) => (ResponseState::Length(length), None),
            None if let Some(length) = known => (ResponseState::Length(length), known),
            None if exchange.http10 => (ResponseState::UntilClose, None),
            None => (ResponseState::Chunked, None),
        };
        if state == ResponseState::UntilClose {
            exchange.keep_alive = false;
        }
        exchange.keep_alive &= !head.close;
        exchange.response.status = head.status;
        exchange.response.state = state;

        let first = self.is_first(key);
        let output = Output::in_turn(first, &mut self.output, &mut exchange.held);
        let out = output.tail(&mut cx.buffers);
        write_head(out, &cx.clock, &exchange.generation.server_line, head, length_line);
        out.extend_from_slice(others);
        // An id of the application's own choice stays.
        if let Some(id) = &exchange.id
            && !facts.has_request_id
        {
            id.write_line(out);
        }
        if state == ResponseState::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        write_connection(out, exchange.keep_alive, exchange.http10);
        out.extend_from_slice(b"\r\n");
        if !first {
            self.weigh(cx, key);
        }
    }

    /// A part of the response's body.
    pub(crate) fn relay_body(&mut self, cx: &mut Context, key: Key, body: &[u8], end: bool) {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        if exchange.compression.is_some() {
            self.relay_compressed(cx, key, body, end);
            return;
        }
        self.relay_plain(cx, key, body, end);
    }

    /// A part of what the client gets.
    pub(super) fn relay_plain(&mut self, cx: &mut Context, key: Key, body: &[u8], end: bool) {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let first = self.is_first(key);
        let output = Output::in_turn(first, &mut self.output, &mut exchange.held);
        let response = &mut exchange.response;
        match &mut response.state {
            ResponseState::Length(left) => {
                let part = take_announced(left, body);
                let (surplus, missing) = (part.len() < body.len(), *left);
                if !part.is_empty() {
                    output.tail(&mut cx.buffers).extend_from_slice(part);
                    response.bytes += part.len() as u64;
                }
                if surplus {
                    cx.log_surplus();
                }
                if missing == 0 {
                    self.finish(cx, key);
                } else if end {
                    self.fall_short(cx, key);
                }
            }
            ResponseState::Chunked | ResponseState::UntilClose => {
                let chunked = response.state == ResponseState::Chunked;
                if !body.is_empty() {
                    let out = output.tail(&mut cx.buffers);
                    if chunked {
                        write_chunk_head(out, body.len());
                    }
                    out.extend_from_slice(body);
                    if chunked {
                        out.extend_from_slice(b"\r\n");
                    }
                    response.bytes += body.len() as u64;
                }
                if end {
                    if chunked {
                        write_last_chunk(output.tail(&mut cx.buffers), &exchange.trailers);
                    }
                    self.finish(cx, key);
                }
            }
            ResponseState::Bodiless if end => self.finish(cx, key),
            // The file is the body: what the application sends goes nowhere.
            ResponseState::Bodiless | ResponseState::Sought => cx.grant_credit(key),
            ResponseState::Awaited | ResponseState::Complete | ResponseState::Broken => {}
        }
        if !first {
            self.weigh(cx, key);
        }
        self.mark_dirty(cx);
    }

    /// Fields that are to follow the body. A body whose end is known without them has none (RFC 9110 §6.5.1).
    pub(crate) fn relay_trailers(&mut self, cx: &mut Context, key: Key, lines: &[u8]) {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        match check_trailers(lines) {
            Ok(()) => exchange.trailers = lines.into(),
            Err(error) => {
                cx.log_error(&format!("An application's trailers were not sent: {error}."))
            }
        }
    }

    /// A 1xx response before the final one; HTTP/1.0 clients don't know them.
    ///
    /// # Errors
    /// The worker broke a rule of the protocol.
    pub(crate) fn relay_informational(
        &mut self,
        cx: &mut Context,
        key: Key,
        status: u16,
        lines: &[u8],
    ) -> Result<(), FrameError> {
        check(lines)?;
        let Some(exchange) = cx.exchanges.get_mut(key) else { return Ok(()) };
        if exchange.http10 || exchange.response.state != ResponseState::Awaited {
            return Ok(());
        }
        // It is for a client that waits for nothing else; one that does not read what it has got has no use for it.
        if exchange.is_behind || self.output.holds().bytes > MOST_BEFORE_INFORMATIONAL {
            return Ok(());
        }
        let out = self.output.tail(&mut cx.buffers);
        write_status_line(out, status);
        out.extend_from_slice(lines);
        out.extend_from_slice(b"\r\n");
        self.mark_dirty(cx);
        Ok(())
    }

    /// The application failed or its worker is gone: `status` if nothing has been sent, else a connection that breaks off.
    pub(crate) fn relay_failure(&mut self, cx: &mut Context, key: Key, status: u16) {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        exchange.set_reason(match status {
            500 => "the application failed",
            504 => "the application took too long",
            _ => "its worker ended",
        });
        match exchange.response.state {
            ResponseState::Awaited => self.answer(cx, key, status, b""),
            ResponseState::Bodiless => self.finish(cx, key),
            ResponseState::Sought => {}
            _ => self.break_off(cx, key),
        }
    }

    pub(super) fn finish(&mut self, cx: &mut Context, key: Key) {
        self.set_state(cx, key, ResponseState::Complete);
    }

    /// The body has ended before its Content-Length.
    pub(super) fn fall_short(&mut self, cx: &mut Context, key: Key) {
        if let Some(exchange) = cx.exchanges.get_mut(key) {
            exchange.set_reason("the application sent less than its Content-Length");
        }
        cx.log_error(
            "An application sent less than its Content-Length; the connection was closed.",
        );
        self.break_off(cx, key);
    }

    /// Ends the connection without a proper end of the response.
    pub(crate) fn break_off(&mut self, cx: &mut Context, key: Key) {
        // Where the end of the connection is the end of the body, an end would look like a whole one (W62).
        self.reset_at_end |= cx
            .exchanges
            .get(key)
            .is_some_and(|exchange| exchange.response.state == ResponseState::UntilClose);
        self.set_state(cx, key, ResponseState::Broken);
    }

    fn set_state(&mut self, cx: &mut Context, key: Key, state: ResponseState) {
        if let Some(exchange) = cx.exchanges.get_mut(key)
            && !exchange.answered()
        {
            exchange.response.state = state;
            self.mark_dirty(cx);
            if self.is_first(key) {
                self.advance(cx);
            } else {
                self.weigh(cx, key);
            }
        }
    }
}

/// How a response that may be compressed goes out.
struct CodingPlan {
    /// None: the client takes none.
    coding: Option<Coding>,
    /// The application's Content-Length.
    announced: Option<u64>,
}

/// Whether a response is one that is compressed for those who want it. What is short is decided without a look at its head.
fn plan_coding(
    cx: &Context,
    connection: &Connection,
    key: Key,
    head: &RelayedHead<'_>,
    known: Option<u64>,
) -> Option<CodingPlan> {
    let announced = head.facts.content_length;
    if announced.or(known).is_some_and(|length| length < LEAST)
        || !head.facts.has_content_type
        || !body_allowed(head.status)
        || matches!(head.status, 206 | 416)
    {
        return None;
    }
    let exchange = cx.exchanges.get(key)?;
    if exchange.http10 || !exchange.generation.mounts.get(exchange.mount)?.compress {
        return None;
    }
    // What is compressed as it comes has a compressor for as long as its client takes: who holds much else gets the body as it is.
    let is_whole = known.is_some_and(|length| length < LARGE as u64);
    if !is_whole && !connection.has_room_to_compress(exchange) {
        return Some(CodingPlan { coding: None, announced });
    }
    let mut is_compressible = false;
    for line in head_lines(head) {
        let Some((name, value)) = split_field(line) else { continue };
        match name.len() {
            12 if name.eq_ignore_ascii_case(b"content-type") => {
                is_compressible = compression::is_compressible(value);
            }
            16 if name.eq_ignore_ascii_case(b"content-encoding") => return None,
            13 if name.eq_ignore_ascii_case(b"content-range") => return None,
            13 if name.eq_ignore_ascii_case(b"cache-control") => {
                let value = value.to_ascii_lowercase();
                if value.windows(12).any(|part| part == b"no-transform") {
                    return None;
                }
            }
            _ => {}
        }
    }
    if !is_compressible {
        return None;
    }
    // A range would be one of the compressed bytes.
    let mut coding = None;
    for (name, value) in HeadView::new(&exchange.head).headers() {
        if name.eq_ignore_ascii_case(b"accept-encoding") {
            coding = Accepted::parse(value).fastest();
        }
    }
    Some(CodingPlan { coding, announced })
}

/// The lines of a head for a compressed body: without its length, and with a weak tag (RFC 9110 §8.8.1).
fn lines_for_coding(head: &RelayedHead<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in head_lines(head) {
        let Some((name, value)) = split_field(line) else { continue };
        if name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(b"accept-ranges")
        {
            continue;
        }
        if name.eq_ignore_ascii_case(b"etag") && value.starts_with(b"\"") {
            lines.extend_from_slice(b"ETag: W/");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        } else {
            lines.extend_from_slice(line);
        }
    }
    lines
}

pub(super) fn head_lines<'a>(head: &RelayedHead<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    head.all_lines().flat_map(|lines| lines.split_inclusive(|&byte| byte == b'\n'))
}

pub(super) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// Checks header lines from a worker. What an application gives, and with it perhaps a client, the worker has checked by the same rules: a fault is
/// the worker's alone.
pub(crate) fn check(lines: &[u8]) -> Result<BlockFacts, FrameError> {
    check_block(lines).map_err(|_| FrameError("a header line that must not be sent"))
}

fn facts(block: Option<&Block>, lines: &[u8]) -> Result<BlockFacts, FrameError> {
    let mut facts = block.map(|block| block.facts).unwrap_or_default();
    if !lines.is_empty() {
        let own = check(lines)?;
        // As above: the worker knows what is in a block that it has defined.
        if facts.content_length.is_some() && own.content_length.is_some() {
            return Err(FrameError("two Content-Length lines"));
        }
        facts.content_length = facts.content_length.or(own.content_length);
        facts.has_date |= own.has_date;
        facts.has_server |= own.has_server;
        facts.has_content_type |= own.has_content_type;
        facts.has_request_id |= own.has_request_id;
    }
    Ok(facts)
}

/// Everything of the head but its framing, connection and end.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    clock: &Clock,
    server_line: &[u8],
    head: &RelayedHead<'_>,
    length: Option<u64>,
) {
    let facts = head.facts;
    match head.reason {
        None => write_status_line(out, head.status),
        Some(reason) => write_status_line_with(out, head.status, reason),
    }
    if !facts.has_date {
        out.extend_from_slice(clock.date_line());
    }
    if !facts.has_server {
        out.extend_from_slice(server_line);
    }
    if head.status == 204 && facts.content_length.is_some() {
        // RFC 9110 §8.6: a 204 has no Content-Length (W58).
        for line in head_lines(head) {
            if !line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:")) {
                out.extend_from_slice(line);
            }
        }
    } else {
        head.all_lines().for_each(|lines| out.extend_from_slice(lines));
    }
    if let Some(length) = length {
        write_length(out, length);
    }
}

/// The part of a body that was announced; `left` is what is still to come of that.
pub(super) fn take_announced<'a>(left: &mut u64, body: &'a [u8]) -> &'a [u8] {
    let part = &body[..body.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
    *left -= part.len() as u64;
    part
}

impl Context {
    pub(super) fn log_surplus(&self) {
        self.log_error(
            "An application sent more than its Content-Length; the surplus was dropped.",
        );
    }
}

impl Exchange {
    /// Takes body bytes off the worker's credit.
    ///
    /// # Errors
    /// It had less.
    pub(crate) fn spend_credit(&mut self, bytes: usize) -> Result<(), FrameError> {
        self.credit = self
            .credit
            .checked_sub(bytes as u32)
            // The core takes no credit back, and a request that goes to another worker begins with a whole window.
            .ok_or(FrameError("more body bytes than the stream had credit for"))?;
        Ok(())
    }
}
impl Context {
    /// A worker's file with what it is, with the threads that may wait for it: one lane for each file system.
    fn hold_passed(&mut self, file: File) -> (HeldFile, io::Result<Option<Identity>>) {
        let identity = Identity::at_once(&file);
        let device = identity.as_ref().ok().copied().flatten().map(|identity| identity.device);
        if self.passed_lanes.len() > MOST_DEVICES {
            self.passed_lanes.clear();
        }
        let (lane, tells) = self.passed_lanes.entry(device).or_insert_with(|| {
            let name = format!("the file system of device {}", device.unwrap_or_default());
            (Lane::of_folder(name), device.is_some() && tells(&file))
        });
        (HeldFile::new(file, lane, !*tells), identity)
    }
}

/// File systems of workers' files that a thread remembers.
const MOST_DEVICES: usize = 64;

/// Where the next read of a worker's file would begin. Where the kernel does not tell whether a read waits, it is taken from what it tells of the
/// process: `lseek` waits while the worker reads.
fn position(file: &HeldFile) -> io::Result<u64> {
    if !file.waits() {
        return syscall::position(file.as_fd());
    }
    let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let position = facts.lines().find_map(|line| line.strip_prefix("pos:"));
    position
        .and_then(|position| position.trim().parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
