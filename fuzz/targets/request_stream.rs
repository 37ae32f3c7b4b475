//! Whole connections: requests that are generated, changed in places, and cut into pieces. The pieces change nothing; what was
//! not changed is understood as it was meant; and nothing behind a fault is a request.

#![no_main]

use gwanmun_http1::{Body, Chunk, ChunkedDecoder, Limits, parse_request};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "X-y"];
const TARGETS: [&str; 8] =
    ["/", "/a?b=c", "/%41/b", "//", "/a/../b", "http://h/a", "/%2e%2e/", "/a%00"];
const FIELDS: [&str; 14] = [
    "Accept: */*",
    "Cookie: a=b",
    "Cookie: c",
    "Connection: keep-alive",
    "Connection: close",
    "Expect: 100-continue",
    "Content-Length: 0",
    "Content-Length: 7",
    "content-length: +7",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding : chunked",
    "Host: again",
    "X:",
];
const INSERTED: [&[u8]; 12] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
];

/// A request as it was meant, or as it was understood.
#[derive(Debug, PartialEq)]
struct Message {
    method: Vec<u8>,
    target: Vec<u8>,
    fields: usize,
    body: Vec<u8>,
}

/// What came of a connection's bytes.
#[derive(Debug)]
struct Outcome {
    messages: Vec<Message>,
    /// Of the fault that ended it.
    status: Option<u16>,
}

/// Of two faults in one head the first that is seen gives the status, and that depends on the pieces.
impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        self.messages == other.messages && self.status.is_some() == other.status.is_some()
    }
}

fuzz_target!(|data: &[u8]| {
    // Too few bytes to decide everything by: the rest of the choices are the first ones.
    let _ = check(&mut Unstructured::new(data));
});

