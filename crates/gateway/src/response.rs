//! What a worker may send, decoded and checked like network input.
//!
//! Each fault that is found here is one of a frame by itself: of numbers and lengths that the worker has written. Nothing that a client sends, and
//! nothing that the core does at the same time, has a part in them.

use crate::frame::{FLAG_FD, Frame, FrameError, Kind, read_u32};
use crate::{ENCODING_OFFSETS, ENCODING_PAIRS, VERSION};

/// One frame of a worker, with the protocol's rules about its own fields checked. Rules that need the state of the
/// link (credit, open streams, known blocks) are the link's.
#[derive(Debug, PartialEq, Eq)]
pub enum FromWorker<'a> {
    Hello {
        encoding: Encoding,
        concurrency: u32,
        capabilities: u32,
        name: &'a str,
    },
    Ready {
        /// What the applications wish, by their index.
        wishes: Wishes<'a>,
    },
    /// Descriptors are going to come with frames.
    Passing,
    Block {
        id: u16,
        lines: &'a [u8],
    },
    Head {
        stream: u32,
        status: u16,
        /// The application's own, as the worker wrote it. None: the usual one.
        reason: Option<&'a [u8]>,
        block: u16,
        lines: &'a [u8],
        body: &'a [u8],
        end: bool,
    },
    /// A head as an HTTP/1 server writes it, with status line and empty line.
    HttpHead {
        stream: u32,
        head: &'a [u8],
        body: &'a [u8],
        end: bool,
    },
    /// A whole response whose body is a part of the file that came with the frame.
    File {
        stream: u32,
        status: u16,
        reason: Option<&'a [u8]>,
        block: u16,
        lines: &'a [u8],
        /// None: from the descriptor's position.
        offset: Option<u64>,
        /// None: to the file's end.
        length: Option<u64>,
    },
    Info {
        stream: u32,
        status: u16,
        lines: &'a [u8],
    },
    Data {
        stream: u32,
        body: &'a [u8],
        end: bool,
    },
    /// Fields that follow the body.
    Trailers {
        stream: u32,
        lines: &'a [u8],
    },
    /// END, as a frame of its own.
    End {
        stream: u32,
    },
    /// The application ends the client's connection with this response.
    Closed {
        stream: u32,
    },
    Reset {
        stream: u32,
        reason: u32,
    },
    Credit {
        stream: u32,
        bytes: u32,
    },
    /// `stream` 0: about the worker as a whole, or about a request whose stream has ended.
    Log {
        stream: u32,
        level: LogLevel,
        origin: LogOrigin,
        /// The request's id, if the worker says it.
        request_id: Option<&'a [u8]>,
        /// The request whose stream has ended, if the worker names it.
        request: Option<RequestLine<'a>>,
        text: &'a [u8],
    },
}

/// How a worker reads request heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As a table of offsets: [`request`](crate::request).
    Offsets,
    /// As environ pairs: [`pairs`](crate::pairs).
    Pairs,
}

/// READY's payload: a u32 for each application, by its index; one that is missing wishes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes<'a>(&'a [u8]);

/// The application gets request bodies as they come, if its mount says nothing.
pub const WISH_STREAM: u32 = 1;
/// At `/`, the application also gets targets that have no path in normal form, as they are.
pub const WISH_ANY_TARGET: u32 = 2;

impl<'a> Wishes<'a> {
    fn new(payload: &'a [u8]) -> Result<Self, FrameError> {
        let wishes = Self(payload);
        if !payload.len().is_multiple_of(4) || wishes.iter().any(|wish| wish > 3) {
            return Err(FrameError(
                "READY must have a u32 for each application, with no bits but the two known ones",
            ));
        }
        Ok(wishes)
    }

    pub fn iter(self) -> impl Iterator<Item = u32> {
        self.0.chunks_exact(4).map(|wish| read_u32(wish, 0))
    }
}

/// Method and target of a request.
pub type RequestLine<'a> = (&'a [u8], &'a [u8]);

/// LOG's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warning,
    Information,
    Debug,
}

/// Where LOG's text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOrigin {
    /// The worker itself.
    Worker,
    /// The application printed it to standard output.
    Stdout,
    /// The application printed it to standard error.
    Stderr,
    /// An error that nobody caught.
    Uncaught,
    /// The application wrote it to `wsgi.errors`.
    WsgiErrors,
}

