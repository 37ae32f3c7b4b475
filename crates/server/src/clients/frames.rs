//! A second protocol and a second kind of answer, which are there to show that neither needs a change of the rest: frames over a socketpair, served by the
//! files that HTTP/1's clients get, and an echo, which any protocol gets.

use crate::config::Config;
use crate::exchange::answer::Answer;
use crate::exchange::seam::{Body, Client, Clients, Request, Respond, Start};
use crate::exchange::turn::Turn;
use crate::exchange::{Exchange, RequestBody, ResponseState, deliver};
use crate::filters::head::ResponseHead;
use crate::generation::Generation;
use crate::mounts::Mounts;
use crate::peer::{Local, Peer};
use crate::server::tests::{config, on_thread};
use crate::shared::message::Message;
use crate::thread::Thread;
use gwanmun_files::fetch;
use gwanmun_http1::parse_request;
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll;
use gwanmun_sys::syscall::Transfer;
use serde_json::json;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

#[test]
fn files_are_served_over_another_protocol() {
    let folder = std::env::temp_dir().join(format!("gwanmun-frames-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("folder")).unwrap();
    std::fs::write(folder.join("a.txt"), "0123456789").unwrap();
    let own = folder.clone();
    on_thread(move |Thread { turn, mounts, .. }| {
        let files = json!([{ "path": "/", "files": { "root": own, "index": [] } }]);
        let config = Config { mounts: serde_json::from_value(files).unwrap(), ..config() };
        turn.generation = Rc::new(Arc::new(Generation::new(&config, None).unwrap()));
        mounts.renew(turn);
        // Looked for by a blocking thread, and then known.
        for _ in 0..2 {
            let whole = ask(turn, mounts, "GET /a.txt", "");
            assert_eq!((whole.status, whole.body.as_slice()), (200, &b"0123456789"[..]));
            assert!(whole.lines.contains("Content-Length: 10\r\n"), "{}", whole.lines);
            assert_eq!(whole.end, Some(b'E'));
            let tag = whole.lines.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
            let known = ask(turn, mounts, "GET /a.txt", &format!("If-None-Match: {tag}\r\n"));
            assert_eq!((known.status, known.body.as_slice()), (304, &b""[..]));
            let part = ask(turn, mounts, "GET /a.txt", "Range: bytes=2-4\r\n");
            assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
            let parts = ask(turn, mounts, "GET /a.txt", "Range: bytes=0-0,9-9\r\n");
            assert!(parts.status == 206 && parts.lines.contains("multipart/byteranges"));
            let head = ask(turn, mounts, "HEAD /a.txt", "");
            assert_eq!((head.status, head.body.as_slice()), (200, &b""[..]));
            let missing = ask(turn, mounts, "GET /b.txt", "");
            assert_eq!((missing.status, missing.end), (404, Some(b'E')));
            let slash = ask(turn, mounts, "GET /folder", "");
            assert!(slash.status == 301 && slash.lines.contains("Location: /folder/\r\n"));
            assert_eq!(ask(turn, mounts, "POST /a.txt", "").status, 405);
        }
        assert!(turn.exchanges.is_empty(), "an exchange is left");
    });
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn another_kind_of_answer_needs_no_other_protocol() {
    on_thread(|Thread { turn, .. }| {
        let echo = &mut Echo::default();
        let collected = ask(turn, echo, "POST /collect", "Content-Length: 5\r\n\r\nabcde");
        assert_eq!((collected.status, collected.body.as_slice()), (200, &b"abcde"[..]));
        // Two bytes at a time, as there is room.
        let passed = ask(turn, echo, "POST /pass", "Content-Length: 5\r\n\r\nabcde");
        assert_eq!((passed.body.as_slice(), passed.end), (&b"abcde"[..], Some(b'E')));
        let cut = ask(turn, echo, "GET /cut", "");
        assert_eq!((cut.body.as_slice(), cut.end), (&b"half"[..], Some(b'A')));
        let refused = ask(turn, echo, "GET /refused", "");
        assert_eq!((refused.status, refused.end), (400, Some(b'E')));
        assert!(turn.exchanges.is_empty(), "an exchange is left");
    });
}

/// What a client of frames gets.
#[derive(Debug, Default)]
struct Got {
    status: u16,
    lines: String,
    body: Vec<u8>,
    /// `E`: the end. `A`: it broke off.
    end: Option<u8>,
}

/// Asks over a socketpair, and drives both ends until there is an answer.
fn ask<R: Respond + Later>(turn: &mut Turn, respond: &mut R, line: &str, rest: &str) -> Got {
    let (own, mut far) = UnixStream::pair().unwrap();
    let end = if rest.contains("\r\n\r\n") { "" } else { "\r\n" };
    let request = format!("{line} HTTP/1.1\r\nHost: h\r\n{rest}{end}");
    far.write_all(&(request.len() as u32).to_le_bytes()).unwrap();
    far.write_all(request.as_bytes()).unwrap();
    let local = Local { is_unix: true, ..Local::default() };
    let peer = Peer { addr: Box::from(""), port: 0, local: Rc::new(local) };
    let mut one = One(Frames { socket: own, peer, exchange: None, upload: None, is_over: false });
    one.0.start(turn, respond);
    while !one.0.is_over {
        one.0.pass_on(turn, respond);
        respond.later(turn, &mut one);
    }
    let exchange = one.0.exchange.unwrap();
    turn.leave(exchange);
    turn.notes.clear();
    drop(one);
    let mut got = Got::default();
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    while let [kind, a, b, c, d, more @ ..] = rest {
        let (payload, after) = more.split_at(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
        match kind {
            b'H' => {
                got.status = u16::from_le_bytes([payload[0], payload[1]]);
                got.lines = String::from_utf8_lossy(&payload[2..]).into_owned();
            }
            b'D' => got.body.extend_from_slice(payload),
            end => got.end = Some(*end),
        }
        rest = after;
    }
    got
}

/// What comes without a client's doing.
trait Later {
    fn later(&mut self, turn: &mut Turn, clients: &mut One);
}

impl Later for Mounts {
    fn later(&mut self, turn: &mut Turn, clients: &mut One) {
        turn.epoll.wait(&mut epoll::no_events(), 1000).unwrap();
        let shared = Rc::clone(&turn.shared);
        for message in shared.mailboxes[turn.thread].take() {
            if let Message::Found { generation, mount, path, found } = message {
                let sight = (&generation, mount, &*path);
                self.on_found(turn, clients, sight, &found);
            }
        }
    }
}

/// A client of a protocol of frames: kind, length, payload. It asks once.
struct Frames {
    socket: UnixStream,
    peer: Peer,
    exchange: Option<Key>,
    /// What of the body has not been passed on.
    upload: Option<Vec<u8>>,
    is_over: bool,
}

impl Frames {
    fn start(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).unwrap();
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        self.socket.read_exact(&mut bytes).unwrap();
        let headers = &mut Vec::new();
        let head = parse_request(&bytes, &turn.generation.head_limits, headers).unwrap().unwrap();
        let key = turn.open(KEY, &self.peer, false, &bytes, &head, headers);
        self.exchange = Some(key);
        let body = bytes[head.len..].to_vec();
        let peer = &self.peer;
        let mut request = Request { peer, socket: None, bytes: &bytes, head: &head, headers };
        match respond.start(turn, key, &mut request) {
            Start::Started => {}
            Start::Undecided => unreachable!("nobody asks for a password"),
            Start::Answer(answer) => turn.answer(self, key, answer),
            Start::Refused(status, why) => turn.refuse(self, key, status, why),
            Start::Collect { .. } => {
                let length = body.len() as u64;
                turn.exchanges.get_mut(key).unwrap().body = RequestBody::Memory(body);
                if let Some(answer) = respond.proceed(turn, key, length) {
                    turn.answer(self, key, answer);
                }
            }
            Start::Pass { .. } => self.upload = Some(body),
        }
    }

    fn pass_on(&mut self, turn: &mut Turn, respond: &mut dyn Respond) {
        let (Some(key), Some(body)) = (self.exchange, &mut self.upload) else { return };
        let room = respond.room(turn, key).min(body.len());
        let rest = body.split_off(room);
        if room > 0 {
            respond.body(turn, key, body, rest.is_empty());
        }
        self.upload = Some(rest).filter(|rest| !rest.is_empty());
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) {
        self.socket.write_all(&[kind]).unwrap();
        self.socket.write_all(&(payload.len() as u32).to_le_bytes()).unwrap();
        self.socket.write_all(payload).unwrap();
    }

    fn finish(&mut self, turn: &mut Turn, key: Key, state: ResponseState, kind: u8) {
        turn.exchanges.get_mut(key).unwrap().response.state = state;
        self.frame(kind, b"");
        self.is_over = true;
    }
}

impl Client for Frames {
    fn peer(&self) -> &Peer {
        &self.peer
    }

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
        let mut payload = head.status.to_le_bytes().to_vec();
        turn.exchanges.get(key).unwrap().write_fields(&mut payload, &turn.clock, head);
        self.frame(b'H', &payload);
        self.body(turn, key, body, end);
    }

    fn body(&mut self, turn: &mut Turn, key: Key, body: Body<'_>, end: bool) {
        match body {
            Body::Bytes(bytes) => self.frame(b'D', bytes),
            Body::Entry(_, start, end) if start == end => {}
            Body::Entry(entry, start, end) => match &entry.content {
                Some(content) => self.frame(b'D', &content[start as usize..end as usize]),
                None => {
                    let file = entry.held().expect("what is not in memory is open");
                    self.frame(b'D', &fetch(file, start, (end - start) as usize).unwrap());
                }
            },
            Body::Passed(..) => unreachable!("no application passes one"),
        }
        if end {
            self.finish(turn, key, ResponseState::Complete, b'E');
        }
    }

    fn informational(&mut self, _: &mut Turn, _: Key, _: u16, _: &[u8]) {}

    fn abort(&mut self, turn: &mut Turn, key: Key) {
        self.finish(turn, key, ResponseState::Broken, b'A');
    }

    fn on_decided(&mut self, _: &mut Turn) {}

    fn on_room(&mut self, _: &mut Turn, _: Key) {}
}

const KEY: Key = Key { index: 0, generation: 0 };

struct One(Frames);

impl Clients for One {
    type Client = Frames;

    fn client(&mut self, _: Key) -> Option<&mut Frames> {
        Some(&mut self.0)
    }
}

/// Answers with the request's body, some of it at a time.
#[derive(Default)]
struct Echo {
    key: Option<Key>,
    received: Vec<u8>,
    is_whole: bool,
}

impl Respond for Echo {
    fn start(&mut self, turn: &mut Turn, key: Key, request: &mut Request<'_>) -> Start {
        *self = Self { key: Some(key), ..Self::default() };
        let exchange = turn.exchanges.get_mut(key).unwrap();
        exchange.started = turn.clock.now();
        match request.head.path.of(request.bytes) {
            b"/collect" => Start::Collect { limit: 100 },
            b"/pass" => Start::Pass { limit: 100 },
            b"/cut" => Start::Started,
            _ => Start::Refused(400, "the test wants it"),
        }
    }

    fn proceed(&mut self, turn: &mut Turn, key: Key, _: u64) -> Option<Answer> {
        let exchange = turn.exchanges.get_mut(key)?;
        let RequestBody::Memory(body) = std::mem::replace(&mut exchange.body, RequestBody::None)
        else {
            return None;
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        Some(Answer::Content { status: 200, content_type: "text/plain", lines: b"", body })
    }

    fn room(&mut self, _: &mut Turn, _: Key) -> usize {
        2
    }

    fn body(&mut self, _: &mut Turn, _: Key, bytes: &[u8], end: bool) {
        assert!(bytes.len() <= 2, "more than there is room for");
        self.received.extend_from_slice(bytes);
        self.is_whole = end;
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

impl Later for Echo {
    fn later(&mut self, turn: &mut Turn, clients: &mut One) {
        let Some(key) = self.key else { return };
        let head = ResponseHead::new(200, b"Content-Type: text/plain\r\n");
        if self.is_whole {
            let body = std::mem::take(&mut self.received);
            turn.with_client(clients, key, |client, turn| {
                deliver::head(turn, client, key, &head, &body, true);
            });
        } else if self.received.is_empty() {
            turn.with_client(clients, key, |client, turn| {
                deliver::head(turn, client, key, &head, b"half", false);
                deliver::abort(turn, client, key);
            });
        }
    }
}
