//! Requests of the core's own: they are answered as a client's are, as fast as the answer is taken, and can be given up at any moment.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use gwanmun_gateway::frame::{self, FrameReader, Kind, read_u32, whole_frames};
use gwanmun_server::config::Config;
use gwanmun_server::{Event, GivenTls, Part, Server, TaskRequest};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

const LARGE: usize = 3 * 1024 * 1024;
/// What a worker may send ahead, what a task hands on ahead, and a frame.
const AHEAD: usize = 256 * 1024 + 64 * 1024 + 64 * 1024;

#[test]
fn a_file_is_answered_whole_in_pieces() {
    let folder = Folder::new();
    let content: Vec<u8> = (0..LARGE).map(|index| (index % 251) as u8).collect();
    fs::write(folder.0.join("large.bin"), &content).unwrap();
    fs::write(folder.0.join("small.txt"), "small").unwrap();
    let (server, _events) =
        server(json!([{ "path": "/", "files": { "root": folder.0, "index": [] } }]));
    // What the cache does not know yet, and what it knows.
    for _ in 0..2 {
        let (head, body, complete) = whole(&server, get("/large.bin"));
        assert!(head.starts_with("200 Date: "), "{head}");
        assert!(head.contains("\r\nContent-Type: application/octet-stream\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {LARGE}\r\n")), "{head}");
        assert!(body == content && complete);
        let (head, body, complete) = whole(&server, get("/small.txt"));
        assert!(head.contains("Content-Length: 5\r\n"), "{head}");
        assert_eq!((body.as_slice(), complete), (&b"small"[..], true));
    }
    let (head, _, complete) = whole(&server, get("/missing"));
    assert!(head.starts_with("404 ") && complete, "{head}");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let (server, _events) = server(json!([]));
    let (head, _, complete) = whole(&server, get("no path"));
    assert!(head.starts_with("400 ") && complete, "{head}");
}

#[test]
fn w58_a_204_says_no_length_to_a_task_either() {
    let (server, _worker) = with_worker();
    let (head, body, complete) = whole(&server, get("/empty"));
    assert!(head.starts_with("204 Date: ") && !head.contains("Content-Length"), "{head}");
    assert!(body.is_empty() && complete);
}

#[test]
fn an_application_answers_no_faster_than_is_taken() {
    let (server, worker) = with_worker();
    let mut parts = server.ask(get("/large"));
    assert!(matches!(parts.next(), Some(Part::Head { status: 200, .. })));
    // Nothing is taken: the worker comes to the end of its credit.
    assert_eq!(worker.heard(), Heard::Blocked);
    assert!(worker.sent.load(Ordering::SeqCst) <= AHEAD);
    let mut received = 0;
    let mut last = None;
    for part in &mut parts {
        if let Part::Body(bytes) = &part {
            received += bytes.len();
        }
        last = Some(part);
    }
    assert_eq!((received, last), (LARGE, Some(Part::End { complete: true })));
}

#[test]
fn the_application_is_told_when_nobody_wants_the_rest() {
    let (server, worker) = with_worker();
    let mut parts = server.ask(get("/large"));
    assert!(matches!(parts.next(), Some(Part::Head { .. })));
    assert!(matches!(parts.next(), Some(Part::Body(_))));
    drop(parts);
    assert_eq!(worker.until_reset(), Heard::Reset);
    let again = whole(&server, get("/hello"));
    assert_eq!((again.1.as_slice(), again.2), (&b"hello"[..], true));
}

#[test]
fn an_answer_that_does_not_come_is_given_up_in_time() {
    let (server, worker) = with_worker();
    let request = TaskRequest { timeout: Duration::from_millis(50), ..get("/never") };
    let parts: Vec<_> = server.ask(request).collect();
    assert_eq!(parts, [Part::End { complete: false }]);
    assert_eq!(worker.until_reset(), Heard::Reset);
}

#[test]
fn a_body_crosses_with_the_request() {
    let (server, _worker) = with_worker();
    for body in [&b"short"[..], &vec![b'x'; 100_000]] {
        let request = TaskRequest { method: "POST".into(), body: body.into(), ..get("/echo") };
        let (_, answer, complete) = whole(&server, request);
        assert!(answer == body && complete);
    }
    let request = TaskRequest { method: "POST".into(), body: vec![0; LARGE], ..get("/echo") };
    let (head, ..) = whole(&server, request);
    assert!(head.starts_with("413 "), "{head}");
}

