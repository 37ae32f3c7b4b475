//! The core's own answers: files, redirects, errors.

use super::output::Output;
use super::{Connection, Phase};
use crate::exchange::{Exchange, LogFields, ResponseState, Source};
use crate::thread::Context;
use gwanmun_files::{FileEntry, Reply, write_headers};
use gwanmun_http1::response::{reason, write_status_line};
use gwanmun_http1::{Body, RequestHead};
use gwanmun_reactor::arena::Key;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// A request body that nobody wants is read to its end if it is at most this long; else the connection is closed.
pub(super) const SKIP_BODY: u64 = 64 * 1024;

impl Connection {
    /// Answers an exchange with a page that says its status. `lines` are further header lines.
    pub(crate) fn answer(&mut self, cx: &mut Context, key: Key, status: u16, lines: &[u8]) {
        self.decide_end(cx, key, true);
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let framing = Framing::of(exchange);
        let generation = Rc::clone(&exchange.generation);
        let page_of = generation.error_page(exchange.mount, status);
        let first = self.is_first(key);
        let output = Output::in_turn(first, &mut self.output, &mut exchange.held);
        let out = output.tail(&mut cx.buffers);
        write_status_line(out, status);
        out.extend_from_slice(cx.clock.date_line());
        out.extend_from_slice(&cx.generation.server_line);
        if let Some(id) = &exchange.id {
            id.write_line(out);
        }
        out.extend_from_slice(lines);
        let (content_type, body) = match page_of {
            Some(page) => (page.content_type.as_str(), Cow::Borrowed(page.body.as_slice())),
            None if gwanmun_http1::response::body_allowed(status) => {
                ("text/html; charset=utf-8", Cow::Owned(page(status).into_bytes()))
            }
            None => ("", Cow::Borrowed(&b""[..])),
        };
        exchange.response.bytes = write_body(out, framing, content_type, &body);
        exchange.response.status = status;
        self.finish(cx, key);
    }

    /// Answers an exchange for which nothing has been sent, and breaks off any other.
    pub(crate) fn answer_unless_begun(
        &mut self,
        cx: &mut Context,
        key: Key,
        status: u16,
        lines: &[u8],
    ) {
        match cx.exchanges.get(key).map(|exchange| exchange.response.state) {
            Some(ResponseState::Awaited) => self.answer(cx, key, status, lines),
            Some(_) => self.break_off(cx, key),
            None => {}
        }
    }

    /// Answers an exchange with something that the core has made. `lines` are further header lines.
    pub(super) fn answer_with(
        &mut self,
        cx: &mut Context,
        key: Key,
        content_type: &str,
        lines: &[u8],
        body: &[u8],
    ) {
        self.decide_end(cx, key, true);
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let framing = Framing::of(exchange);
        let first = self.is_first(key);
        let output = Output::in_turn(first, &mut self.output, &mut exchange.held);
        let out = output.tail(&mut cx.buffers);
        write_status_line(out, 200);
        out.extend_from_slice(cx.clock.date_line());
        out.extend_from_slice(&cx.generation.server_line);
        if let Some(id) = &exchange.id {
            id.write_line(out);
        }
        out.extend_from_slice(lines);
        exchange.response.bytes = write_body(out, framing, content_type, body);
        exchange.response.status = 200;
        self.finish(cx, key);
    }

    /// Answers a request whose body, if it has one, is not wanted.
    pub(super) fn answer_and_skip_body(
        &mut self,
        cx: &mut Context,
        key: Key,
        head: &RequestHead,
        status: u16,
        lines: &[u8],
    ) {
        self.skip_body(cx, key, head);
        self.answer(cx, key, status, lines);
    }

    /// Sees to it that a body that nobody wants is not taken for the next request (H32).
    pub(super) fn skip_body(&mut self, cx: &mut Context, key: Key, head: &RequestHead) {
        match head.body {
            Body::None => {}
            // A client that waits for 100 Continue may or may not send the body after this: only closing is unambiguous (H33).
            Body::Length(length) if length <= SKIP_BODY && !head.expect_continue => {
                let reader = super::body::BodyReader::discard(key, head.body);
                self.reading = super::Reading::Body;
                self.read_deadline = cx.clock.ms() + reader.patience_ms(cx);
                self.phase = Phase::Body(Box::new(reader));
            }
            _ => {
                if let Some(exchange) = cx.exchanges.get_mut(key) {
                    exchange.keep_alive = false;
                }
                self.phase = Phase::Closing;
            }
        }
    }