fn check(choices: &mut Unstructured<'_>) -> Result<()> {
    let mut bytes = Vec::new();
    let mut meant = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..choices.int_in_range(1..=4)? {
        starts.push(bytes.len());
        meant.push(generate(choices, &mut bytes)?);
    }
    let untouched = Outcome { messages: meant, status: None };
    assert_eq!(understand([&bytes[..]]), untouched);

    let mut first_change = bytes.len();
    for _ in 0..choices.int_in_range(0..=3)? {
        let at = choices.int_in_range(0..=bytes.len())?;
        first_change = first_change.min(at);
        change(choices, &mut bytes, at)?;
    }
    let whole = understand([&bytes[..]]);
    assert!(
        whole.status.is_none_or(|status| matches!(status, 400 | 413 | 414 | 417 | 431 | 501 | 505))
    );
    // Requests that had ended before the first change are as they were meant.
    let safe = starts.iter().skip(1).filter(|&&start| start <= first_change).count();
    assert_eq!(whole.messages[..safe], untouched.messages[..safe]);

    assert_eq!(understand(bytes.chunks(1)), whole);
    for _ in 0..4 {
        let mut cuts =
            [choices.int_in_range(0..=bytes.len())?, choices.int_in_range(0..=bytes.len())?];
        cuts.sort_unstable();
        let pieces = [&bytes[..cuts[0]], &bytes[cuts[0]..cuts[1]], &bytes[cuts[1]..]];
        assert_eq!(understand(pieces), whole);
    }

    // Behind a fault there is nothing, whatever it is.
    if whole.status.is_some() {
        bytes.extend_from_slice(b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(understand([&bytes[..]]), whole);
    }
    Ok(())
}

/// Appends a request that is right, and gives what it means.
fn generate(choices: &mut Unstructured<'_>, out: &mut Vec<u8>) -> Result<Message> {
    let method = *choices.choose(&METHODS)?;
    // The last ones need a look at the path, which the parser does not decide.
    let target = *choices.choose(&TARGETS)?;
    let mut fields = vec!["Host: h".to_owned()];
    for _ in 0..choices.int_in_range(0..=3)? {
        fields.push(FIELDS[choices.int_in_range(0..=2)?].to_owned());
    }
    let length = choices.int_in_range(0..=40)?;
    let body = choices.bytes(length.min(choices.len()))?.to_vec();
    let framing = choices.int_in_range(0..=2)?;
    match framing {
        1 => fields.push(format!("Content-Length: {}", body.len())),
        2 => fields.push("Transfer-Encoding: chunked".to_owned()),
        _ => {}
    }
    out.extend_from_slice(format!("{method} {target} HTTP/1.1\r\n").as_bytes());
    for field in &fields {
        out.extend_from_slice(format!("{field}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    let meant =
        |body| Message { method: method.into(), target: target.into(), fields: fields.len(), body };
    match framing {
        1 => out.extend_from_slice(&body),
        2 => {
            let size = choices.int_in_range(1..=16)?;
            for piece in body.chunks(size) {
                let extension = *choices.choose(&["", ";a=b", ";c=\"d;\""])?;
                out.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n");
            if choices.ratio(1, 4)? {
                out.extend_from_slice(b"Trailer-Field: x\r\n");
            }
            out.extend_from_slice(b"\r\n");
        }
        _ => return Ok(meant(Vec::new())),
    }
    Ok(meant(body))
}

/// Changes something from `at` on.
fn change(choices: &mut Unstructured<'_>, bytes: &mut Vec<u8>, at: usize) -> Result<()> {
    match choices.int_in_range(0..=4)? {
        0 => {
            let inserted = *choices.choose(&INSERTED)?;
            bytes.splice(at..at, inserted.iter().copied());
        }
        1 => {
            let field = *choices.choose(&FIELDS)?;
            // Behind a line's end it is a field, or a part of a body.
            let line = bytes[at..].windows(2).position(|pair| pair == b"\r\n");
            let at = line.map_or(at, |offset| at + offset + 2);
            bytes.splice(at..at, format!("{field}\r\n").into_bytes());
        }
        2 if at < bytes.len() => bytes[at] = choices.arbitrary()?,
        3 => {
            let end = bytes.len().min(at + choices.int_in_range(1..=8)?);
            bytes.drain(at..end);
        }
        _ => {
            let end = bytes.len().min(at + choices.int_in_range(1..=32)?);
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
    }
    Ok(())
}

/// Reads requests as a connection does: a head, its body, and so on until a fault.
fn understand<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome { messages: Vec::new(), status: None };
    let mut input = Vec::new();
    let mut reading = None;
    for piece in pieces {
        input.extend_from_slice(piece);
        while outcome.status.is_none() {
            let step = match &mut reading {
                None => head(&input).map(|read| {
                    read.map(|(length, state)| {
                        reading = Some(state);
                        length
                    })
                }),
                Some((message, rest)) => body(&input, message, rest).map(|(length, done)| {
                    if done {
                        outcome.messages.extend(reading.take().map(|(message, _)| message));
                    }
                    (length > 0 || done).then_some(length)
                }),
            };
            match step {
                Ok(Some(length)) => drop(input.drain(..length)),
                Ok(None) => break,
                Err(status) => outcome.status = Some(status),
            }
        }
    }
    outcome
}

/// What of a body is to come.
enum Rest {
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
}

type Head = Option<(usize, (Message, Rest))>;

fn head(input: &[u8]) -> std::result::Result<Head, u16> {
    let mut fields = Vec::new();
    let parsed = parse_request(input, &Limits::default(), &mut fields);
    let Some(head) = parsed.map_err(|rejection| rejection.status())? else { return Ok(None) };
    let message = Message {
        method: head.method.of(input).into(),
        target: head.target.of(input).into(),
        fields: fields.len(),
        body: Vec::new(),
    };
    let rest = match head.body {
        Body::None => Rest::Length(0),
        Body::Length(length) => Rest::Length(length),
        Body::Chunked => Rest::Chunked(Box::new(ChunkedDecoder::new())),
    };
    Ok(Some((head.len, (message, rest))))
}

/// Gives how many bytes are done with, and whether the body has ended.
fn body(
    input: &[u8],
    message: &mut Message,
    rest: &mut Rest,
) -> std::result::Result<(usize, bool), u16> {
    match rest {
        Rest::Length(left) => {
            let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            message.body.extend_from_slice(&input[..count]);
            *left -= count as u64;
            Ok((count, *left == 0))
        }
        Rest::Chunked(decoder) => {
            let (used, chunk) = decoder.decode(input).map_err(|rejection| rejection.status())?;
            match chunk {
                Chunk::Data(data) => {
                    message.body.extend_from_slice(data);
                    Ok((used, false))
                }
                Chunk::NeedMore => Ok((used, false)),
                Chunk::Done => Ok((used, true)),
            }
        }
    }
}
