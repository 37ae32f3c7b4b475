//! The table of `test/http/cases.txt` against the parser: every case whole and split, every pair of requests as a pipeline,
//! and random pipelines split at random.

#![expect(clippy::unwrap_used, reason = "a table that cannot be read fails the test")]

use gwanmun_http1::{Body, Chunk, ChunkedDecoder, Limits, TargetForm, parse_request, path};

const TABLE: &str = include_str!("../../../test/http/cases.txt");
/// Follows every refused request; it must never be read.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: inside\r\n\r\n";
/// A line of an input beyond which not every split is tried.
const LONG: usize = 600;

/// What becomes of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Request { method: Vec<u8>, target: Vec<u8>, body: Vec<u8> },
    Refused(u16),
    Close,
    Wait,
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    events: Vec<Event>,
}

impl Case {
    /// Whether the connection goes on behind it.
    fn goes_on(&self) -> bool {
        self.events.iter().all(|event| matches!(event, Event::Request { .. }))
    }

    fn is_refused(&self) -> bool {
        matches!(self.events.last(), Some(Event::Refused(_)))
    }
}

/// A connection: what has come and was not used yet, and the body that is being read.
#[derive(Default)]
struct Reader {
    buffer: Vec<u8>,
    events: Vec<Event>,
    body: Option<Reading>,
    over: bool,
}

struct Reading {
    coding: Coding,
    keep_alive: bool,
}

enum Coding {
    Length(u64),
    Chunked(ChunkedDecoder),
}

impl Reader {
    fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while !self.over && self.step() {}
    }

    /// What became of all that was received.
    fn end(mut self) -> Vec<Event> {
        if !self.over && (self.body.is_some() || !self.buffer.is_empty()) {
            self.events.push(Event::Wait);
        }
        self.events
    }

    /// False if more bytes are needed.
    fn step(&mut self) -> bool {
        match &mut self.body {
            None => self.read_head(),
            Some(_) => self.read_body(),
        }
    }

    fn read_head(&mut self) -> bool {
        let mut headers = Vec::new();
        let head = match parse_request(&self.buffer, &Limits::default(), &mut headers) {
            Ok(Some(head)) => head,
            Ok(None) => return false,
            Err(rejection) => return self.refuse(rejection.status()),
        };
        let asterisk = head.form == TargetForm::Asterisk;
        if !asterisk && path::normalize(head.path.of(&self.buffer), &mut Vec::new()).is_err() {
            return self.refuse(400);
        }
        let coding = match head.body {
            Body::None => Coding::Length(0),
            Body::Length(length) => Coding::Length(length),
            Body::Chunked => Coding::Chunked(ChunkedDecoder::new()),
        };
        let [method, target] =
            [head.method, head.target].map(|span| span.of(&self.buffer).to_vec());
        self.events.push(Event::Request { method, target, body: Vec::new() });
        self.body = Some(Reading { coding, keep_alive: head.keep_alive });
        self.buffer.drain(..head.len);
        true
    }

    fn read_body(&mut self) -> bool {
        let Some(Event::Request { body, .. }) = self.events.last_mut() else { unreachable!() };
        let reading = self.body.as_mut().unwrap();
        let done = match &mut reading.coding {
            Coding::Length(left) => {
                let taken = self.buffer.len().min(*left as usize);
                body.extend(self.buffer.drain(..taken));
                *left -= taken as u64;
                *left == 0
            }
            Coding::Chunked(decoder) => match decoder.decode(&self.buffer) {
                Ok((used, chunk)) => {
                    let done = chunk == Chunk::Done;
                    let more = chunk == Chunk::NeedMore;
                    if let Chunk::Data(data) = chunk {
                        body.extend_from_slice(data);
                    }
                    self.buffer.drain(..used);
                    if more {
                        return false;
                    }
                    done
                }
                Err(rejection) => {
                    // A request whose body is bad was none.
                    self.events.pop();
                    return self.refuse(rejection.status());
                }
            },
        };
        if !done {
            return !self.buffer.is_empty();
        }
        let keep_alive = reading.keep_alive;
        self.body = None;
        if !keep_alive {
            self.over = true;
            self.events.push(Event::Close);
        }
        true
    }

    fn refuse(&mut self, status: u16) -> bool {
        self.over = true;
        self.events.push(Event::Refused(status));
        false
    }
}

fn read(pieces: &[&[u8]]) -> Vec<Event> {
    let mut reader = Reader::default();
    pieces.iter().for_each(|piece| reader.receive(piece));
    let waiting = reader.body.is_some();
    let mut events = reader.end();
    if waiting && events.last() == Some(&Event::Wait) {
        // The request whose body has not ended is not read yet.
        events.remove(events.len() - 2);
    }
    events
}

