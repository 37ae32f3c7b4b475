//! The head of a program's response (RFC 3875 §6): from bytes as they come to lines that can be sent.

use gwanmun_http1::response::{BlockError, BlockFacts, check_block, is_reason};
use std::fmt;

/// Bytes that a head may have, with its empty line (C57, F30).
pub const MAX_HEAD: usize = 64 * 1024;
/// Fields that it may have.
pub const MAX_FIELDS: usize = 100;

/// Collects a head as its bytes come.
#[derive(Debug, Default)]
pub struct HeadCollector {
    bytes: Vec<u8>,
    /// Where the line begins that is not complete.
    line: usize,
}

impl HeadCollector {
    /// Takes bytes until the head is complete. Gives how many of them it took, if it is.
    ///
    /// # Errors
    /// The head is longer than [`MAX_HEAD`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        let before = self.bytes.len();
        let mut read = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[read..]) {
            let line_end = read + end + 1;
            if before + line_end > MAX_HEAD {
                return Err(HeadError::TooLong);
            }
            self.bytes.extend_from_slice(&bytes[read..line_end]);
            let line = &self.bytes[self.line..];
            if matches!(line, b"\n" | b"\r\n") {
                return Ok(Some(line_end));
            }
            self.line = self.bytes.len();
            read = line_end;
        }
        if before + bytes.len() > MAX_HEAD {
            return Err(HeadError::TooLong);
        }
        self.bytes.extend_from_slice(&bytes[read..]);
        Ok(None)
    }

    /// What has come.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A head that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// A response with its body.
    Document {
        /// 200 to 599.
        status: u16,
        /// The program's own, if it says one that can be sent.
        reason: Option<&'a [u8]>,
        facts: BlockFacts,
    },
    /// The response of another path of this server, with its query (RFC 3875 §6.2.2).
    LocalRedirect(&'a [u8]),
}

/// Why a head is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadError {
    TooLong,
    TooManyFields,
    /// The first line is empty.
    Empty,
    /// A line is no field.
    Line(Vec<u8>),
    /// A field that may come once only.
    Repeated(&'static str),
    Status(Vec<u8>),
    /// Neither Content-Type nor Location nor Status.
    NoField,
    /// A line can't be sent.
    Field(BlockError),
}

/// So much of a line is shown.
const SHOWN: usize = 80;

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &[u8]| text[..text.len().min(SHOWN)].escape_ascii().to_string();
        match self {
            Self::TooLong => write!(f, "its header is longer than {} KiB", MAX_HEAD / 1024),
            Self::TooManyFields => write!(f, "it has more than {MAX_FIELDS} header lines"),
            Self::Empty => f.write_str("it begins with an empty line and has no header"),
            Self::Line(line) => {
                write!(f, "\"{}\" stands where a header line should be", shown(line))
            }
            Self::Repeated(name) => write!(f, "it has {name} twice"),
            Self::Status(value) => {
                write!(f, "its Status \"{}\" is not a number from 200 to 599", shown(value))
            }
            Self::NoField => {
                f.write_str("its header has neither Content-Type nor Location nor Status")
            }
            Self::Field(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HeadError {}

/// Reads a complete head, and appends the lines that are sent to `lines`. `may_name_files`: a file that it names for the server to send is kept, as
/// `X-Sendfile`.
///
/// What belongs to a connection is left out (F37, C38), as is what is for another server alone.
///
/// # Errors
/// The program has written something that is not plainly a head; `lines` then holds anything.
pub fn parse<'a>(
    head: &'a [u8],
    may_name_files: bool,
    lines: &mut Vec<u8>,
) -> Result<Head<'a>, HeadError> {
    let start = lines.len();
    let mut status: Option<(u16, &[u8])> = None;
    let mut location: Option<&[u8]> = None;
    let mut content_type = false;
    let (mut fields, mut others) = (0, 0);
    for (index, line) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        // F32.
        if index == 0
            && let Some(rest) = line.strip_prefix(b"HTTP/")
        {
            let value = rest.iter().position(|&byte| byte == b' ').map(|at| &rest[at..]);
            status = Some(read_status(value.unwrap_or_default())?);
            continue;
        }
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(HeadError::TooManyFields);
        }
        let colon = line.iter().position(|&byte| byte == b':');
        // C35: no continuation lines.
        let Some(colon) = colon.filter(|_| !line.starts_with(b" ") && !line.starts_with(b"\t"))
        else {
            return Err(HeadError::Line(line.to_vec()));
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic()) {
            return Err(HeadError::Line(line.to_vec()));
        }
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"status") {
            // C65. A line with the status may come before it, and counts less.
            if status.is_some() && !head.starts_with(b"HTTP/") {
                return Err(HeadError::Repeated("Status"));
            }
            status = Some(read_status(value)?);
            continue;
        }
        if is(b"location") {
            if location.replace(value).is_some() {
                return Err(HeadError::Repeated("Location"));
            }
        } else if is(b"content-type") {
            if std::mem::replace(&mut content_type, true) {
                return Err(HeadError::Repeated("Content-Type"));
            }
        } else if is_of_connection(name) || is_for_servers(name) {
            continue;
        } else if is(b"x-sendfile") || is(b"x-lighttpd-send-file") {
            if may_name_files {
                lines.extend_from_slice(b"X-Sendfile: ");
                lines.extend_from_slice(value);
                lines.extend_from_slice(b"\r\n");
            }
            others += 1;
            continue;
        } else {
            others += 1;
        }
        lines.extend_from_slice(name);
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
    }
    if fields == 0 && status.is_none() {
        return Err(HeadError::Empty);
    }
    if status.is_none() && location.is_none() && !content_type {
        return Err(HeadError::NoField);
    }
    let facts = check_block(&lines[start..]).map_err(HeadError::Field)?;
    let by_default = match location {
        Some(target) if status.is_none() => {
            // C32, C64: `//host/path` is another host.
            if target.starts_with(b"/") && !target.starts_with(b"//") && others == 0 {
                return Ok(Head::LocalRedirect(target));
            }
            302
        }
        _ => 200,
    };
    let (status, reason) = status.map_or((by_default, None), |(status, reason)| {
        (status, (!reason.is_empty() && is_reason(reason)).then_some(reason))
    });
    Ok(Head::Document { status, reason, facts })
}

/// `404 Not Found`, or the number alone (C37).
fn read_status(value: &[u8]) -> Result<(u16, &[u8]), HeadError> {
    let value = value.trim_ascii();
    let (digits, reason) = value.split_at(value.len().min(3));
    let status = match digits {
        [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(HeadError::Status(value.to_vec())),
    };
    if !matches!(reason, [] | [b' ' | b'\t', ..]) {
        return Err(HeadError::Status(value.to_vec()));
    }
    Ok((status, reason.trim_ascii()))
}

/// RFC 9110 §7.6.1, and what no response has.
fn is_of_connection(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] =
        [b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"];
    NAMES.iter().any(|other| name.eq_ignore_ascii_case(other)) || begins_with(name, b"proxy-")
}

/// What tells a server what to do, and means nothing to a client (C39, F35).
fn is_for_servers(name: &[u8]) -> bool {
    begins_with(name, b"x-accel-") || begins_with(name, b"x-cgi-")
}

fn begins_with(name: &[u8], prefix: &[u8]) -> bool {
    name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix)
}
