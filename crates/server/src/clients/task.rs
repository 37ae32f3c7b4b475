//! A client that is the core itself: it asks one of its own mounts, without a socket, and hands the answer on as that is taken.

use super::open_file::OpenFile;
use crate::exchange::holding::Holding;
use crate::exchange::seam::{Body, Client, Note, Request, Respond, Start};
use crate::exchange::turn::Turn;
use crate::exchange::{Exchange, RequestBody, ResponseState};
use crate::filters::head::ResponseHead;
use crate::peer::{Local, Peer};
use crate::shared::task::{Order, Part};
use gwanmun_http1::parse_request;
use gwanmun_http1::response::reason;
use gwanmun_reactor::arena::Key;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// With as much not taken nothing more is handed on.
const WINDOW: usize = 64 * 1024;
/// So much of a file is in memory at once.
const PIECE: u64 = 64 * 1024;

/// A request of the core's own, and its answer.
#[derive(Debug)]
pub(crate) struct Task {
    key: Key,
    peer: Peer,
    /// None: the request could not be begun.
    exchange: Option<Key>,
    /// What of the request's body has not been passed on; none if it is not wanted that way.
    upload: Option<Vec<u8>>,
    parts: Sender<Part>,
    /// What has not been handed on.
    waiting: VecDeque<Piece>,
    /// Bytes that have been handed on, and not taken.
    untaken: usize,
    /// A piece of a file is being read.
    loading: bool,
    deadline_ms: u64,
    dirty: bool,
    closed: bool,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    File { source: OpenFile, offset: u64, end: u64 },
    End { complete: bool },
}

