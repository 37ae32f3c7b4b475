//! Random clients against random answers, without a socket: HTTP/1, exchanges and what answers are values here, and a model knows what every client must get.
//!
//! `MACHINE_SECONDS=60 cargo test -p gwanmun-server machine` goes on for longer; a failure prints the seed that leads to it.

#![expect(clippy::print_stderr, reason = "whoever runs it by hand wants to know")]

use super::http1::Connection;
use crate::exchange::answer::Answer;
use crate::exchange::deliver;
use crate::exchange::responder::Responder;
use crate::exchange::seam::{Client, Clients, Note, Request, Respond, Start};
use crate::exchange::turn::Turn;
use crate::filters::head::ResponseHead;
use crate::peer::{Local, Peer};
use crate::server::tests::on_thread;
use crate::transport::{Memory, Transport};
use gwanmun_http1::response::check_block;
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::Readiness;
use gwanmun_sys::syscall::Transfer;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What no connection may hold (H62), with what a request that is not read on takes.
const BOUND: u32 = 1024 * 1024;

#[test]
fn every_client_gets_what_was_answered_and_nothing_is_left() {
    let seconds = std::env::var("MACHINE_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(2));
    let first = std::env::var("MACHINE_SEED").ok().and_then(|text| text.parse().ok());
    on_thread(move |thread| {
        let turn = &mut thread.turn;
        let begun = Instant::now();
        let (mut seed, mut steps, mut seen) = (first.unwrap_or(1), 0u64, Seen::default());
        loop {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                play(turn, seed, &mut seen)
            }));
            match result {
                Ok(count) => steps += count,
                Err(panic) => {
                    eprintln!("MACHINE_SEED={seed} leads here");
                    std::panic::resume_unwind(panic);
                }
            }
            if first.is_some() || begun.elapsed() >= length {
                break;
            }
            seed += 1;
        }
        eprintln!("{steps} steps in {:?}, {seen:?}", begun.elapsed());
        if first.is_none() {
            // What is never seen is not tested.
            assert!(
                seen.complete > 100 && seen.cut > 10 && seen.chunked > 10 && seen.undecided > 10,
                "{seen:?}"
            );
            assert!(seen.bodies > 10 && seen.behind > 10 && seen.early > 10, "{seen:?}");
        }
    });
}

/// What has happened, to know that it was tried.
#[derive(Debug, Default)]
struct Seen {
    complete: u64,
    cut: u64,
    chunked: u64,
    undecided: u64,
    bodies: u64,
    behind: u64,
    /// Answered before its body had come.
    early: u64,
}

/// Small and good enough (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// A request as the model has it.
struct Asked {
    is_head: bool,
    /// Its body's length is not known before its end.
    is_chunked: bool,
    body: Vec<u8>,
}

/// What was answered to a request.
#[derive(Debug, Default)]
struct Answered {
    status: u16,
    body: Vec<u8>,
    /// It broke off, or ends the connection.
    is_last: bool,
    is_complete: bool,
    is_head: bool,
    /// It ended before the request's body had come, and how much of that was left was not known when its head left.
    is_early: bool,
}

/// An answer that is being given.
struct Job {
    id: usize,
    /// What of it the client may have without taking any.
    credit: usize,
    total: usize,
    given: usize,
    has_head: bool,
    announces: bool,
    /// It breaks off there.
    breaks_at: Option<usize>,
    /// What of the request's body is taken now; none if it has come whole.
    room: Option<usize>,
    received: Vec<u8>,
    has_whole_body: bool,
    is_cancelled: bool,
}

/// What answers, as the seed has it.
struct Script {
    random: Random,
    asked: Vec<Asked>,
    answered: BTreeMap<usize, Answered>,
    /// Requests that may perhaps begin, and those that have been through that.
    undecided: Vec<(Key, usize)>,
    decided: BTreeSet<usize>,
    /// In the order in which they began, so that a seed always leads to the same.
    jobs: Vec<(Key, Job)>,
}

fn content(id: usize, length: usize) -> Vec<u8> {
    (0..length).map(|index| (id * 31 + index * 7) as u8).collect()
}

