//! How the core's own answers go to a client.

use super::answer::{Answer, RETRY_AFTER};
use super::seam::{Body, Client};
use super::turn::Turn;
use super::{Exchange, Source, deliver};
use crate::filters::head::ResponseHead;
use crate::generation::Fixed;
use gwanmun_files::{FileEntry, PARTS_END, Reply, part_head, write_headers};
use gwanmun_http1::response::{body_allowed, reason};
use gwanmun_reactor::arena::Key;
use std::rc::Rc;
use std::sync::Arc;

impl Turn {
    /// Gives the answer of an exchange for which nothing has been sent.
    pub(crate) fn answer(&mut self, client: &mut impl Client, key: Key, answer: Answer) {
        match answer {
            Answer::Page { status, lines } => self.answer_page(client, key, status, &lines),
            Answer::Content { status, content_type, lines, body } => {
                self.answer_text(client, key, (status, lines), content_type, body.as_bytes());
            }
            Answer::Fixed(fixed) => self.answer_fixed(client, key, &fixed),
            Answer::File { entry, reply } => self.answer_file(client, key, &entry, &reply),
        }
    }

    /// Answers with an error after which the client can't go on. `why` is for the logs.
    pub(crate) fn refuse(
        &mut self,
        client: &mut impl Client,
        key: Key,
        status: u16,
        why: &'static str,
    ) {
        self.log_refusal(&client.peer().addr, key, status, why);
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.keep_alive = false;
        }
        let lines = if status == 503 { RETRY_AFTER } else { b"" };
        self.answer_page(client, key, status, lines);
    }

    /// Gives the answer of an exchange for which nothing has been sent, and breaks off any other.
    pub(crate) fn answer_unless_begun(
        &mut self,
        client: &mut impl Client,
        key: Key,
        answer: Answer,
    ) {
        match self.exchanges.get(key).map(Exchange::is_awaited) {
            Some(true) => self.answer(client, key, answer),
            Some(false) => deliver::abort(self, client, key),
            None => {}
        }
    }

    fn answer_page(&mut self, client: &mut impl Client, key: Key, status: u16, lines: &[u8]) {
        let Some(exchange) = self.exchanges.get(key) else { return };
        let generation = Rc::clone(&exchange.generation);
        match generation.error_page(exchange.mount, status) {
            Some(page) => {
                self.answer_text(client, key, (status, lines), &page.content_type, &page.body);
            }
            None if body_allowed(status) => {
                let body = page(status);
                let content_type = "text/html; charset=utf-8";
                self.answer_text(client, key, (status, lines), content_type, body.as_bytes());
            }
            None => {
                let head = ResponseHead { is_whole: true, ..ResponseHead::new(status, lines) };
                deliver::whole(self, client, key, &head, Body::NONE, 0);
            }
        }
    }

    fn answer_text(
        &mut self,
        client: &mut impl Client,
        key: Key,
        (status, lines): (u16, &[u8]),
        content_type: &str,
        body: &[u8],
    ) {
        let mut own = self.buffers.take();
        own.extend_from_slice(lines);
        own.extend_from_slice(b"Content-Type: ");
        own.extend_from_slice(content_type.as_bytes());
        own.extend_from_slice(b"\r\n");
        let length = body.len() as u64;
        let head = ResponseHead {
            length: Some(length),
            is_whole: true,
            ..ResponseHead::new(status, &own)
        };
        deliver::whole(self, client, key, &head, Body::Bytes(body), length);
        self.buffers.give(own);
    }

    fn answer_fixed(&mut self, client: &mut impl Client, key: Key, fixed: &Fixed) {
        let length = fixed.body.len() as u64;
        let head = ResponseHead {
            length: body_allowed(fixed.status).then_some(length),
            is_whole: true,
            ..ResponseHead::new(fixed.status, &fixed.lines)
        };
        let body = if body_allowed(fixed.status) { fixed.body.as_slice() } else { b"" };
        deliver::whole(self, client, key, &head, Body::Bytes(body), body.len() as u64);
    }

    fn answer_file(
        &mut self,
        client: &mut impl Client,
        key: Key,
        entry: &Arc<FileEntry>,
        reply: &Reply,
    ) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if let Some(log) = &mut exchange.log {
            log.source = Source::File;
        }
        if let Reply::Full = reply {
            let head = ResponseHead {
                length: Some(entry.size),
                is_whole: true,
                ..ResponseHead::new(200, &entry.headers)
            };
            let body = Body::Entry(entry, 0, entry.size);
            deliver::whole(self, client, key, &head, body, entry.size);
            return;
        }
        let (status, start, end) = match *reply {
            Reply::Full | Reply::Parts(_) => (206, 0, 0),
            Reply::Partial { start, end } => (206, start, end),
            Reply::NotModified => (304, 0, 0),
            Reply::NotSatisfiable => (416, 0, 0),
            Reply::PreconditionFailed => {
                self.answer_page(client, key, 412, b"");
                return;
            }
        };
        let mut lines = self.buffers.take();
        write_headers(&mut lines, entry, reply);
        let head = ResponseHead { is_whole: true, ..ResponseHead::new(status, &lines) };
        if let Reply::Parts(parts) = reply {
            self.send_parts(client, key, &head, entry, parts);
        } else {
            let body = Body::Entry(entry, start, end);
            deliver::whole(self, client, key, &head, body, end - start);
        }
        self.buffers.give(lines);
    }

    /// Parts of a file, each behind its head.
    fn send_parts(
        &mut self,
        client: &mut impl Client,
        key: Key,
        head: &ResponseHead<'_>,
        entry: &Arc<FileEntry>,
        parts: &[(u64, u64)],
    ) {
        let Some(exchange) = deliver::begin_whole(self, key, head) else { return };
        if exchange.head_only {
            client.head(self, key, head, Body::NONE, true);
            return;
        }
        let heads: Vec<_> =
            parts.iter().map(|&(start, end)| (part_head(entry, start, end), start, end)).collect();
        let bytes = |(head, start, end): &(Vec<u8>, u64, u64)| head.len() as u64 + (end - start);
        exchange.response.bytes = PARTS_END.len() as u64 + heads.iter().map(bytes).sum::<u64>();
        client.head(self, key, head, Body::NONE, false);
        for (head, start, end) in &heads {
            client.body(self, key, Body::Bytes(head), false);
            client.body(self, key, Body::Entry(entry, *start, *end), false);
        }
        client.body(self, key, Body::Bytes(PARTS_END), true);
    }
}

fn page(status: u16) -> String {
    let reason = reason(status);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{status} {reason}</title>\n<h1>{status} {reason}</h1>\n</html>\n"
    )
}