impl Task {
    pub(super) fn new(key: Key, parts: Sender<Part>, deadline_ms: u64) -> Self {
        let local = Local {
            name: Some("localhost".into()),
            port: 80,
            is_unix: true,
            is_core: true,
            ..Local::default()
        };
        Self {
            key,
            peer: Peer { addr: Box::from(""), port: 0, local: Rc::new(local) },
            exchange: None,
            upload: None,
            parts,
            waiting: VecDeque::new(),
            untaken: 0,
            loading: false,
            deadline_ms,
            dirty: false,
            closed: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Begins the request.
    pub(super) fn start(&mut self, turn: &mut Turn, respond: &mut dyn Respond, order: Order) {
        let Order { head: bytes, body, .. } = order;
        let mut headers = std::mem::take(&mut turn.headers);
        let parsed = parse_request(&bytes, &turn.generation.head_limits, &mut headers);
        if let Ok(Some(head)) = parsed {
            let key = turn.open(self.key, &self.peer, false, &bytes, &head, &mut headers);
            self.exchange = Some(key);
            let request = &mut Request {
                peer: &self.peer,
                socket: None,
                bytes: &bytes[..head.len],
                head: &head,
                headers: &mut headers,
            };
            match respond.start(turn, key, request) {
                Start::Started => {}
                // The core's own requests need no password.
                Start::Undecided => turn.refuse(self, key, 503, "a task was asked who it is"),
                Start::Answer(answer) => turn.answer(self, key, answer),
                Start::Refused(status, why) => turn.refuse(self, key, status, why),
                Start::Collect { limit } if body.len() as u64 > limit => {
                    turn.refuse(self, key, 413, "the request body is over limits.body");
                }
                Start::Collect { .. } => {
                    let length = body.len() as u64;
                    if let Some(exchange) = turn.exchanges.get_mut(key) {
                        exchange.body = RequestBody::Memory(body);
                    }
                    if let Some(answer) = respond.proceed(turn, key, length) {
                        turn.answer(self, key, answer);
                    }
                }
                Start::Pass { .. } => self.upload = Some(body),
            }
        } else {
            let (status, why) = match parsed {
                Err(rejection) => (rejection.status(), rejection.reason()),
                Ok(_) => (400, "the request head is not complete"),
            };
            let key = turn.open_malformed(self.key);
            self.exchange = Some(key);
            turn.refuse(self, key, status, why);
        }
        turn.headers = headers;
        self.mark_dirty(turn);
    }

    /// So many bytes of what was handed on have been taken.
    pub(super) fn on_taken(&mut self, turn: &mut Turn, bytes: usize) {
        self.untaken = self.untaken.saturating_sub(bytes);
        self.mark_dirty(turn);
    }

    /// A piece of the file that is handed on next has been read.
    pub(super) fn on_loaded(&mut self, turn: &mut Turn, result: io::Result<Option<Vec<u8>>>) {
        self.loading = false;
        match result {
            Ok(bytes) => {
                let bytes = bytes.unwrap_or_default();
                let is_done = match self.waiting.front_mut() {
                    Some(Piece::File { offset, end, .. }) => {
                        *offset += bytes.len() as u64;
                        *offset >= *end
                    }
                    _ => false,
                };
                if is_done {
                    self.waiting.pop_front();
                }
                self.waiting.push_front(Piece::Bytes(bytes));
            }
            Err(error) => {
                turn.log_error(&format!("A file could not be read while it was sent: {error}."));
                self.waiting.clear();
                self.waiting.push_back(Piece::End { complete: false });
            }
        }
        self.mark_dirty(turn);
    }

    /// Gives up if it takes too long.
    pub(super) fn on_tick(&mut self, turn: &mut Turn) {
        if turn.clock.ms() >= self.deadline_ms {
            self.close(turn);
        }
    }

    pub(super) fn mark_dirty(&mut self, turn: &mut Turn) {
        if !self.dirty && !self.closed {
            self.dirty = true;
            turn.dirty.push(self.key);
        }
    }

    /// Passes on what there is room for, and hands on what has been taken.
    pub(super) fn settle(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        self.dirty = false;
        if self.closed {
            return;
        }
        self.pass_on(turn, respond);
        while self.untaken < WINDOW
            && !self.loading
            && let Some(piece) = self.waiting.front()
        {
            if let Piece::File { source, offset, end } = piece {
                let length = (end - offset).min(PIECE) as usize;
                self.loading = true;
                source.clone().load(turn, self.key, (*offset, length), true);
                return;
            }
            let part = match self.waiting.pop_front() {
                Some(Piece::Bytes(bytes)) if bytes.is_empty() => continue,
                Some(Piece::Bytes(bytes)) => {
                    self.untaken += bytes.len();
                    Part::Body(bytes)
                }
                Some(Piece::End { complete }) => Part::End { complete },
                Some(Piece::File { .. }) | None => return,
            };
            let is_end = matches!(part, Part::End { .. });
            // Who has let go of the answer wants no more of it.
            if self.parts.send(part).is_err() || is_end {
                self.close(turn);
                return;
            }
        }
        if self.waiting.is_empty()
            && let Some(key) = self.exchange
        {
            turn.notes.push(Note::Taken(key));
        }
    }

    fn pass_on(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        let (Some(key), Some(body)) = (self.exchange, &mut self.upload) else { return };
        let room = respond.room(turn, key).min(body.len());
        let rest = body.split_off(room);
        let is_last = rest.is_empty();
        if room > 0 {
            respond.body(turn, key, body, is_last);
        }
        self.upload = (!is_last).then_some(rest);
    }

    /// Ends it. What answers is told, and who asked, if there was no end yet.
    pub(super) fn close(&mut self, turn: &mut Turn) {
        if !self.closed {
            self.closed = true;
            turn.closed.push(self.key);
        }
    }

    /// Lets go of everything.
    pub(super) fn dispose(&mut self, turn: &mut Turn) {
        if let Some(key) = self.exchange.take() {
            turn.leave(key);
        }
        // Behind an end that was handed on nobody looks for another one.
        let _ = self.parts.send(Part::End { complete: false });
    }

    pub(super) fn holds(&self) -> Holding {
        let mut held = Holding::new(self.untaken + self.upload.as_ref().map_or(0, Vec::len), 0);
        for piece in &self.waiting {
            held += match piece {
                Piece::Bytes(bytes) => Holding::new(bytes.len(), 0),
                Piece::File { .. } => Holding::new(0, 1),
                Piece::End { .. } => Holding::default(),
            };
        }
        held
    }
}

impl Client for Task {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    /// A task asks for no coding, unless it says so.
    fn has_room_to_compress(&self, _: &Exchange) -> bool {
        true
    }

    fn charge(&mut self, exchange: &mut Exchange, bytes: usize, files: usize) {
        exchange.charge(bytes, files);
    }

    fn head(
        &mut self,
        turn: &mut Turn,
        key: Key,
        head: &ResponseHead<'_>,
        body: Body<'_>,
        end: bool,
    ) {
        let Some(exchange) = turn.exchanges.get(key) else { return };
        let mut lines = Vec::new();
        exchange.write_fields(&mut lines, &turn.clock, head);
        let reason = head.reason.unwrap_or_else(|| reason(head.status).as_bytes()).into();
        // Who has let go of the answer is noticed when it settles.
        let _ = self.parts.send(Part::Head { status: head.status, reason, lines });
        self.body(turn, key, body, end);
    }

    fn body(&mut self, turn: &mut Turn, key: Key, body: Body<'_>, end: bool) {
        match body {
            Body::Bytes(b"") => {}
            Body::Bytes(bytes) => self.waiting.push_back(Piece::Bytes(bytes.into())),
            Body::Entry(entry, offset, end) => match &entry.content {
                Some(content) => {
                    let part = content.get(offset as usize..end as usize).unwrap_or_default();
                    self.waiting.push_back(Piece::Bytes(part.into()));
                }
                None => {
                    let source = OpenFile::Entry(Arc::clone(entry));
                    self.waiting.push_back(Piece::File { source, offset, end });
                }
            },
            Body::Passed(file, offset, end) if offset < end => {
                self.waiting.push_back(Piece::File { source: OpenFile::Passed(file), offset, end });
            }
            Body::Passed(..) => {}
        }
        if end {
            self.finish(turn, key, ResponseState::Complete);
        }
        self.mark_dirty(turn);
    }

    /// Nobody waits for one.
    fn informational(&mut self, _: &mut Turn, _: Key, _: u16, _: &[u8]) {}

    fn abort(&mut self, turn: &mut Turn, key: Key) {
        self.finish(turn, key, ResponseState::Broken);
        self.mark_dirty(turn);
    }

    fn on_decided(&mut self, _: &mut Turn) {}

    fn on_room(&mut self, turn: &mut Turn, _: Key) {
        self.mark_dirty(turn);
    }
}

impl Task {
    fn finish(&mut self, turn: &mut Turn, key: Key, state: ResponseState) {
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            exchange.response.state = state;
        }
        let complete = state == ResponseState::Complete;
        self.waiting.push_back(Piece::End { complete });
    }
}