impl Script {
    fn find(&mut self, key: Key) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|(other, _)| *other == key).map(|(_, job)| job)
    }

    fn job(&mut self, key: Key) -> &mut Job {
        self.find(key).expect("a job of this exchange")
    }

    fn begin(&mut self, turn: &mut Turn, key: Key, id: usize, room: Option<usize>) {
        let total = match self.random.below(5) {
            0 => 0,
            1 => self.random.below(100),
            2 | 3 => self.random.below(20_000),
            _ => self.random.below(300_000),
        };
        let breaks_at = self.random.one_in(12).then(|| self.random.below(total + 1));
        let exchange = turn.exchanges.get_mut(key).expect("it has just begun");
        // As long as this works for it.
        exchange.responder = Responder::Queued { since_ms: 0 };
        let credit = if exchange.is_behind { 8 * 1024 } else { 256 * 1024 };
        let job = Job {
            id,
            credit,
            total,
            given: 0,
            has_head: false,
            announces: self.random.one_in(2),
            breaks_at,
            room,
            received: Vec::new(),
            has_whole_body: room.is_none(),
            is_cancelled: false,
        };
        self.jobs.push((key, job));
    }

    /// Hears what the client has told.
    fn listen(&mut self, turn: &mut Turn) {
        for note in std::mem::take(&mut turn.notes) {
            match note {
                Note::Taken(key) => {
                    if let Some(job) = self.find(key) {
                        job.credit = 256 * 1024;
                    }
                }
                Note::Closed(_) => {}
                // Or it has just ended.
                Note::Cancelled(key) => {
                    if let Some(job) = self.find(key) {
                        job.is_cancelled = true;
                    }
                }
            }
        }
    }

    /// Does something for one of the jobs.
    fn act(&mut self, turn: &mut Turn, clients: &mut One, seen: &mut Seen) {
        if !self.undecided.is_empty() && self.random.one_in(3) {
            let (key, id) = self.undecided.swap_remove(self.random.below(self.undecided.len()));
            self.decided.insert(id);
            turn.with_client(clients, key, |client, turn| client.on_decided(turn));
            seen.undecided += 1;
        }
        if self.jobs.is_empty() {
            return;
        }
        let index = self.random.below(self.jobs.len());
        let key = self.jobs[index].0;
        let more = 1 + self.random.below(40_000);
        if let Some(room) = &mut self.job(key).room
            && *room == 0
        {
            *room = more;
            turn.with_client(clients, key, |client, turn| client.on_room(turn, key));
            return;
        }
        let piece = self.random.below(60_000);
        let job = self.job(key);
        if job.is_cancelled {
            self.finish(turn, key);
            return;
        }
        let limit = job.breaks_at.unwrap_or(job.total);
        let (id, length) = (job.id, piece.min(limit - job.given).min(job.credit));
        let bytes = content(id, job.total)[job.given..job.given + length].to_vec();
        job.given += length;
        job.credit -= length;
        let (is_all, breaks) = (job.given == limit, job.breaks_at.is_some());
        let (announces, total, is_first) = (job.announces, job.total, !job.has_head);
        job.has_head = true;
        if is_first && !job.has_whole_body {
            seen.early += 1;
        }
        // One that breaks off may also say that it has ended, although more was announced.
        let is_short = breaks && announces && limit < total && self.random.one_in(2);
        let end = is_all && (!breaks || is_short);
        if is_first {
            let mut lines = b"Content-Type: x/y\r\n".to_vec();
            if announces {
                lines.extend_from_slice(format!("Content-Length: {total}\r\n").as_bytes());
            }
            let facts = check_block(&lines).expect("they are well-formed");
            let head = ResponseHead { facts, ..ResponseHead::new(200, &lines) };
            turn.with_client(clients, key, |client, turn| {
                deliver::head(turn, client, key, &head, &bytes, end);
            });
        } else {
            turn.with_client(clients, key, |client, turn| {
                deliver::part(turn, client, key, &bytes, end);
            });
        }
        // An announced body that is whole has ended, whatever comes.
        let is_head = self.asked[id].is_head;
        // Nor has a body that nobody gets an end that comes too early.
        let breaks = breaks && !(is_short && is_head);
        let breaks = breaks && !(announces && limit == total && is_all && !is_head);
        if is_all {
            if breaks && !is_short {
                turn.with_client(clients, key, |client, turn| deliver::abort(turn, client, key));
            }
            seen.cut += u64::from(breaks);
            let body = content(id, total)[..limit].to_vec();
            let is_known = is_first && end && !self.asked[id].is_chunked;
            let is_early = !is_known && !self.job(key).has_whole_body;
            let (is_last, is_complete) = (breaks, !breaks);
            let answered = Answered { status: 200, body, is_last, is_complete, is_head, is_early };
            self.answered.insert(id, answered);
            self.finish(turn, key);
        }
    }

    fn finish(&mut self, turn: &mut Turn, key: Key) {
        self.jobs.retain(|(other, _)| *other != key);
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            exchange.responder = Responder::None;
        }
        turn.release(key);
    }
}

