//! The fields that decide where a request ends and whether its connection goes on (RFC 9112 §6, §9.3).

use crate::forwarded::is_forwarded;
use crate::rejection::Kind;
use crate::request_line::Version;
use crate::span::Span;
use crate::syntax::{content_length, is_token, trim};

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body: the next request follows the head.
    None,
    /// Content-Length. `Length(0)` is a body that is there and empty.
    Length(u64),
    /// Chunked transfer coding, read with a [`ChunkedDecoder`](crate::ChunkedDecoder).
    Chunked,
}

/// What is gathered from the fields of one head while they pass by.
#[derive(Default)]
pub(crate) struct Framing {
    pub(crate) host: Option<Span>,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
    pub(crate) forwarded: bool,
}

impl Framing {
    #[inline]
    pub(crate) fn note(&mut self, name: &[u8], value: &[u8], span: Span) -> Result<(), Kind> {
        // The length sorts out nearly every other field before a byte is compared.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.note_host(span)?,
            6 if name.eq_ignore_ascii_case(b"expect") => self.note_expect(value)?,
            10 if name.eq_ignore_ascii_case(b"connection") => self.note_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.note_content_length(value)?
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.note_transfer_encoding(value)?
            }
            9 | 15..=17 if is_forwarded(name) => self.forwarded = true,
            _ => {}
        }
        Ok(())
    }

    /// The body, after all fields have been noted.
    pub(crate) fn body(&self, version: Version) -> Result<Body, Kind> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(Kind::TransferEncodingAndLength),
            // RFC 9112 §6.1: its framing is faulty, even with a Content-Length.
            (true, None) if version == Version::Http10 => Err(Kind::TransferEncodingVersion),
            (true, None) => Ok(Body::Chunked),
            (false, Some(length)) => Ok(Body::Length(length)),
            (false, None) => Ok(Body::None),
        }
    }

    /// RFC 9112 §9.3: `close` wins.
    pub(crate) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// RFC 9110 §10.1.1: ignored from HTTP/1.0, and pointless without a body to wait for.
    pub(crate) fn expect_continue(&self, version: Version, body: Body) -> bool {
        self.expect_continue
            && version == Version::Http11
            && !matches!(body, Body::None | Body::Length(0))
    }

    /// Two are refused, even the same: whoever routes by the other one sends this request elsewhere (RFC 9112 §3.2).
    fn note_host(&mut self, value: Span) -> Result<(), Kind> {
        match self.host.replace(value) {
            Some(_) => Err(Kind::HostRepeated),
            None => Ok(()),
        }
    }

    /// Even the same length twice is refused: who repeats it is not one to trust with framing.
    fn note_content_length(&mut self, value: &[u8]) -> Result<(), Kind> {
        let length = content_length(value).ok_or(Kind::ContentLength)?;
        match self.content_length.replace(length) {
            Some(_) => Err(Kind::ContentLengthRepeated),
            None => Ok(()),
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(trim) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn note_expect(&mut self, value: &[u8]) -> Result<(), Kind> {
        for expectation in value.split(|&byte| byte == b',').map(trim) {
            if expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expect_continue = true;
            } else if !expectation.is_empty() {
                return Err(Kind::Expect);
            }
        }
        Ok(())
    }

    /// Only `chunked`, once, is understood (RFC 9112 §6.1, §7). The rest tells a mistake (400) from a coding that
    /// this server does not have (501).
    fn note_transfer_encoding(&mut self, value: &[u8]) -> Result<(), Kind> {
        if self.chunked {
            return Err(Kind::TransferEncodingRepeated);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(refuse_transfer_encoding(value));
        }
        self.chunked = true;
        Ok(())
    }
}

#[cold]
fn refuse_transfer_encoding(value: &[u8]) -> Kind {
    let codings: Vec<&[u8]> = value.split(|&byte| byte == b',').map(trim).collect();
    if !codings.iter().all(|coding| is_token(coding)) {
        return Kind::TransferEncoding;
    }
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if !codings.last().is_some_and(is_chunked) {
        Kind::TransferEncodingFinal
    } else if codings.iter().filter(|coding| is_chunked(coding)).count() > 1 {
        Kind::TransferEncodingRepeated
    } else {
        Kind::TransferEncodingUnknown
    }
}
