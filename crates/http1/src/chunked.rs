//! The chunked transfer coding, strictly (RFC 9112 §7.1).
//!
//! Every octet of framing goes through one state machine, so that a body means the same however it is split.

use crate::rejection::{Kind, Rejection};
use crate::syntax::{QUOTED_TEXT, TOKEN, VALUE, hex_digit};

/// Bytes of a chunk line (size and extensions) without its line end.
const LINE_MAX: u16 = 256;
/// More digits could not be a 64-bit number, and leading zeros beyond it are nobody's.
const DIGITS_MAX: u16 = 16;
/// Framing that a body may have whatever its size; beyond this much there may be [`OVERHEAD_RATIO`] bytes of framing for one of data.
const OVERHEAD_FREE: u64 = 100 * 1024;
const OVERHEAD_RATIO: u64 = 3;
const TRAILER_BYTES_MAX: u16 = 16 * 1024;
const TRAILER_COUNT_MAX: u8 = 100;

/// Decodes one chunked body.
///
/// Extensions and trailer fields are checked and dropped; trailers never become header fields (RFC 9110 §6.5.1).
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of data that the current chunk still has.
    remaining: u64,
    /// Bytes in the current chunk line, its digits while in `Size`.
    line: u16,
    /// All data announced so far, and all framing before it.
    data: u64,
    overhead: u64,
    trailer_bytes: u16,
    trailer_count: u8,
}

/// What [`ChunkedDecoder::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// The input is used up; come again with more.
    NeedMore,
    /// Bytes of the body, never empty.
    Data(&'a [u8]),
    /// The body has ended, trailers included. What follows in the input is the next request.
    Done,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before or in the digits.
    #[default]
    Size,
    /// Behind a `;`, before the name; white space is allowed here ("BWS").
    ExtensionStart,
    ExtensionName,
    /// White space behind a name.
    ExtensionNameEnd,
    /// Behind a `=`.
    ExtensionValueStart,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscape,
    /// Behind a quoted string. White space must have a `;` behind it, as behind a token: `ExtensionValueEnd`.
    ExtensionQuotedEnd,
    ExtensionValueEnd,
    /// Behind the CR of a chunk line.
    LineLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line behind the last chunk.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    Failed(Kind),
}

impl ChunkedDecoder {
    /// A decoder before the first byte of a body.
    pub fn new() -> ChunkedDecoder {
        ChunkedDecoder::default()
    }