impl Respond for Script {
    fn start(&mut self, turn: &mut Turn, key: Key, request: &mut Request<'_>) -> Start {
        let path = request.head.path.of(request.bytes);
        let id: usize = String::from_utf8_lossy(&path[1..]).parse().expect("the model asks so");
        let has_body = request.head.body != gwanmun_http1::Body::None;
        // It may be asked again before that is known.
        if self.undecided.iter().any(|(own, _)| *own == key) {
            return Start::Undecided;
        }
        if !self.decided.contains(&id) && self.random.one_in(6) {
            self.undecided.push((key, id));
            return Start::Undecided;
        }
        let Asked { is_head, is_chunked: is_early, .. } = self.asked[id];
        match self.random.below(8) {
            0 => {
                let status = [204, 404, 503][self.random.below(3)];
                let body = Vec::new();
                let (is_last, is_complete) = (false, true);
                let answered = Answered { status, body, is_last, is_complete, is_head, is_early };
                self.answered.insert(id, answered);
                Start::Answer(Answer::page(status))
            }
            1 => {
                let length = self.random.below(3000);
                let body = "x".repeat(length);
                let answered = Answered {
                    status: 200,
                    body: body.clone().into_bytes(),
                    is_last: false,
                    is_complete: true,
                    is_head,
                    is_early,
                };
                self.answered.insert(id, answered);
                Start::Answer(Answer::Content {
                    status: 200,
                    content_type: "x/y",
                    lines: b"",
                    body,
                })
            }
            2 if self.random.one_in(6) => {
                let answered = Answered {
                    status: 413,
                    is_last: true,
                    is_complete: true,
                    is_head,
                    ..Answered::default()
                };
                self.answered.insert(id, answered);
                Start::Refused(413, "the seed wants it")
            }
            // What is longer would go to a file.
            2..=4 if has_body && self.asked[id].body.len() <= 60_000 => {
                Start::Collect { limit: 1 << 20 }
            }
            _ if has_body => {
                self.begin(turn, key, id, Some(0));
                Start::Pass { limit: 1 << 20 }
            }
            _ => {
                self.begin(turn, key, id, None);
                Start::Started
            }
        }
    }

    fn proceed(&mut self, turn: &mut Turn, key: Key, length: u64) -> Option<Answer> {
        let exchange = turn.exchanges.get_mut(key)?;
        let body = match std::mem::replace(&mut exchange.body, crate::exchange::RequestBody::None) {
            crate::exchange::RequestBody::Memory(bytes) => bytes,
            _ => Vec::new(),
        };
        assert_eq!(body.len() as u64, length);
        let id = self.asked.iter().position(|asked| !asked.body.is_empty() && asked.body == body);
        let id = id.expect("one of the bodies that were sent");
        self.begin(turn, key, id, None);
        None
    }

    fn room(&mut self, _: &mut Turn, key: Key) -> usize {
        self.find(key).and_then(|job| job.room).unwrap_or_default()
    }

    fn body(&mut self, _: &mut Turn, key: Key, bytes: &[u8], end: bool) {
        let Self { asked, jobs, .. } = self;
        let job = jobs.iter_mut().find(|(other, _)| *other == key).map(|(_, job)| job);
        let Some(job) = job else { return };
        let room = job.room.as_mut().expect("it is passed on");
        assert!(bytes.len() <= *room, "more than there is room for");
        *room -= bytes.len();
        job.received.extend_from_slice(bytes);
        let body = &asked[job.id].body;
        assert!(body.starts_with(&job.received), "another body");
        if end {
            assert_eq!(body.len(), job.received.len());
            job.has_whole_body = true;
        }
    }

    fn receive(
        &mut self,
        _: &mut Turn,
        _: Key,
        _: BorrowedFd<'_>,
        _: usize,
        _: u64,
    ) -> Option<io::Result<Transfer>> {
        None
    }
}

/// The only client.
struct One(Connection);

impl Clients for One {
    type Client = Connection;

    fn client(&mut self, _: Key) -> Option<&mut Connection> {
        if self.0.is_closed() { None } else { Some(&mut self.0) }
    }
}

