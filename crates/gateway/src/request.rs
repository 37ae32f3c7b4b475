//! The core's HEAD payload: a table of offsets over the text of a request head.

use crate::frame::{HEADER, MAX_PAYLOAD, read_u32};
use crate::names::NamesId;

/// Bytes of the fixed part of the table.
pub const FIXED: usize = 64;
/// Bytes of a header's two pairs in the table.
const ENTRY: usize = 8;
/// What the same head takes more as [pairs](crate::pairs): the names of what stands in the fixed part, and the host, of 1 KiB at
/// the most, a second time. A header takes less than with its entry.
const MORE_AS_PAIRS: usize = 2048;

/// `flags` bit: the request came as HTTP/1.0.
pub const FLAG_HTTP10: u32 = 1;
/// `flags` bit: the client's connection is TLS.
pub const FLAG_TLS: u32 = 2;
/// `flags` bit: there is a body and its length is known.
pub const FLAG_BODY: u32 = 4;
/// `flags` bit: the body comes as the client sends it, as far as the worker grants credit.
pub const FLAG_STREAMED: u32 = 8;

/// `flags` bit: the text ends with variables of the connection for the environ, behind the client's address: name NUL value NUL …
pub const FLAG_VARIABLES: u32 = 16;

/// Pieces of the text that every request has; the number is the byte offset of the pair in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Piece {
    Method = 36,
    Target = 40,
    ScriptName = 44,
    PathInfo = 48,
    Query = 52,
    ServerName = 56,
    RemoteAddr = 60,
}

/// A marked piece of the text: `start << 16 | end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair(u32);

impl Pair {
    /// `end` must be at most 65 535, which [`HeadWriter::finish`] ensures for the whole payload.
    #[must_use]
    #[inline]
    pub fn new(start: u32, end: u32) -> Self {
        Self(start << 16 | (end & 0xffff))
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get((self.0 >> 16) as usize..(self.0 & 0xffff) as usize).unwrap_or_default()
    }
}

/// The values of the table that are not pieces of the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed {
    pub application: u32,
    pub names: NamesId,
    pub flags: u32,
    pub server_port: u16,
    pub remote_port: u16,
}

/// Writes one HEAD payload: first the headers, then the text, then the other pieces. Pieces point into the head that is
/// given as text, or are appended to it.
#[derive(Debug)]
pub struct HeadWriter<'a> {
    out: &'a mut Vec<u8>,
    text: usize,
}

impl<'a> HeadWriter<'a> {
    /// Bytes of a payload of so many headers, and so many bytes of text.
    #[must_use]
    pub fn size(headers: usize, text: usize) -> usize {
        FIXED + ENTRY * headers + text
    }

    /// Starts a payload in `out`, which is cleared.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>, fixed: Fixed) -> Self {
        out.clear();
        let mut table = [0; FIXED];
        put(&mut table, 0, fixed.application);
        put(&mut table, 4, fixed.names.bits());
        put(&mut table, 8, fixed.flags);
        put(&mut table, 24, u32::from(fixed.server_port) << 16 | u32::from(fixed.remote_port));
        out.extend_from_slice(&table);
        Self { out, text: FIXED }
    }

    /// Adds the headers, so many: names and values, in the order of arrival.
    pub fn headers(&mut self, count: usize, headers: impl Iterator<Item = (Pair, Pair)>) {
        let start = self.out.len();
        self.out.resize(start + ENTRY * count, 0);
        for (entry, (name, value)) in self.out[start..].chunks_exact_mut(ENTRY).zip(headers) {
            entry[..4].copy_from_slice(&name.0.to_le_bytes());
            entry[4..].copy_from_slice(&value.0.to_le_bytes());
        }
    }

    /// Ends the headers and begins the text with the request head as received.
    pub fn text(&mut self, head: &[u8]) {
        self.text = self.out.len();
        put(self.out, 12, ((self.text - FIXED) / ENTRY) as u32);
        put(self.out, 28, self.text as u32);
        self.out.extend_from_slice(head);
    }

    /// Where the next appended bytes will start in the text.
    #[must_use]
    pub fn position(&self) -> u32 {
        (self.out.len() - self.text) as u32
    }

    /// Appends `bytes` to the text and gives the pair that marks them.
    pub fn append(&mut self, bytes: &[u8]) -> Pair {
        let start = self.position();
        self.out.extend_from_slice(bytes);
        Pair::new(start, start + bytes.len() as u32)
    }

    /// Sets one of the fixed pieces.
    pub fn piece(&mut self, piece: Piece, pair: Pair) {
        put(self.out, piece as usize, pair.0);
    }

    /// Completes the table. `false` if the payload is too large for a frame, in either encoding.
    #[must_use]
    pub fn finish(self) -> bool {
        let length = self.out.len() - self.text;
        put(self.out, 32, length as u32);
        self.out.len() + MORE_AS_PAIRS <= MAX_PAYLOAD
    }
}

/// Sets the body's length and the flag that there is one, once it is known.
pub fn set_body_length(payload: &mut [u8], length: u64) {
    let flags = read_u32(payload, 8) | FLAG_BODY;
    put(payload, 8, flags);
    put(payload, 16, length as u32);
    put(payload, 20, (length >> 32) as u32);
}

/// Sets the number that the names of a HEAD frame have on its link; 0: none.
pub fn set_names_number(frame: &mut [u8], number: u32) {
    put(frame, HEADER + 4, number);
}