#[test]
fn what_is_in_progress_is_cut_when_the_server_closes() {
    let (server, _worker) = with_worker();
    let parts = server.ask(get("/never"));
    server.close(Duration::ZERO);
    assert_eq!(parts.collect::<Vec<_>>(), [Part::End { complete: false }]);
}

fn get(target: &str) -> TaskRequest {
    TaskRequest {
        method: "GET".into(),
        target: target.into(),
        headers: vec![("X-Asked-By".into(), "the core".into())],
        body: Vec::new(),
        timeout: Duration::from_secs(60),
    }
}

/// The status with the header lines, the body, and whether it is complete.
fn whole(server: &Server, request: TaskRequest) -> (String, Vec<u8>, bool) {
    let (mut head, mut body, mut is_complete) = (String::new(), Vec::new(), false);
    for part in server.ask(request) {
        match part {
            Part::Head { status, lines, .. } => {
                head = format!("{status} {}", String::from_utf8_lossy(&lines));
            }
            Part::Body(bytes) => body.extend(bytes),
            Part::End { complete } => is_complete = complete,
        }
    }
    (head, body, is_complete)
}

fn server(mounts: Value) -> (Server, mpsc::Receiver<Event>) {
    let config: Config = serde_json::from_value(json!({
        "threads": 1,
        "listen": [{ "kind": "tcp", "host": "127.0.0.1", "port": 0 }],
        "mounts": mounts,
        "pools": [{ "queue": 10, "queueTimeoutMs": 60_000, "requestTimeoutMs": 0 }],
        "limits": { "requestLine": 8192, "headerBytes": 8192, "headerCount": 10, "body": 1024 * 1024, "bodyInMemory": 65536, "minRate": 240 },
        "timeouts": { "headerMs": 10_000, "bodyMs": 10_000, "keepAliveMs": 10_000, "writeMs": 10_000 },
        "serverHeader": null,
        "accessLog": { "format": "off", "color": false },
        "errorLog": { "level": "error" },
        "tempDir": std::env::temp_dir(),
        "multiprocess": false,
    }))
    .unwrap();
    let (events, received) = mpsc::channel();
    let server =
        Server::start(&config, &GivenTls::default(), move |event| drop(events.send(event)))
            .unwrap();
    (server, received)
}

fn with_worker() -> (Server, Worker) {
    let (server, events) = server(json!([{ "path": "/", "application": 0 }]));
    let mut ends = server.add_worker(0).unwrap();
    let link = UnixStream::from(ends.links.pop().unwrap());
    link.set_nonblocking(false).unwrap();
    let (heard, received) = mpsc::channel();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    thread::spawn(move || serve(link, &heard, &counter));
    assert!(matches!(events.recv().unwrap(), Event::WorkerReady { .. }));
    (server, Worker { heard: received, sent, _memory: ends.memory })
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// There is no credit for more.
    Blocked,
    Reset,
}

struct Worker {
    heard: mpsc::Receiver<Heard>,
    /// Bytes of bodies.
    sent: Arc<AtomicUsize>,
    _memory: std::os::fd::OwnedFd,
}

impl Worker {
    fn heard(&self) -> Heard {
        self.heard.recv_timeout(Duration::from_secs(60)).expect("the worker hears something")
    }

    fn until_reset(&self) -> Heard {
        loop {
            match self.heard() {
                Heard::Blocked => {}
                Heard::Reset => return Heard::Reset,
            }
        }
    }
}

/// A request that a worker has.
struct Open {
    path: String,
    received: Vec<u8>,
    left: usize,
    credit: usize,
}