const KEY: Key = Key { index: 0, generation: 0 };
const QUIET: Readiness =
    Readiness { readable: false, writable: false, read_closed: false, gone: false };

/// One connection's life. Gives how many steps it took.
fn play(turn: &mut Turn, seed: u64, seen: &mut Seen) -> u64 {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (asked, mut input) = requests(&mut random, seen);
    turn.number = 0;
    let local = Local { is_unix: true, ..Local::default() };
    let peer = Peer { addr: Box::from(""), port: 0, local: Rc::new(local) };
    let transport = Transport::Memory(Box::default());
    let mut one = One(Connection::new(KEY, transport, peer, turn));
    let mut script = Script {
        random: Random(random.next() | 1),
        asked,
        answered: BTreeMap::new(),
        undecided: Vec::new(),
        decided: BTreeSet::new(),
        jobs: Vec::new(),
    };
    let mut steps = 0;
    let mut idle = 0;
    while !one.0.is_closed() {
        steps += 1;
        assert!(steps < 1_000_000, "it comes to no end");
        let was = (script.answered.len(), input.len(), memory(&one).received.len());
        match random.below(4) {
            0 if !input.is_empty() => {
                let count = 1 + random.below(input.len().min(30_000));
                let piece: Vec<u8> = input.drain(..count).collect();
                memory_of(&mut one).sent.extend(piece);
                let readiness = Readiness { readable: true, ..QUIET };
                one.0.on_event(turn, &mut script, readiness);
            }
            0 if idle > 100 && script.jobs.is_empty() && !memory(&one).is_ended => {
                memory_of(&mut one).is_ended = true;
                let readiness = Readiness { readable: true, read_closed: true, ..QUIET };
                one.0.on_event(turn, &mut script, readiness);
            }
            1 => {
                memory_of(&mut one).room += random.below(50_000);
                one.0.on_event(turn, &mut script, Readiness { writable: true, ..QUIET });
            }
            2 => script.act(turn, &mut one, seen),
            _ => settle(turn, &mut one, &mut script),
        }
        seen.behind += u64::from(script.jobs.len() > 1);
        let held = one.0.holds(turn);
        assert!(held.bytes <= BOUND && held.files <= 16, "{held:?} is held");
        let is = (script.answered.len(), input.len(), memory(&one).received.len());
        idle = if is == was { idle + 1 } else { 0 };
    }
    let received = std::mem::take(&mut memory_of(&mut one).received);
    one.0.dispose(turn);
    turn.closed.clear();
    turn.dirty.clear();
    turn.yielded.clear();
    script.listen(turn);
    let keys: Vec<_> = script.jobs.iter().map(|(key, _)| *key).collect();
    for key in keys {
        script.finish(turn, key);
    }
    assert!(turn.exchanges.is_empty(), "an exchange is left");
    check(&received, &script, seen);
    steps
}

fn memory(one: &One) -> &Memory {
    match one.0.transport() {
        Transport::Memory(memory) => memory,
        _ => unreachable!("it was made so"),
    }
}

fn memory_of(one: &mut One) -> &mut Memory {
    match one.0.transport_mut() {
        Transport::Memory(memory) => memory,
        _ => unreachable!("it was made so"),
    }
}

fn settle(turn: &mut Turn, one: &mut One, script: &mut Script) {
    turn.number = turn.number.wrapping_add(1);
    script.listen(turn);
    turn.dirty.clear();
    one.0.settle(turn, script);
    script.listen(turn);
    if !turn.yielded.is_empty() {
        turn.yielded.clear();
        one.0.mark_dirty(turn);
    }
}

/// What the client asks, and all its bytes.
fn requests(random: &mut Random, seen: &mut Seen) -> (Vec<Asked>, Vec<u8>) {
    let (mut asked, mut bytes) = (Vec::new(), Vec::new());
    for id in 0..1 + random.below(40) {
        let is_head = random.one_in(10);
        let has_body = !is_head && random.one_in(4);
        let mut body = Vec::new();
        if has_body {
            // Bodies differ, so that each is known again.
            let longest = if random.one_in(4) { 300_000 } else { 50_000 };
            let length = random.below(longest);
            body = format!("{id}:").into_bytes();
            body.extend(content(id, length));
            seen.bodies += 1;
        }
        let method = match (is_head, has_body) {
            (true, _) => "HEAD",
            (_, true) => "POST",
            _ => "GET",
        };
        let mut head = format!("{method} /{id} HTTP/1.1\r\nHost: h\r\n");
        let is_chunked = has_body && random.one_in(2);
        if is_chunked {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            bytes.extend_from_slice(head.as_bytes());
            let mut rest = body.as_slice();
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(1 + random.below(20_000)));
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
                rest = later;
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            if has_body {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            head.push_str("\r\n");
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&body);
        }
        asked.push(Asked { is_head, is_chunked, body });
    }
    (asked, bytes)
}