impl<'a> FromWorker<'a> {
    /// # Errors
    /// The worker broke a rule of the protocol.
    pub fn decode(frame: Frame<'a>) -> Result<Self, FrameError> {
        let Frame { kind, flags, stream, extra, payload } = frame;
        let passes = flags & FLAG_FD != 0;
        if passes && kind != Kind::Head {
            return Err(FrameError("a worker's frame other than HEAD must not bring a descriptor"));
        }
        let about_link =
            matches!(kind, Kind::Hello | Kind::Ready | Kind::Names | Kind::Block | Kind::Passing);
        if about_link != (stream == 0) && kind != Kind::Log {
            return Err(FrameError(
                "a frame about the link must have stream 0, any other frame must have a stream",
            ));
        }
        let end = frame.ends();
        if end && !matches!(kind, Kind::Head | Kind::Data | Kind::End) {
            return Err(FrameError("END must only be a flag of HEAD and DATA"));
        }
        match kind {
            Kind::Hello => hello(payload),
            Kind::Ready => Wishes::new(payload).map(|wishes| Self::Ready { wishes }),
            Kind::Passing => Ok(Self::Passing),
            Kind::Block => match u16::try_from(extra) {
                Ok(id) if id != 0 => Ok(Self::Block { id, lines: payload }),
                _ => Err(FrameError("a block's id must be 1 to 65 535")),
            },
            Kind::Head if passes => file_head(head(stream, extra, payload, end)?),
            Kind::Head => head(stream, extra, payload, end),
            Kind::Info => match extra {
                102..=199 => Ok(Self::Info { stream, status: extra as u16, lines: payload }),
                _ => Err(FrameError("INFO's status must be 102 to 199")),
            },
            Kind::Data => Ok(Self::Data { stream, body: payload, end }),
            Kind::Trailers => Ok(Self::Trailers { stream, lines: payload }),
            Kind::End => Ok(Self::End { stream }),
            Kind::Reset => Ok(Self::Reset { stream, reason: extra }),
            Kind::Credit => Ok(Self::Credit { stream, bytes: extra }),
            Kind::Log => {
                let [level, id, origin, named @ 0..=1] = extra.to_le_bytes() else {
                    return Err(FrameError("LOG's last byte of extra is 0 or 1"));
                };
                let level = match level {
                    1 => LogLevel::Error,
                    2 => LogLevel::Warning,
                    3 => LogLevel::Information,
                    4 => LogLevel::Debug,
                    _ => return Err(FrameError("LOG's level is 1 to 4")),
                };
                let origin = match origin {
                    0 => LogOrigin::Worker,
                    1 => LogOrigin::Stdout,
                    2 => LogOrigin::Stderr,
                    3 => LogOrigin::Uncaught,
                    4 => LogOrigin::WsgiErrors,
                    _ => return Err(FrameError("LOG's origin is 0 to 4")),
                };
                let Some((id, mut text)) = payload.split_at_checked(id.into()) else {
                    return Err(FrameError("LOG is shorter than its request id"));
                };
                let request_id = (!id.is_empty()).then_some(id);
                let mut request = None;
                if named == 1 {
                    let Some(end) = text.iter().position(|&byte| byte == b'\n') else {
                        return Err(FrameError("LOG names its request in a line"));
                    };
                    let line = &text[..end];
                    let space = line.iter().position(|&byte| byte == b' ').unwrap_or(end);
                    request = Some((&line[..space], line.get(space + 1..).unwrap_or_default()));
                    text = &text[end + 1..];
                }
                Ok(Self::Log { stream, level, origin, request_id, request, text })
            }
            Kind::Closed => Ok(Self::Closed { stream }),
            Kind::Names => Err(FrameError("NAMES must only come from the core")),
        }
    }
}

fn hello(payload: &[u8]) -> Result<FromWorker<'_>, FrameError> {
    if payload.len() < 16 {
        return Err(FrameError("HELLO is too short"));
    }
    if read_u32(payload, 0) != VERSION {
        return Err(FrameError("HELLO has another version of the protocol"));
    }
    let encoding = match read_u32(payload, 4) {
        ENCODING_OFFSETS => Encoding::Offsets,
        ENCODING_PAIRS => Encoding::Pairs,
        _ => return Err(FrameError("HELLO asks for an unknown environ encoding")),
    };
    let concurrency = read_u32(payload, 8);
    if !(1..=65_535).contains(&concurrency) {
        return Err(FrameError("HELLO's concurrency must be 1 to 65 535"));
    }
    let name =
        std::str::from_utf8(&payload[16..]).map_err(|_| FrameError("HELLO's name is not UTF-8"))?;
    Ok(FromWorker::Hello { encoding, concurrency, capabilities: read_u32(payload, 12), name })
}