    /// Consumes from the start of `input`: returns how many bytes were used up, and what came of them.
    ///
    /// Call again with the rest (and more) until [`Chunk::Done`] or [`Chunk::NeedMore`], which comes with all of the input consumed.
    /// After `Done`, nothing is consumed any more; after an error, the same error comes again.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Chunk<'a>), Rejection> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::Data => {
                    let rest = &input[at..];
                    let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
                    self.remaining -= len as u64;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok((at + len, Chunk::Data(&rest[..len])));
                }
                State::Done => break,
                _ => match self.step(input[at]) {
                    Ok(state) => self.state = state,
                    Err(kind) => {
                        self.state = State::Failed(kind);
                        return Err(kind.into());
                    }
                },
            }
            at += 1;
        }
        match self.state {
            State::Done => Ok((at, Chunk::Done)),
            State::Failed(kind) => Err(kind.into()),
            _ => Ok((at, Chunk::NeedMore)),
        }
    }

    /// The state behind one byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, Kind> {
        match self.state {
            State::Size => self.size(byte),
            State::ExtensionStart
            | State::ExtensionName
            | State::ExtensionNameEnd
            | State::ExtensionValueStart
            | State::ExtensionToken
            | State::ExtensionQuoted
            | State::ExtensionEscape
            | State::ExtensionQuotedEnd
            | State::ExtensionValueEnd => self.extension(byte),
            State::LineLf if byte == b'\n' => self.line_end(),
            State::LineLf => Err(Kind::ChunkLineEnd),

            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size),
            State::DataCr | State::DataLf => Err(Kind::ChunkDataEnd),

            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                self.trailer(byte)
            }
            State::EndLf if byte == b'\n' => Ok(State::Done),
            State::EndLf => Err(Kind::ChunkLineEnd),

            State::Failed(kind) => Err(kind),
            // `decode` takes no framing in these.
            State::Data | State::Done => Ok(self.state),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, Kind> {
        if let Some(digit) = hex_digit(byte) {
            if self.line == DIGITS_MAX {
                return Err(Kind::ChunkSizeRange);
            }
            self.line += 1;
            // 16 digits fit; `line_end` checks the range.
            self.remaining = self.remaining << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.line == 0 => Err(Kind::ChunkSize),
            b'\r' => Ok(State::LineLf),
            b'\n' => Err(Kind::ChunkLineEnd),
            b';' => self.extension(byte),
            _ => Err(Kind::ChunkSize),
        }
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, RFC 9112 §7.1.1, but for white space directly
    /// behind the size, where parsers disagree about what it means.
    fn extension(&mut self, byte: u8) -> Result<State, Kind> {
        if self.line == LINE_MAX && byte != b'\r' {
            return Err(Kind::ChunkLine);
        }
        self.line += 1;
        let space = matches!(byte, b' ' | b'\t');
        match (self.state, byte) {
            (State::ExtensionQuoted, b'"') => Ok(State::ExtensionQuotedEnd),
            (State::ExtensionQuoted, b'\\') => Ok(State::ExtensionEscape),
            (State::ExtensionQuoted, _) if QUOTED_TEXT.has(byte) => Ok(State::ExtensionQuoted),
            (State::ExtensionEscape, _) if VALUE.has(byte) => Ok(State::ExtensionQuoted),
            (State::ExtensionQuoted | State::ExtensionEscape, _) => Err(Kind::ChunkExtension),

            (State::ExtensionStart | State::ExtensionName, _) if TOKEN.has(byte) => {
                Ok(State::ExtensionName)
            }
            (State::ExtensionValueStart | State::ExtensionToken, _) if TOKEN.has(byte) => {
                Ok(State::ExtensionToken)
            }
            (State::ExtensionValueStart, b'"') => Ok(State::ExtensionQuoted),
            (State::ExtensionStart | State::ExtensionValueStart, _) if space => Ok(self.state),
            (State::ExtensionStart | State::ExtensionValueStart, _) => Err(Kind::ChunkExtension),

            (State::ExtensionName | State::ExtensionNameEnd, _) if space => {
                Ok(State::ExtensionNameEnd)
            }
            (State::ExtensionName | State::ExtensionNameEnd, b'=') => {
                Ok(State::ExtensionValueStart)
            }
            (_, b';') => Ok(State::ExtensionStart),
            (State::ExtensionToken | State::ExtensionQuotedEnd | State::ExtensionValueEnd, _)
                if space =>
            {
                Ok(State::ExtensionValueEnd)
            }
            (State::ExtensionName | State::ExtensionToken | State::ExtensionQuotedEnd, b'\r') => {
                Ok(State::LineLf)
            }
            _ => Err(Kind::ChunkExtension),
        }
    }

    /// Behind a complete chunk line.
    fn line_end(&mut self) -> Result<State, Kind> {
        if self.remaining > i64::MAX as u64 {
            return Err(Kind::ChunkSizeRange);
        }
        // The line, its line end, and the one behind the data.
        self.overhead += u64::from(self.line) + 4;
        if self.overhead > OVERHEAD_FREE && self.overhead / OVERHEAD_RATIO > self.data {
            return Err(Kind::ChunkOverhead);
        }
        self.line = 0;
        if self.remaining == 0 {
            return Ok(State::TrailerStart);
        }
        self.data = self.data.saturating_add(self.remaining);
        Ok(State::Data)
    }

    /// `*( field-line CRLF ) CRLF`, RFC 9112 §7.1.2: the same syntax as a header field, folding refused.
    fn trailer(&mut self, byte: u8) -> Result<State, Kind> {
        if self.state == State::TrailerStart && byte == b'\r' {
            return Ok(State::EndLf);
        }
        if self.trailer_bytes == TRAILER_BYTES_MAX {
            return Err(Kind::TrailerBytes);
        }
        self.trailer_bytes += 1;
        match self.state {
            State::TrailerStart if TOKEN.has(byte) => {
                if self.trailer_count == TRAILER_COUNT_MAX {
                    return Err(Kind::TrailerCount);
                }
                self.trailer_count += 1;
                Ok(State::TrailerName)
            }
            State::TrailerName if TOKEN.has(byte) => Ok(State::TrailerName),
            State::TrailerName if byte == b':' => Ok(State::TrailerValue),
            State::TrailerValue if VALUE.has(byte) => Ok(State::TrailerValue),
            State::TrailerValue if byte == b'\r' => Ok(State::TrailerLf),
            State::TrailerLf if byte == b'\n' => Ok(State::TrailerStart),
            _ => Err(Kind::Trailer),
        }
    }
}