/// Whether the client has got, in the order of its requests, what was answered to each.
fn check(received: &[u8], script: &Script, seen: &mut Seen) {
    let mut rest = received;
    let mut may_end = false;
    for id in 0..script.asked.len() {
        let Some(answered) = script.answered.get(&id) else {
            assert_eq!(rest, b"", "an answer to {id}, to which there is none");
            assert!(may_end, "the connection ended before {id}, and no response had said so");
            return;
        };
        if rest.is_empty() {
            // It broke off before its head had left, or the connection had ended.
            assert!(may_end || !answered.is_complete, "there is no answer to {id}");
            return;
        }
        let response = parse(rest, answered.is_head);
        seen.chunked += u64::from(response.is_chunked);
        assert_eq!(response.status, answered.status, "the answer to {id}");
        let has_page = matches!(answered.status, 404 | 503 | 413);
        if !answered.is_head && !has_page {
            if answered.is_complete {
                assert!(response.is_whole, "the answer to {id} is whole");
                assert!(response.body == answered.body, "the body of {id}");
            } else {
                assert!(!response.is_whole || response.body.len() == answered.body.len());
                assert!(answered.body.starts_with(&response.body), "the body of {id}");
            }
        }
        seen.complete += u64::from(response.is_whole);
        rest = response.rest;
        may_end = answered.is_last || answered.is_early || response.closes || !response.is_whole;
        if answered.is_last || response.closes {
            assert_eq!(rest, b"", "something behind the last answer");
            return;
        }
    }
    assert_eq!(rest, b"", "more than was asked for");
}

/// A response as the client sees it.
struct Response<'a> {
    status: u16,
    body: Cow<'a, [u8]>,
    is_chunked: bool,
    is_whole: bool,
    closes: bool,
    rest: &'a [u8],
}

fn parse(bytes: &[u8], is_head: bool) -> Response<'_> {
    let cut = |status| Response {
        status,
        body: Cow::Borrowed(b""),
        is_chunked: false,
        is_whole: false,
        closes: true,
        rest: b"",
    };
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
    let status = bytes.get(9..12).map(|text| String::from_utf8_lossy(text).into_owned());
    let status = status.and_then(|text| text.parse().ok()).unwrap_or_default();
    let Some(end) = end else { return cut(status) };
    let head = String::from_utf8_lossy(&bytes[..end + 2]).to_lowercase();
    let field = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name))?;
        Some(line[name.len()..].trim().to_owned())
    };
    let closes = field("connection:").is_some_and(|value| value == "close");
    let is_chunked = field("transfer-encoding:").is_some();
    let after = &bytes[end + 4..];
    let length: usize = field("content-length:").map_or(0, |text| text.parse().expect("a number"));
    if is_head || status == 204 || status == 304 {
        let body = Cow::Borrowed(&b""[..]);
        return Response { status, body, is_chunked, is_whole: true, closes, rest: after };
    }
    if !is_chunked {
        let there = after.len().min(length);
        let body = Cow::Borrowed(&after[..there]);
        let is_whole = there == length;
        return Response { status, body, is_chunked, is_whole, closes, rest: &after[there..] };
    }
    let (mut body, mut rest) = (Vec::new(), after);
    while let Some(line) = rest.windows(2).position(|part| part == b"\r\n") {
        let text = String::from_utf8_lossy(&rest[..line]);
        let size = usize::from_str_radix(&text, 16).expect("a chunk's size");
        rest = &rest[line + 2..];
        let there = size.min(rest.len());
        body.extend_from_slice(&rest[..there]);
        rest = &rest[there..];
        if rest.len() < 2 || there < size {
            break;
        }
        rest = &rest[2..];
        if size == 0 {
            let body = Cow::Owned(body);
            return Response { status, body, is_chunked, is_whole: true, closes, rest };
        }
    }
    Response { body: Cow::Owned(body), is_chunked, ..cut(status) }
}