#[test]
fn every_case_has_its_outcome() {
    let cases = cases();
    assert!(cases.len() > 400, "{} cases", cases.len());
    let mut faults = Vec::new();
    for case in &cases {
        let events = read(&[&case.bytes]);
        if events != case.events {
            faults.push(format!("{}: {}", case.name, show(&events)));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_case_is_the_same_however_it_is_split() {
    for case in cases() {
        let step = 1 + case.bytes.len() / LONG;
        for at in (1..case.bytes.len()).step_by(step) {
            let (first, second) = case.bytes.split_at(at);
            assert_eq!(read(&[first, second]), case.events, "{} split at {at}", case.name);
        }
        let bytes: Vec<&[u8]> = case.bytes.chunks(step).collect();
        assert_eq!(read(&bytes), case.events, "{} in pieces of {step}", case.name);
    }
}

#[test]
fn nothing_behind_a_refused_request_is_read() {
    for case in cases().iter().filter(|case| case.is_refused()) {
        let bytes = [&case.bytes, SMUGGLED].concat();
        assert_eq!(read(&[&bytes]), case.events, "{}", case.name);
    }
}

#[test]
fn two_requests_of_a_pipeline_are_the_two_alone() {
    let cases = cases();
    for first in cases.iter().filter(|case| case.goes_on()) {
        for second in &cases {
            let bytes = [&first.bytes[..], &second.bytes].concat();
            let events = [&first.events[..], &second.events].concat();
            assert_eq!(read(&[&bytes]), events, "{} + {}", first.name, second.name);
        }
    }
}

#[test]
fn pipelines_split_at_random_are_the_same() {
    let cases: Vec<Case> =
        cases().into_iter().filter(|case| case.goes_on() && case.bytes.len() < LONG).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..20_000 {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        for _ in 0..1 + random.below(6) {
            let case = &cases[random.below(cases.len())];
            bytes.extend_from_slice(&case.bytes);
            events.extend_from_slice(&case.events);
        }
        let mut cuts: Vec<usize> =
            (0..random.below(12)).map(|_| random.below(bytes.len())).collect();
        cuts.sort_unstable();
        let mut reader = Reader::default();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            reader.receive(&bytes[from..cut]);
            from = cut;
        }
        assert_eq!(
            reader.end(),
            events,
            "round {round}, cut at {cuts:?}: {}",
            bytes.escape_ascii()
        );
    }
}

/// A generator of numbers that is the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn show(events: &[Event]) -> String {
    let one = |event: &Event| match event {
        Event::Request { method, target, body } => format!(
            "{} {} \"{}\"",
            method.escape_ascii(),
            target.escape_ascii(),
            body.escape_ascii()
        ),
        other => format!("{other:?}"),
    };
    events.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The cases of the table; its head describes the format.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for block in TABLE.split("\n[").skip(1) {
        let (title, rest) = block.split_once('\n').unwrap();
        let (mut text, mut values, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for line in rest.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let content = line.get(2..).unwrap_or_default();
            match line.as_bytes()[0] {
                b'|' => text.push(content),
                b'*' => values.push(content),
                b'=' => outcomes.push(content),
                _ => panic!("not a line of the table: {line}"),
            }
        }
        if values.is_empty() {
            values.push("");
        }
        for value in values {
            let bytes = text.iter().flat_map(|line| match line.strip_suffix('\\') {
                Some(open) => unescape(&open.replace("{}", value)),
                None => unescape(&(line.replace("{}", value) + "\\r\\n")),
            });
            let events = outcomes.iter().map(|outcome| event(&outcome.replace("{}", value)));
            cases.push(Case {
                name: format!("[{title}: {value}"),
                bytes: bytes.collect(),
                events: events.collect(),
            });
        }
    }
    cases
}

fn event(outcome: &str) -> Event {
    match outcome {
        "close" => Event::Close,
        "wait" => Event::Wait,
        _ => match outcome.parse() {
            Ok(status) => Event::Refused(status),
            Err(_) => {
                let (method, rest) = outcome.split_once(' ').unwrap();
                let (target, body) = rest.split_once(" \"").unwrap_or((rest, "\""));
                let [method, target, body] =
                    [method, target, &body[..body.len() - 1]].map(unescape);
                let body = if rest.contains(" \"") { body } else { Vec::new() };
                Event::Request { method, target, body }
            }
        },
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (escape, behind) = rest[at + 1..].split_at(1);
        rest = behind;
        match escape {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "0" => bytes.push(0),
            "\\" => bytes.push(b'\\'),
            "x" => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            "{" => {
                let (inner, behind) = rest.split_once('}').unwrap();
                let (piece, count) = inner.rsplit_once('*').unwrap();
                bytes.extend(unescape(piece).repeat(count.parse().unwrap()));
                rest = behind;
            }
            other => panic!("unknown escape \\{other}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
