//! Frames: header, kinds, writing, and splitting a byte stream into frames.

use std::fmt;

/// Bytes of a frame's header.
pub const HEADER: usize = 16;
/// Largest frame, header included.
pub const MAX_FRAME: usize = 65_536;
/// Largest payload of one frame.
pub const MAX_PAYLOAD: usize = MAX_FRAME - HEADER;
/// Frames start at multiples of this many bytes.
pub const ALIGN: usize = 8;

/// The sender sends nothing more on this stream.
pub const FLAG_END: u8 = 1;
/// One file descriptor travels with this frame.
pub const FLAG_FD: u8 = 2;
/// The bytes of this DATA are in a shared buffer; `extra` says in which, and how many.
pub const FLAG_SHARED: u8 = 4;

/// With HEAD, core → worker: the response has to wait behind others. Its window is [`NARROW_WINDOW`](crate::NARROW_WINDOW), and it brings
/// no descriptor.
pub const FLAG_NARROW: u8 = 8;

/// What a frame is for. The numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Hello = 1,
    Ready = 2,
    Names = 3,
    Block = 4,
    Head = 5,
    Info = 6,
    Data = 7,
    Trailers = 9,
    End = 10,
    Reset = 11,
    Credit = 12,
    Log = 13,
    Closed = 14,
    Passing = 15,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Ready,
            3 => Self::Names,
            4 => Self::Block,
            5 => Self::Head,
            6 => Self::Info,
            7 => Self::Data,
            9 => Self::Trailers,
            10 => Self::End,
            11 => Self::Reset,
            12 => Self::Credit,
            13 => Self::Log,
            14 => Self::Closed,
            15 => Self::Passing,
            _ => return None, // 8 is reserved, the rest unknown
        })
    }
}

/// Why a stream is reset. The numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ResetReason {
    Application = 1,
    ClientGone = 2,
    Cancelled = 3,
    Protocol = 4,
    /// The request body is refused: too large, too slow, or malformed.
    Body = 5,
}

/// One received frame; the payload borrows from the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: Kind,
    pub flags: u8,
    pub stream: u32,
    pub extra: u32,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Whether the sender ends its direction of the stream with this frame.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.flags & FLAG_END != 0 || self.kind == Kind::End
    }
}

/// A rule of the protocol that the peer broke. The text names the rule.
///
/// It ends the worker, and with it the requests of all its clients. So it is only for what the worker does by itself: where a client, the core, or a
/// want of the system's can bring something about, that fails one request. Each place that makes one says why it is the worker's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError(pub &'static str);

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for FrameError {}

/// Splits received bytes into frames.
///
/// Iterate with [`FrameReader::next`] until it gives `None`; [`FrameReader::consumed`] then says how many bytes were
/// whole frames, and the rest is the start of a frame that has not arrived completely.
#[derive(Debug)]
pub struct FrameReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> FrameReader<'a> {
    /// `bytes` starts at the start of a frame.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next complete frame, `None` when more bytes are needed.
    ///
    /// # Errors
    /// The peer broke a rule of framing; nothing after it can be trusted.
    #[expect(
        clippy::should_implement_trait,
        reason = "an Iterator of Results would hide that an error is final"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'a>>, FrameError> {
        let rest = &self.bytes[self.position..];
        let Some(size) = complete_frame(rest)? else { return Ok(None) };
        let Some(kind) = Kind::from_byte(rest[4]) else {
            return Err(FrameError("frame of an unknown or reserved kind"));
        };
        let flags = rest[5];
        if flags & !(FLAG_END | FLAG_FD) != 0 || rest[6] != 0 || rest[7] != 0 {
            return Err(FrameError("reserved bits of a frame header are set"));
        }
        let frame = Frame {
            kind,
            flags,
            stream: read_u32(rest, 8),
            extra: read_u32(rest, 12),
            payload: &rest[HEADER..size],
        };
        self.position += padded(size);
        Ok(Some(frame))
    }

    /// Bytes that were whole frames, padding included.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.position
    }
}

/// Length in bytes of the whole frames at the start of `bytes`, looking at sizes only.
///
/// # Errors
/// A size is out of range.
pub fn whole_frames(bytes: &[u8]) -> Result<usize, FrameError> {
    let mut position = 0;
    while let Some(size) = complete_frame(&bytes[position..])? {
        position += padded(size);
    }
    Ok(position)
}

/// Size of the frame at the start of `bytes` if all of it, padding included, is there.
fn complete_frame(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    if bytes.len() < 4 {
        return Ok(None);
    }
    let size = read_u32(bytes, 0) as usize;
    if !(HEADER..=MAX_FRAME).contains(&size) {
        return Err(FrameError("frame size out of range"));
    }
    Ok((bytes.len() >= padded(size)).then_some(size))
}