/// Sets the flag that the body is streamed, and its length if that is known.
pub fn set_body_streamed(payload: &mut [u8], length: Option<u64>) {
    if let Some(length) = length {
        set_body_length(payload, length);
    }
    let flags = read_u32(payload, 8) | FLAG_STREAMED;
    put(payload, 8, flags);
}

/// Reads a payload that [`HeadWriter`] wrote.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    payload: &'a [u8],
    text: &'a [u8],
}

impl<'a> HeadView<'a> {
    /// `payload` was written by [`HeadWriter`]; of anything else the pieces come out empty.
    #[must_use]
    #[inline]
    pub fn new(payload: &'a [u8]) -> Self {
        if payload.len() < FIXED {
            return Self { payload: &[0; FIXED], text: &[] };
        }
        let text = payload.get(read_u32(payload, 28) as usize..).unwrap_or_default();
        Self { payload, text }
    }

    #[must_use]
    pub fn piece(&self, piece: Piece) -> &'a [u8] {
        Pair(read_u32(self.payload, piece as usize)).of(self.text)
    }

    /// The connection's own variables: name NUL value NUL …
    #[must_use]
    pub fn variables(&self) -> &'a [u8] {
        if self.flags() & FLAG_VARIABLES == 0 {
            return &[];
        }
        let start = read_u32(self.payload, Piece::RemoteAddr as usize) & 0xffff;
        self.text.get(start as usize..).unwrap_or_default()
    }

    #[must_use]
    #[inline]
    pub fn names(&self) -> NamesId {
        NamesId::from_bits(read_u32(self.payload, 4))
    }

    #[must_use]
    pub fn flags(&self) -> u32 {
        read_u32(self.payload, 8)
    }

    /// The port that the client has come to, and its own; 0: there is none.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        let ports = read_u32(self.payload, 24);
        ((ports >> 16) as u16, ports as u16)
    }

    /// Bytes of the body, if [`FLAG_BODY`] says that there is one.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        u64::from(read_u32(self.payload, 20)) << 32 | u64::from(read_u32(self.payload, 16))
    }

    /// Headers in the order of arrival, names as received.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        let count = read_u32(self.payload, 12) as usize;
        let table = self
            .payload
            .get(FIXED..FIXED.saturating_add(count.saturating_mul(ENTRY)))
            .unwrap_or_default();
        table.chunks_exact(ENTRY).map(|entry| {
            (Pair(read_u32(entry, 0)).of(self.text), Pair(read_u32(entry, 4)).of(self.text))
        })
    }
}

fn put(out: &mut [u8], at: usize, value: u32) {
    out[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_head_is_read_back() {
        let head = b"GET /a%20b?q=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n";
        let mut out = vec![1, 2, 3];
        let fixed = Fixed {
            application: 3,
            names: NamesId::from_bits(9),
            flags: FLAG_TLS,
            server_port: 8080,
            remote_port: 40_000,
        };
        let mut writer = HeadWriter::new(&mut out, fixed);
        writer.headers(
            2,
            [(Pair::new(25, 29), Pair::new(31, 32)), (Pair::new(34, 37), Pair::new(39, 40))]
                .into_iter(),
        );
        writer.text(head);
        writer.piece(Piece::Method, Pair::new(0, 3));
        let path = writer.append(b"/a b");
        writer.piece(Piece::PathInfo, path);
        assert!(writer.finish());
        set_body_length(&mut out, 0x1_0000_0002);
        let view = HeadView::new(&out);
        assert_eq!(view.piece(Piece::Method), b"GET");
        assert_eq!(view.piece(Piece::PathInfo), b"/a b");
        assert_eq!(view.piece(Piece::Query), b"");
        assert_eq!(view.flags(), FLAG_TLS | FLAG_BODY);
        assert_eq!(view.names().bits(), 9);
        let headers: Vec<_> = view.headers().collect();
        assert_eq!(headers, [(&b"Host"[..], &b"h"[..]), (&b"X-A"[..], &b"1"[..])]);
        assert_eq!((read_u32(&out, 16), read_u32(&out, 20)), (2, 1));
        assert_eq!(read_u32(&out, 24), 8080 << 16 | 40_000);
    }

    #[test]
    fn variables_stand_behind_the_address() {
        let mut out = Vec::new();
        let flags = FLAG_TLS | FLAG_VARIABLES;
        let mut writer = HeadWriter::new(&mut out, Fixed { flags, ..Fixed::default() });
        writer.headers(0, std::iter::empty());
        writer.text(b"GET / HTTP/1.1\r\n\r\n");
        let address = writer.append(b"192.0.2.1");
        writer.piece(Piece::RemoteAddr, address);
        writer.append(b"SSL_PROTOCOL\0TLSv1.3\0");
        assert!(writer.finish());
        assert_eq!(HeadView::new(&out).variables(), b"SSL_PROTOCOL\0TLSv1.3\0");
        let mut pairs = Vec::new();
        crate::pairs::write_pairs(&mut pairs, &out);
        let expected = b"HTTPS\0on\0SSL_PROTOCOL\0TLSv1.3\0";
        assert!(pairs.windows(expected.len()).any(|bytes| bytes == expected));
        put(&mut out, 8, FLAG_TLS);
        assert_eq!(HeadView::new(&out).variables(), b"");
    }

    #[test]
    fn a_head_too_large_for_a_frame_says_so() {
        let mut out = Vec::new();
        let mut writer = HeadWriter::new(&mut out, Fixed::default());
        writer.text(&vec![b'a'; MAX_PAYLOAD]);
        assert!(!writer.finish());
    }
}
