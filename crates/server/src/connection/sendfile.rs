//! `X-Sendfile`: an application names a file in a response header, and the core sends that instead of the body.

use super::Connection;
use super::output::Output;
use super::relay::{RelayedHead, head_lines, split_field, write_head};
use super::request::{conditions_of, negotiate};
use super::respond::write_connection;
use crate::exchange::{Exchange, ResponseState, Source};
use crate::thread::{Context, Message};
use gwanmun_files::Files;
use gwanmun_files::compression::is_compressible;
use gwanmun_files::{FileEntry, Found, Reply, evaluate, forbids_transform, write_headers};
use gwanmun_gateway::request::HeadView;
use gwanmun_http1::response::{BlockFacts, body_allowed};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::blocking::PATIENCE;
use std::sync::Arc;

const NAME: &[u8] = b"x-sendfile";

/// The head of a response whose file is being looked for.
#[derive(Debug)]
pub(crate) struct Sought {
    status: u16,
    reason: Option<Box<[u8]>>,
    /// The application's header lines, without the file's name and the length of its own body.
    lines: Vec<u8>,
    facts: BlockFacts,
    close: bool,
    path: Box<[u8]>,
}

impl Sought {
    fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.lines.split_inclusive(|&byte| byte == b'\n');
        lines
            .filter_map(split_field)
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn gives(&self, name: &[u8]) -> bool {
        self.values(name).next().is_some()
    }

    /// Whether what the application says of the file goes for it in another coding too.
    fn may_be_coded(&self) -> bool {
        !self.gives(b"content-encoding")
            && !forbids_transform(&self.lines)
            && self.values(b"content-type").all(is_compressible)
    }
}