/// The worker's side of a link.
fn serve(mut link: UnixStream, heard: &mpsc::Sender<Heard>, sent: &AtomicUsize) {
    let mut out = Vec::new();
    let mut hello = Vec::new();
    for value in [1u32, 1, 8, 0] {
        hello.extend(value.to_le_bytes());
    }
    frame::write(&mut out, Kind::Hello, 0, 0, 0, &hello);
    frame::write(&mut out, Kind::Ready, 0, 0, 0, &[]);
    link.write_all(&out).unwrap();
    let mut open: HashMap<u32, Open> = HashMap::new();
    let (mut input, mut buffer) = (Vec::new(), vec![0; 65536]);
    loop {
        let count = link.read(&mut buffer).unwrap_or_default();
        if count == 0 {
            return;
        }
        input.extend_from_slice(&buffer[..count]);
        let length = whole_frames(&input).unwrap();
        let frames: Vec<u8> = input.drain(..length).collect();
        let mut reader = FrameReader::new(&frames);
        let mut out = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            let stream = frame.stream;
            match frame.kind {
                Kind::Head => {
                    let path = path_of(frame.payload);
                    open.insert(
                        stream,
                        Open { path, received: Vec::new(), left: 0, credit: 256 * 1024 },
                    );
                    if frame.ends() {
                        begin(&mut out, &mut open, stream);
                    }
                }
                Kind::Data => {
                    open.get_mut(&stream).unwrap().received.extend_from_slice(frame.payload);
                    if frame.ends() {
                        begin(&mut out, &mut open, stream);
                    }
                }
                Kind::Credit => {
                    // For one that has just ended it is too late.
                    if let Some(open) = open.get_mut(&stream) {
                        open.credit += frame.extra as usize;
                    }
                }
                Kind::Reset => {
                    open.remove(&stream);
                    frame::write(&mut out, Kind::Reset, 0, stream, 2, &[]);
                    let _ = heard.send(Heard::Reset);
                }
                _ => {}
            }
            let is_over = go_on(&mut out, open.get_mut(&stream), stream, heard, sent);
            if is_over {
                open.remove(&stream);
            }
        }
        let _ = link.write_all(&out);
    }
}

/// Begins the response of a request that is complete.
fn begin(out: &mut Vec<u8>, open: &mut HashMap<u32, Open>, stream: u32) {
    let request = open.get_mut(&stream).unwrap();
    let body = match request.path.as_str() {
        "/never" => return,
        "/large" => {
            request.left = LARGE;
            Vec::new()
        }
        "/echo" => std::mem::take(&mut request.received),
        "/empty" => Vec::new(),
        _ => b"hello".to_vec(),
    };
    let (status, lines) = match request.path.as_str() {
        "/empty" => (204, &b"Content-Length: 0\r\n"[..]),
        _ => (200, &b"Content-Type: text/plain\r\n"[..]),
    };
    let mut payload = Vec::new();
    payload.extend((lines.len() as u32).to_le_bytes());
    payload.extend(0u32.to_le_bytes());
    payload.extend_from_slice(lines);
    frame::write(out, Kind::Head, 0, stream, status, &payload);
    for piece in body.chunks(32 * 1024) {
        request.credit -= piece.len();
        frame::write(out, Kind::Data, 0, stream, 0, piece);
    }
    if request.left == 0 {
        frame::write(out, Kind::End, 1, stream, 0, &[]);
        open.remove(&stream);
    }
}

/// Sends what there is credit for. Gives whether the response is complete.
fn go_on(
    out: &mut Vec<u8>,
    open: Option<&mut Open>,
    stream: u32,
    heard: &mpsc::Sender<Heard>,
    sent: &AtomicUsize,
) -> bool {
    let Some(open) = open else { return false };
    if open.left == 0 {
        return false;
    }
    while open.left > 0 && open.credit > 0 {
        let length = open.left.min(open.credit).min(32 * 1024);
        frame::write(out, Kind::Data, 0, stream, 0, &vec![b'x'; length]);
        open.left -= length;
        open.credit -= length;
        sent.fetch_add(length, Ordering::SeqCst);
    }
    if open.left > 0 {
        let _ = heard.send(Heard::Blocked);
        return false;
    }
    frame::write(out, Kind::End, 1, stream, 0, &[]);
    true
}

/// PATH_INFO of a HEAD, by its offsets.
fn path_of(head: &[u8]) -> String {
    let (text, pair) = (read_u32(head, 28), read_u32(head, 48));
    let (start, end) = (text + (pair >> 16), text + (pair & 0xffff));
    String::from_utf8_lossy(&head[start as usize..end as usize]).into_owned()
}

/// A folder for a test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("gwanmun-task-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
