//! Compression: whether a response is one to be compressed, its head, and the state of its compressor.

use super::head::{ResponseHead, split_field};
use gwanmun_files::compression::{self, Accepted, Coding, Encoder, LEAST, most_output};
use gwanmun_http1::response::body_allowed;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;

/// A piece of so many bytes is compressed by a thread that may block: gzip takes a quarter of a millisecond for it, in which
/// an I/O thread answers twenty requests.
pub(crate) const LARGE: usize = 16 * 1024;

/// A body that is compressed as it comes.
#[derive(Debug)]
pub(crate) struct Compression {
    /// None: a blocking thread has it.
    encoder: Option<Encoder>,
    /// Bytes of the piece that it has there.
    away: usize,
    /// Bytes that the application has announced and not sent.
    left: Option<u64>,
    /// What has come since then; all but the last piece are full.
    waiting: VecDeque<Vec<u8>>,
    /// All has come.
    is_whole: bool,
}

/// A piece for the compressor.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) encoder: Encoder,
    pub(crate) piece: Cow<'a, [u8]>,
    /// With it the body is complete.
    pub(crate) is_last: bool,
}

/// The application has ended its body too early.
#[derive(Debug)]
pub(crate) struct Short;

impl Compression {
    /// `announced`: the application's Content-Length.
    pub(crate) fn new(encoder: Encoder, announced: Option<u64>) -> Self {
        Self {
            encoder: Some(encoder),
            away: 0,
            left: announced,
            waiting: VecDeque::new(),
            is_whole: false,
        }
    }

    /// Beside its compressor, which is charged when it begins: what waits, and a piece with what is made of it.
    pub(crate) fn holds(&self) -> usize {
        let making = if self.away > 0 { self.away + most_output(self.away) } else { 0 };
        making + self.waiting.iter().map(Vec::capacity).sum::<usize>()
    }

    /// Bytes of the application that have not been compressed. It gets no credit for them.
    pub(crate) fn waiting(&self) -> u32 {
        (self.away + self.waiting.iter().map(Vec::len).sum::<usize>()) as u32
    }

    /// Takes a part of the body. Gives whether it is more than was announced, and the piece that is to be compressed now. None: it waits for the compressor.
    pub(crate) fn take<'a>(
        &mut self,
        body: &'a [u8],
        end: bool,
    ) -> (bool, Result<Option<Work<'a>>, Short>) {
        let part = match &mut self.left {
            Some(left) => take_announced(left, body),
            None => body,
        };
        let is_surplus = part.len() < body.len();
        let missing = self.left.filter(|&left| left > 0);
        self.is_whole |= self.left == Some(0) || (end && missing.is_none());
        let is_last = self.is_whole;
        let next = match self.encoder.take() {
            _ if end && missing.is_some() => Err(Short),
            Some(encoder) => Ok(Some(Work { encoder, piece: Cow::Borrowed(part), is_last })),
            None => {
                self.keep(part);
                Ok(None)
            }
        };
        (is_surplus, next)
    }

    /// The compressor is back: what has come meanwhile is the next piece.
    pub(crate) fn go_on(&mut self, encoder: Option<Encoder>) -> Option<Work<'static>> {
        let piece = self.waiting.pop_front().unwrap_or_default();
        let is_last = self.is_whole && self.waiting.is_empty();
        match encoder {
            Some(encoder) if !piece.is_empty() || is_last => {
                Some(Work { encoder, piece: Cow::Owned(piece), is_last })
            }
            encoder => {
                self.encoder = encoder;
                None
            }
        }
    }

    /// A piece of so many bytes is at a blocking thread; 0: none is.
    pub(crate) fn set_away(&mut self, bytes: usize) {
        self.away = bytes;
    }

    /// Keeps a part for later, in pieces for one turn of the compressor.
    fn keep(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            let room = self.waiting.back().map_or(0, |last| last.capacity() - last.len());
            if room == 0 {
                self.waiting.push_back(Vec::with_capacity(part.len().max(LARGE)));
            }
            let Some(last) = self.waiting.back_mut() else { return };
            let (now, later) = part.split_at(part.len().min(last.capacity() - last.len()));
            last.extend_from_slice(now);
            part = later;
        }
    }
}

/// What a compressor has made of a piece, and itself if another one can come.
#[derive(Debug)]
pub(crate) struct Compressed {
    pub(crate) encoder: Option<Encoder>,
    pub(crate) bytes: io::Result<Vec<u8>>,
}

/// Compresses a piece so that the client can have all of it.
pub(crate) fn compress(Work { mut encoder, piece, is_last }: Work<'_>) -> Compressed {
    if is_last {
        return Compressed { encoder: None, bytes: encoder.finish(&piece) };
    }
    // Nothing is no piece: flushing it would send some bytes.
    let bytes = if piece.is_empty() { Ok(Vec::new()) } else { encoder.push(&piece) };
    Compressed { encoder: Some(encoder), bytes }
}

/// The part of a body that was announced; `left` is what is still to come of that.
pub(crate) fn take_announced<'a>(left: &mut u64, body: &'a [u8]) -> &'a [u8] {
    let part = &body[..body.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
    *left -= part.len() as u64;
    part
}

/// How a response that may be compressed goes out.
#[derive(Debug)]
pub(crate) struct Plan {
    /// None: the client takes none.
    pub(crate) coding: Option<Coding>,
    /// The application's Content-Length.
    pub(crate) announced: Option<u64>,
}

/// Whether a response is too short for it, or of a kind that is never compressed: most are, and are known by this.
#[inline]
pub(crate) fn is_out_of_question(head: &ResponseHead<'_>, known: Option<u64>) -> bool {
    head.facts.content_length.or(known).is_some_and(|length| length < LEAST)
        || !head.facts.has_content_type
        || !body_allowed(head.status)
        || matches!(head.status, 206 | 416)
}

/// Whether its lines say that a response is one to be compressed.
pub(crate) fn is_compressible(head: &ResponseHead<'_>) -> bool {
    let mut is_compressible = false;
    for line in head.each_line() {
        let Some((name, value)) = split_field(line) else { continue };
        match name.len() {
            12 if name.eq_ignore_ascii_case(b"content-type") => {
                is_compressible = compression::is_compressible(value);
            }
            16 if name.eq_ignore_ascii_case(b"content-encoding") => return false,
            13 if name.eq_ignore_ascii_case(b"content-range") => return false,
            13 if name.eq_ignore_ascii_case(b"cache-control") => {
                let value = value.to_ascii_lowercase();
                if value.windows(12).any(|part| part == b"no-transform") {
                    return false;
                }
            }
            _ => {}
        }
    }
    is_compressible
}

/// The coding that is made fastest of those that a request's headers accept.
pub(crate) fn accepted<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Coding> {
    let mut coding = None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(b"accept-encoding") {
            coding = Accepted::parse(value).fastest();
        }
    }
    coding
}

/// The lines of a head for a compressed body: without its length, and with a weak tag (RFC 9110 §8.8.1).
pub(crate) fn lines_for_coding(head: &ResponseHead<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in head.each_line() {
        let Some((name, value)) = split_field(line) else { continue };
        if name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(b"accept-ranges")
        {
            continue;
        }
        if name.eq_ignore_ascii_case(b"etag") && value.starts_with(b"\"") {
            lines.extend_from_slice(b"ETag: W/");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        } else {
            lines.extend_from_slice(line);
        }
    }
    lines
}