impl Connection {
    /// Takes over a response that names a file, if its mount lets it. `false`: it is an ordinary one.
    pub(super) fn begin_sendfile(
        &mut self,
        cx: &mut Context,
        key: Key,
        head: &RelayedHead<'_>,
    ) -> bool {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return false };
        let Some(folders) = &exchange.generation.mounts[exchange.mount].sendfile else {
            return false;
        };
        let mut fields = head_lines(head).filter_map(split_field);
        let Some((_, path)) = fields.find(|(field, _)| field.eq_ignore_ascii_case(NAME)) else {
            return false;
        };
        let sought = Sought {
            status: head.status,
            reason: head.reason.map(Into::into),
            lines: head_lines(head)
                .filter(|line| !is_field(line, NAME) && !is_field(line, b"content-length"))
                .flatten()
                .copied()
                .collect(),
            facts: head.facts,
            close: head.close,
            path: path.into(),
        };
        exchange.response.status = head.status;
        exchange.response.state = ResponseState::Sought;
        let folders = Arc::clone(folders);
        let Some(files) = folders.first(&sought.path).map(Arc::clone) else {
            self.on_sendfile(cx, key, &sought, None);
            return true;
        };
        cx.sought.push_back((cx.clock.ms(), key));
        let lane = Arc::clone(files.root.lane());
        let sought = Arc::new(sought);
        let own = Arc::clone(&sought);
        cx.run_blocking(
            &lane,
            move || {
                let found = folders.find(&sought.path);
                Message::Sendfile { exchange: key, sought, found }
            },
            move |error| {
                let found = Some((Found::Unavailable(error), files));
                Message::Sendfile { exchange: key, sought: own, found }
            },
        );
        true
    }

    /// The file has been looked for. `None`: the path is beneath none of the mount's folders.
    pub(crate) fn on_sendfile(
        &mut self,
        cx: &mut Context,
        key: Key,
        sought: &Sought,
        found: Option<(Found, Arc<Files>)>,
    ) {
        // It may have been given up meanwhile.
        let is_sought = |exchange: &Exchange| exchange.response.state == ResponseState::Sought;
        if !cx.exchanges.get(key).is_some_and(is_sought) {
            return;
        }
        let (found, files) = found.unzip();
        let (status, why) = match found {
            Some(Found::File(entry)) => {
                if let Some(files) = &files {
                    self.send_found(cx, key, sought, files, entry);
                }
                return;
            }
            Some(Found::NotFound | Found::Directory | Found::Listing(_)) => {
                (404, "there is no such file".to_owned())
            }
            Some(Found::Forbidden) => (500, "the file may not be read".to_owned()),
            Some(Found::Failed(error)) => (500, error.to_string()),
            Some(Found::Unavailable(error)) => (503, error.to_string()),
            None => (500, "the path is outside the mount's sendfile folders".to_owned()),
        };
        let path = sought.path.escape_ascii();
        cx.log_error(&format!("X-Sendfile: {path}: {why}; the answer is {status}."));
        self.answer(cx, key, status, b"");
    }

    /// The file has been looked for too long.
    pub(crate) fn give_up_sendfile(&mut self, cx: &mut Context, key: Key) {
        cx.log_error(&format!(
            "X-Sendfile: the file's folder has not answered for {} s; the answer is 503. Check its disk, or the server that the disk is on.",
            PATIENCE.as_secs()
        ));
        self.answer(cx, key, 503, b"");
    }

    fn send_found(
        &mut self,
        cx: &mut Context,
        key: Key,
        sought: &Sought,
        files: &Arc<Files>,
        mut entry: Arc<FileEntry>,
    ) {
        self.decide_end(cx, key, true);
        let Some(exchange) = cx.exchanges.get(key) else { return };
        // Validators of the application's own are not the file's: what they would say is the application's to judge.
        let own = sought.gives(b"etag") || sought.gives(b"last-modified");
        let mut reply = Reply::Full;
        if sought.status == 200 && !own {
            let view = HeadView::new(&exchange.head);
            let conditions = conditions_of(&view);
            if sought.may_be_coded() {
                entry = negotiate(cx, files, entry, &conditions);
            }
            reply = match evaluate(&entry, &conditions) {
                // Several parts of it: all of it will do (RFC 9110 §14.2), in the head as in the body.
                Reply::Parts(_) => Reply::Full,
                reply => reply,
            };
        }
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let (status, start, end) = match reply {
            _ if !body_allowed(sought.status) => (sought.status, 0, 0),
            Reply::Full | Reply::Parts(_) => (sought.status, 0, entry.size),
            Reply::Partial { start, end } => (206, start, end),
            Reply::NotModified => (304, 0, 0),
            Reply::NotSatisfiable => (416, 0, 0),
            Reply::PreconditionFailed => {
                self.answer(cx, key, 412, b"");
                return;
            }
        };
        exchange.keep_alive &= !sought.close;
        exchange.response.status = status;
        if let Some(log) = &mut exchange.log {
            log.source = Source::File;
        }
        let first = self.is_first(key);
        let output = Output::in_turn(first, &mut self.output, &mut exchange.held);
        let out = output.tail(&mut cx.buffers);
        let reason = sought.reason.as_deref().filter(|_| status == sought.status);
        let facts = BlockFacts { content_length: None, ..sought.facts };
        let head = RelayedHead::of_lines(status, reason, &sought.lines, facts);
        write_head(out, &cx.clock, &exchange.generation.server_line, &head, None);
        if let Some(id) = &exchange.id
            && !facts.has_request_id
        {
            id.write_line(out);
        }
        if body_allowed(sought.status) {
            let mut lines = Vec::new();
            write_headers(&mut lines, &entry, &reply);
            for line in lines.split_inclusive(|&byte| byte == b'\n') {
                let is = |name: &[u8]| is_field(line, name);
                let foreign = is(b"etag") || is(b"last-modified") || is(b"accept-ranges");
                let said = is(b"content-type") && facts.has_content_type
                    || is(b"content-encoding") && sought.gives(b"content-encoding");
                if !(own && foreign || said) {
                    out.extend_from_slice(line);
                }
            }
        }
        write_connection(out, exchange.keep_alive, exchange.http10);
        out.extend_from_slice(b"\r\n");
        if !exchange.head_only && start < end {
            exchange.response.bytes = end - start;
            output.push_entry(&entry, start, end, &mut cx.buffers);
        }
        self.finish(cx, key);
    }
}

/// Whether a header line is of this field.
fn is_field(line: &[u8], name: &[u8]) -> bool {
    split_field(line).is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_by_its_whole_name() {
        assert!(is_field(b"X-Sendfile: a\r\n", NAME));
        assert!(is_field(b"x-SENDFILE:a\r\n", NAME));
        for line in [&b"X-Sendfiles: a\r\n"[..], b"X-Sendfil: a\r\n", b"X-Sendfile", b""] {
            assert!(!is_field(line, NAME));
        }
    }
}