/// Size of a frame with its padding.
#[must_use]
pub fn padded(size: usize) -> usize {
    (size + (ALIGN - 1)) & !(ALIGN - 1)
}

/// Reads a little-endian u32 at `at`; the caller has checked the length.
#[must_use]
#[inline]
pub fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let word = &bytes[at..at + 4];
    u32::from_le_bytes([word[0], word[1], word[2], word[3]])
}

/// Appends one frame to `out`. The payload is at most [`MAX_PAYLOAD`] bytes, which the caller ensures.
pub fn write(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, extra: u32, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD);
    let size = HEADER + payload.len();
    out.reserve(padded(size));
    out.extend_from_slice(&header(kind, flags, stream, extra, payload.len()));
    out.extend_from_slice(payload);
    out.resize(out.len() + padded(size) - size, 0);
}

/// The header of a frame with a payload of so many bytes, at most [`MAX_PAYLOAD`].
#[must_use]
pub fn header(kind: Kind, flags: u8, stream: u32, extra: u32, payload: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&((HEADER + payload) as u32).to_le_bytes());
    header[4] = kind as u8;
    header[5] = flags;
    header[8..12].copy_from_slice(&stream.to_le_bytes());
    header[12..].copy_from_slice(&extra.to_le_bytes());
    header
}

/// Appends the header of a frame whose payload is written next; [`finish`] takes what this gives.
#[must_use]
pub fn begin(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, extra: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&header(kind, flags, stream, extra, 0));
    start
}

/// Completes the frame that began at `start`. Its payload is at most [`MAX_PAYLOAD`] bytes, which the caller ensures.
pub fn finish(out: &mut Vec<u8>, start: usize) {
    let size = out.len() - start;
    debug_assert!((HEADER..=MAX_FRAME).contains(&size));
    out[start..start + 4].copy_from_slice(&(size as u32).to_le_bytes());
    out.resize(start + padded(size), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_frame_is_read_back() {
        let mut out = Vec::new();
        write(&mut out, Kind::Head, FLAG_END, 7, 200, b"hello");
        write(&mut out, Kind::Credit, 0, 7, 99, b"");
        assert_eq!(out.len() % ALIGN, 0);
        let mut reader = FrameReader::new(&out);
        let first = reader.next().unwrap().unwrap();
        assert_eq!(
            (first.kind, first.stream, first.extra, first.payload),
            (Kind::Head, 7, 200, &b"hello"[..])
        );
        assert!(first.ends());
        let second = reader.next().unwrap().unwrap();
        assert_eq!((second.kind, second.extra), (Kind::Credit, 99));
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(reader.consumed(), out.len());
    }

    #[test]
    fn a_frame_written_in_place_is_the_same() {
        for length in 0..20 {
            let payload = vec![b'x'; length];
            let (mut whole, mut parts) = (vec![1; 8], vec![1; 8]);
            write(&mut whole, Kind::Head, FLAG_END, 7, 9, &payload);
            let start = begin(&mut parts, Kind::Head, FLAG_END, 7, 9);
            parts.extend_from_slice(&payload);
            finish(&mut parts, start);
            assert_eq!(whole, parts);
        }
    }

    #[test]
    fn a_cut_frame_waits_for_the_rest() {
        let mut out = Vec::new();
        write(&mut out, Kind::Data, 0, 1, 0, &[9; 100]);
        for cut in 0..out.len() {
            let mut reader = FrameReader::new(&out[..cut]);
            assert_eq!(reader.next().unwrap(), None, "cut at {cut}");
            assert_eq!(reader.consumed(), 0);
            assert_eq!(whole_frames(&out[..cut]).unwrap(), 0);
        }
        assert_eq!(whole_frames(&out).unwrap(), out.len());
    }

    #[test]
    fn bad_headers_are_refused() {
        let mut good = Vec::new();
        write(&mut good, Kind::Data, 0, 1, 0, b"x");
        let broken = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            FrameReader::new(&bytes).next().map(|frame| frame.is_some())
        };
        assert!(broken(0, 15).is_err(), "size below the header");
        assert!(broken(3, 1).is_err(), "size over 64 KiB");
        for kind in [0, 8, 16, 255] {
            assert!(broken(4, kind).is_err(), "kind {kind}");
        }
        assert!(broken(5, 4).is_err(), "unknown flag");
        assert!(broken(6, 1).is_err(), "reserved byte");
    }
}