    /// Refuses what can't be understood as a request: answers after whatever came before, then closes.
    pub(crate) fn refuse(&mut self, cx: &mut Context, status: u16, why: &'static str) {
        let now = cx.clock.now();
        let id = if cx.ids.is_off() { None } else { Some(cx.ids.make()) };
        let log = cx.generation.log_access.then(Box::<LogFields>::default);
        let key = cx.exchanges.insert_with(|_| Exchange {
            id,
            log,
            ..Exchange::new(self.key, now, &cx.generation)
        });
        self.exchanges.push_back(key);
        self.refuse_exchange(cx, key, status, why);
    }

    /// Answers an exchange with an error after which the connection can't go on.
    pub(super) fn refuse_exchange(
        &mut self,
        cx: &mut Context,
        key: Key,
        status: u16,
        why: &'static str,
    ) {
        cx.log_refusal(&self.remote_addr, key, status, why);
        if let Some(exchange) = cx.exchanges.get_mut(key) {
            exchange.keep_alive = false;
        }
        let lines: &[u8] = if status == 503 { b"Retry-After: 1\r\n" } else { b"" };
        self.answer(cx, key, status, lines);
        self.phase = Phase::Closing;
        self.blocked = false;
        self.read_deadline = 0;
        let input = std::mem::take(&mut self.input);
        cx.buffers.give(input);
    }

    pub(super) fn respond_file(
        &mut self,
        cx: &mut Context,
        key: Key,
        entry: &Arc<FileEntry>,
        reply: &Reply,
    ) {
        self.decide_end(cx, key, true);
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        if let Some(log) = &mut exchange.log {
            log.source = Source::File;
        }
        let (status, start, end) = match reply {
            Reply::Full => (200, 0, entry.size),
            Reply::Partial { start, end } => (206, *start, *end),
            Reply::Parts(_) => (206, 0, 0),
            Reply::NotModified => (304, 0, 0),
            Reply::PreconditionFailed => {
                self.answer(cx, key, 412, b"");
                return;
            }
            Reply::NotSatisfiable => (416, 0, 0),
        };
        let first = self.is_first(key);
        let output = Output::in_turn(first, &mut self.output, &mut exchange.held);
        let out = output.tail(&mut cx.buffers);
        write_status_line(out, status);
        out.extend_from_slice(cx.clock.date_line());
        out.extend_from_slice(&cx.generation.server_line);
        if let Some(id) = &exchange.id {
            id.write_line(out);
        }
        write_headers(out, entry, reply);
        write_connection(out, exchange.keep_alive, exchange.http10);
        out.extend_from_slice(b"\r\n");
        if !exchange.head_only && start < end {
            exchange.response.bytes = end - start;
            output.push_entry(entry, start, end, &mut cx.buffers);
        }
        if let Reply::Parts(parts) = reply
            && !exchange.head_only
        {
            exchange.response.bytes = output.push_parts(entry, parts, &mut cx.buffers);
        }
        exchange.response.status = status;
        self.finish(cx, key);
    }
}

/// What of an exchange says how its response ends.
#[derive(Clone, Copy)]
struct Framing {
    keep_alive: bool,
    http10: bool,
    head_only: bool,
}

impl Framing {
    fn of(exchange: &Exchange) -> Self {
        let Exchange { keep_alive, http10, head_only, .. } = *exchange;
        Self { keep_alive, http10, head_only }
    }
}

/// The type, the length and the rest of a head, and the body if the client gets one. Gives the bytes of that.
fn write_body(out: &mut Vec<u8>, framing: Framing, content_type: &str, body: &[u8]) -> u64 {
    if !content_type.is_empty() {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
        write_length(out, body.len() as u64);
    }
    write_connection(out, framing.keep_alive, framing.http10);
    out.extend_from_slice(b"\r\n");
    if framing.head_only {
        return 0;
    }
    out.extend_from_slice(body);
    body.len() as u64
}

pub(super) fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The Connection header where it is not the version's default.
pub(super) fn write_connection(out: &mut Vec<u8>, keep_alive: bool, http10: bool) {
    match (keep_alive, http10) {
        (true, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, false) | (false, true) => {}
    }
}

fn page(status: u16) -> String {
    let reason = reason(status);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{status} {reason}</title>\n<h1>{status} {reason}</h1>\n</html>\n"
    )
}
