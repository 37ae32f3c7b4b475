//! Response heads as an HTTP/1 server wrote them: from bytes to what goes on to the client under a framing of our own.

use std::fmt;

use crate::response::{BlockError, BlockFacts, first_line, note};
use crate::syntax::{VALUE, trim};

/// A response head, parsed to be relayed. What concerned the connection it came over is taken out of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase as received; it may be empty.
    pub reason: &'a [u8],
    /// Of the lines that are relayed.
    pub facts: BlockFacts,
    /// The sender's framing of the body was chunked.
    pub chunked: bool,
    /// The sender wants its connection closed.
    pub close: bool,
}

/// A response head that must not be relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseHeadError {
    /// The first line is not `HTTP/1.x NNN reason`.
    StatusLine,
    /// Transfer-Encoding is anything but `chunked`.
    TransferEncoding,
    /// A header line is wrong.
    Line(BlockError),
    /// There is no empty line at the end, or something behind it.
    End,
}

impl fmt::Display for ResponseHeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatusLine => {
                f.write_str("its first line is not \"HTTP/1.1 200 OK\" or the like")
            }
            Self::TransferEncoding => f.write_str("Transfer-Encoding is not \"chunked\""),
            Self::Line(error) => error.fmt(f),
            Self::End => f.write_str("it does not end with an empty line"),
        }
    }
}

impl std::error::Error for ResponseHeadError {}

/// Parses a whole response head, from its status line to its empty line, and appends its end-to-end header lines to `lines`.
///
/// Left out are the fields of the sender's connection (RFC 9110 §7.6.1: Connection and what it names, Keep-Alive,
/// Proxy-Connection, TE, Transfer-Encoding, Upgrade), and a Content-Length beside Transfer-Encoding (RFC 9112 §6.3).
/// Names, values and line ends are checked as in [`check_block`](crate::response::check_block).
///
/// # Errors
/// The head is not plainly right; `lines` then holds anything.
pub fn parse_response_head<'a>(
    head: &'a [u8],
    lines: &mut Vec<u8>,
) -> Result<ResponseHead<'a>, ResponseHeadError> {
    let (status, reason, mut rest) = status_line(head).ok_or(ResponseHeadError::StatusLine)?;
    let start = lines.len();
    let mut parsed =
        ResponseHead { status, reason, facts: BlockFacts::default(), chunked: false, close: false };
    let mut named: Vec<&[u8]> = Vec::new();
    let mut length_line = 0..0;
    while rest != b"\r\n" {
        if rest.is_empty() || rest.starts_with(b"\r\n") {
            return Err(ResponseHeadError::End);
        }
        let line = first_line(rest).map_err(ResponseHeadError::Line)?;
        let bytes = &rest[..rest.len() - line.behind.len()];
        rest = line.behind;
        let is = |other: &[u8]| line.name.eq_ignore_ascii_case(other);
        match line.name.len() {
            2 if is(b"te") => continue,
            7 if is(b"upgrade") => continue,
            10 if is(b"keep-alive") => continue,
            10 if is(b"connection") => {
                for option in line.value.split(|&byte| byte == b',').map(trim) {
                    if option.eq_ignore_ascii_case(b"close") {
                        parsed.close = true;
                    } else if !option.is_empty() && !option.eq_ignore_ascii_case(b"keep-alive") {
                        named.push(option);
                    }
                }
                continue;
            }
            14 if is(b"content-length") => {
                length_line = lines.len()..lines.len() + bytes.len();
            }
            16 if is(b"proxy-connection") => continue,
            17 if is(b"transfer-encoding") => {
                if parsed.chunked || !line.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(ResponseHeadError::TransferEncoding);
                }
                parsed.chunked = true;
                continue;
            }
            _ => {}
        }
        note(&mut parsed.facts, line.name, line.value)
            .map_err(|rule| ResponseHeadError::Line(BlockError::new(line.name, rule)))?;
        lines.extend_from_slice(bytes);
    }
    if parsed.chunked && parsed.facts.content_length.take().is_some() {
        lines.drain(length_line);
    }
    if !named.is_empty() {
        parsed.facts = leave_out(lines, start, &named);
    }
    Ok(parsed)
}

/// `HTTP/1.x NNN reason CRLF`, and what follows. The space before an empty reason may be missing, as from many servers.
fn status_line(head: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let [b'0'..=b'9', b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest
    else {
        return None;
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    let status = digit(*a) * 100 + digit(*b) * 10 + digit(*c);
    let rest = match rest {
        [b' ', rest @ ..] => rest,
        [b'\r', ..] => rest,
        _ => return None,
    };
    let length = rest.iter().position(|&byte| !VALUE.has(byte))?;
    let (reason, rest) = rest.split_at(length);
    Some((status, reason, rest.strip_prefix(b"\r\n")?))
}

/// Removes the fields of these names from the lines from `start` on, which have been checked.
#[cold]
fn leave_out(lines: &mut Vec<u8>, start: usize, names: &[&[u8]]) -> BlockFacts {
    let all = lines.split_off(start);
    let mut facts = BlockFacts::default();
    let mut rest = &all[..];
    while let Ok(line) = first_line(rest) {
        let bytes = &rest[..rest.len() - line.behind.len()];
        rest = line.behind;
        // Content-Length is the message's, whatever Connection says.
        let is_length = line.name.eq_ignore_ascii_case(b"content-length");
        if (is_length || !names.iter().any(|name| line.name.eq_ignore_ascii_case(name)))
            && note(&mut facts, line.name, line.value).is_ok()
        {
            lines.extend_from_slice(bytes);
        }
    }
    facts
}