/// The second word of a response HEAD: how its head is written.
const FORM_LINES: u32 = 0;
/// The head is an HTTP/1 response head.
pub const FORM_HTTP: u32 = 1;
/// Before the header lines there is a line with the reason phrase.
pub const FORM_REASON: u32 = 2;

fn head(stream: u32, extra: u32, payload: &[u8], end: bool) -> Result<FromWorker<'_>, FrameError> {
    if payload.len() < 8 {
        return Err(FrameError("a response HEAD is too short"));
    }
    let length = read_u32(payload, 0) as usize;
    let Some((mut lines, body)) = payload[8..].split_at_checked(length) else {
        return Err(FrameError("a response's header lines are longer than its HEAD"));
    };
    let mut reason = None;
    match read_u32(payload, 4) {
        FORM_LINES => {}
        FORM_REASON => {
            let Some(end) = lines.windows(2).position(|end| end == b"\r\n") else {
                return Err(FrameError("a response's reason is a line"));
            };
            reason = Some(&lines[..end]);
            lines = &lines[end + 2..];
        }
        FORM_HTTP if extra == 0 => {
            return Ok(FromWorker::HttpHead { stream, head: lines, body, end });
        }
        FORM_HTTP => return Err(FrameError("a HEAD of form 1 must have 0 as its extra")),
        _ => return Err(FrameError("a response HEAD of an unknown form")),
    }
    let status = extra as u16;
    if !(200..=599).contains(&status) {
        return Err(FrameError("a response's status must be 200 to 599"));
    }
    Ok(FromWorker::Head { stream, status, reason, block: (extra >> 16) as u16, lines, body, end })
}

/// A response whose body bytes are the place of the body in a file.
fn file_head(head: FromWorker<'_>) -> Result<FromWorker<'_>, FrameError> {
    let FromWorker::Head { stream, status, reason, block, lines, body, end: true } = head else {
        return Err(FrameError("a HEAD with a descriptor must have header lines and END"));
    };
    let Ok(part) = <[u8; 16]>::try_from(body) else {
        return Err(FrameError("a HEAD with a descriptor must have an offset and a length"));
    };
    let number = |at: usize| {
        let number = u64::from(read_u32(&part, at)) | u64::from(read_u32(&part, at + 4)) << 32;
        (number != u64::MAX).then_some(number)
    };
    Ok(FromWorker::File {
        stream,
        status,
        reason,
        block,
        lines,
        offset: number(0),
        length: number(8),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FLAG_END, FrameReader, write};

    fn decode(
        kind: Kind,
        flags: u8,
        stream: u32,
        extra: u32,
        payload: &[u8],
    ) -> Result<String, FrameError> {
        let mut out = Vec::new();
        write(&mut out, kind, flags, stream, extra, payload);
        FromWorker::decode(FrameReader::new(&out).next()?.unwrap())
            .map(|frame| format!("{frame:?}"))
    }

    #[test]
    fn a_short_response_is_one_frame() {
        let mut payload = Vec::new();
        payload.extend_from_slice(&7u32.to_le_bytes());
        payload.extend_from_slice(&0u32.to_le_bytes());
        payload.extend_from_slice(b"A: bc\r\nbody");
        let mut out = Vec::new();
        write(&mut out, Kind::Head, FLAG_END, 1, 200 | 5 << 16, &payload);
        let frame = FrameReader::new(&out).next().unwrap().unwrap();
        assert_eq!(
            FromWorker::decode(frame).unwrap(),
            FromWorker::Head {
                stream: 1,
                status: 200,
                reason: None,
                block: 5,
                lines: b"A: bc\r\n",
                body: b"body",
                end: true
            }
        );
    }

    #[test]
    fn a_reason_is_the_line_before_the_header_lines() {
        for (text, reason, lines) in
            [(&b"Mine\r\nA: b\r\n"[..], &b"Mine"[..], &b"A: b\r\n"[..]), (b"\r\n", b"", b"")]
        {
            let mut payload = (text.len() as u32).to_le_bytes().to_vec();
            payload.extend_from_slice(&FORM_REASON.to_le_bytes());
            payload.extend_from_slice(text);
            let mut out = Vec::new();
            write(&mut out, Kind::Head, 0, 1, 299, &payload);
            assert_eq!(
                FromWorker::decode(FrameReader::new(&out).next().unwrap().unwrap()).unwrap(),
                FromWorker::Head {
                    stream: 1,
                    status: 299,
                    reason: Some(reason),
                    block: 0,
                    lines,
                    body: b"",
                    end: false
                }
            );
        }
    }

    #[test]
    fn a_request_that_is_over_is_named_in_a_line() {
        let named = 3 | 2 << 8 | 4 << 16 | 1 << 24;
        for (payload, id, method, target, text) in [
            (
                &b"idGET /a b\ntwo\nlines"[..],
                &b"id"[..],
                &b"GET"[..],
                &b"/a b"[..],
                &b"two\nlines"[..],
            ),
            (b"idGET\n", b"id", b"GET", b"", b""),
            (b"id\nx", b"id", b"", b"", b"x"),
        ] {
            let mut out = Vec::new();
            write(&mut out, Kind::Log, 0, 0, named, payload);
            assert_eq!(
                FromWorker::decode(FrameReader::new(&out).next().unwrap().unwrap()).unwrap(),
                FromWorker::Log {
                    stream: 0,
                    level: LogLevel::Information,
                    origin: LogOrigin::WsgiErrors,
                    request_id: Some(id),
                    request: Some((method, target)),
                    text
                }
            );
        }
    }

    #[test]
    fn a_file_is_named_by_its_place() {
        let mut payload = vec![0; 8];
        payload.extend_from_slice(&0x1_0000_0002u64.to_le_bytes());
        payload.extend_from_slice(&u64::MAX.to_le_bytes());
        let mut out = Vec::new();
        write(&mut out, Kind::Head, FLAG_END | FLAG_FD, 1, 200, &payload);
        let frame = FrameReader::new(&out).next().unwrap().unwrap();
        assert_eq!(
            FromWorker::decode(frame).unwrap(),
            FromWorker::File {
                stream: 1,
                status: 200,
                reason: None,
                block: 0,
                lines: b"",
                offset: Some(0x1_0000_0002),
                length: None
            }
        );
    }

    #[test]
    fn frames_that_break_a_rule_are_refused() {
        let bad = [
            decode(Kind::Head, 0, 1, 200, b"short"),
            decode(Kind::Head, 0, 1, 200, &[255, 0, 0, 0, 0, 0, 0, 0]),
            decode(Kind::Head, 0, 1, 101, &[0; 8]),
            decode(Kind::Head, 0, 1, 999, &[0; 8]),
            decode(Kind::Head, 0, 0, 200, &[0; 8]),
            decode(Kind::Head, 0, 1, 200, &[0, 0, 0, 0, 1, 0, 0, 0]),
            decode(Kind::Head, 0, 1, 0, &[0, 0, 0, 0, 3, 0, 0, 0]),
            decode(Kind::Head, 0, 1, 200, &[0, 0, 0, 0, 2, 0, 0, 0]),
            decode(Kind::Head, 0, 1, 200, b"\x05\0\0\0\x02\0\0\0Mine\r\n"),
            decode(Kind::Head, FLAG_FD, 1, 200, &[0; 24]),
            decode(Kind::Head, FLAG_FD | FLAG_END, 1, 200, &[0; 23]),
            decode(Kind::Data, FLAG_FD | FLAG_END, 1, 0, &[0; 16]),
            decode(Kind::Block, 0, 0, 0, b""),
            decode(Kind::Block, 0, 0, 65_536, b""),
            decode(Kind::Block, 0, 1, 1, b""),
            decode(Kind::Names, 0, 0, 1, b""),
            decode(Kind::Closed, 0, 0, 0, b""),
            decode(Kind::Info, 0, 1, 100, b""),
            decode(Kind::Info, 0, 1, 101, b""),
            decode(Kind::Info, FLAG_END, 1, 103, b""),
            decode(Kind::Trailers, 0, 0, 0, b""),
            decode(Kind::Trailers, FLAG_END, 1, 0, b""),
            decode(Kind::Log, 0, 0, 0, b""),
            decode(Kind::Log, 0, 0, 5, b""),
            decode(Kind::Log, 0, 0, 1 | 5 << 16, b""),
            decode(Kind::Log, 0, 0, 1 | 1 << 24, b"GET /"),
            decode(Kind::Log, 0, 0, 1 | 2 << 24, b"GET /\n"),
            decode(Kind::Log, 0, 0, 1 | 3 << 8, b"id"),
            decode(Kind::Hello, 0, 0, 0, &[0; 16]),
            decode(Kind::Hello, 0, 0, 0, b"x"),
            decode(Kind::Data, 0, 0, 0, b""),
            decode(Kind::Ready, 0, 0, 0, &[1, 0, 0]),
            decode(Kind::Ready, 0, 0, 0, &[4, 0, 0, 0]),
        ];
        for (n, result) in bad.iter().enumerate() {
            assert!(result.is_err(), "case {n} gave {result:?}");
        }
    }
}
