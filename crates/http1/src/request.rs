//! Request heads: from a buffer to spans, or to a refusal.

use std::sync::LazyLock;

use httparse::{EMPTY_HEADER, Header, Status};
use memchr::memmem::Finder;

use crate::framing::{Body, Framing};
use crate::host::check_authority;
use crate::rejection::{Kind, Rejection};
use crate::request_line::{RequestLine, TargetForm, Version, method_len, parse_request_line};
use crate::span::{HeaderSpan, Span};

/// How large a request head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the request line without its line end; beyond is 414.
    pub request_line: usize,
    /// Bytes of the header lines with their line ends and the empty line; beyond is 431.
    pub header_bytes: usize,
    /// Header fields; beyond is 431.
    pub header_count: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { request_line: 8192, header_bytes: 16_384, header_count: 100 }
    }
}

/// A request head whose syntax and framing have been checked. All spans count from the start of the parsed buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes of the head with its empty line, and with empty lines skipped before it. The body starts here.
    pub len: usize,
    /// The method: a token of at most 32 bytes, never CONNECT or TRACE.
    pub method: Span,
    /// The request target as received.
    pub target: Span,
    /// The raw path: starts with `/`, except for [`TargetForm::Asterisk`], where it is `*`. An absolute target without a path
    /// (`http://host`, `http://host?query`) means `/`; the span then is the first slash of its `//`, so do not take
    /// its position for the end of the authority.
    pub path: Span,
    /// The query without its `?`; empty if there is none.
    pub query: Span,
    /// `host[:port]` of an absolute target, else of the Host field (RFC 9112 §3.2.2); empty for HTTP/1.0 without Host.
    pub authority: Span,
    /// `authority` without its port. An IPv6 address keeps its brackets.
    pub host: Span,
    /// The version the request is handled as.
    pub version: Version,
    /// The form of the request target.
    pub form: TargetForm,
    /// How the body is framed.
    pub body: Body,
    /// Whether the client lets the connection go on after the response.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body. Only with HTTP/1.1 and a body that is not empty.
    pub expect_continue: bool,
    /// Whether there is a field in which proxies say who their client is.
    pub forwarded: bool,
}

/// Parses the request head at the start of `buf`.
///
/// `Ok(None)`: nothing wrong so far, more bytes needed. Limits hold for incomplete heads too, and what can be seen to be bad
/// is refused without waiting for the rest. `headers` is cleared, and with `Ok(Some(_))` it holds every field, Host and
/// framing included, in order of arrival.
pub fn parse_request(
    buf: &[u8],
    limits: &Limits,
    headers: &mut Vec<HeaderSpan>,
) -> Result<Option<RequestHead>, Rejection> {
    headers.clear();
    let start = skip_empty_lines(buf)?;
    let Some(end_bound) = find_end(buf, start, limits) else {
        check_incomplete(buf, start, limits)?;
        return Ok(None);
    };
    let head = &buf[..end_bound];

    let line = parse_request_line(head, start)?;
    if line.end - 2 - start > limits.request_line {
        return Err(Kind::RequestLineLength.into());
    }

    let mut framing = Framing::default();
    let len = parse_headers(head, line.end, limits, &mut framing, headers)?;
    let (authority, host) = authority(head, &line, &framing)?;
    let body = framing.body(line.version)?;
    Ok(Some(RequestHead {
        len,
        method: line.method,
        target: line.target,
        path: line.path,
        query: line.query,
        authority,
        host,
        version: line.version,
        form: line.form,
        body,
        keep_alive: framing.keep_alive(line.version),
        expect_continue: framing.expect_continue(line.version, body),
        forwarded: framing.forwarded,
    }))
}

/// Clients of old end a body with a stray CRLF (RFC 9112 §2.2); more than a few are no accident.
const EMPTY_LINES_MAX: usize = 4;

fn skip_empty_lines(buf: &[u8]) -> Result<usize, Kind> {
    let mut start = 0;
    loop {
        match buf[start..] {
            [b'\r', b'\n', ..] if start == 2 * EMPTY_LINES_MAX => return Err(Kind::EmptyLines),
            [b'\r', b'\n', ..] => start += 2,
            [b'\r'] | [] => return Ok(start),
            [b'\r', ..] => return Err(Kind::BareCr),
            [b'\n', ..] => return Err(Kind::BareLf),
            _ => return Ok(start),
        }
    }
}

/// An offset at or behind the end of the head, at which an empty line stands. `None`: there is none within the limits.
///
/// This makes the repeated parsing of a head that trickles in cheap: one vectorised search for each piece.
fn find_end(buf: &[u8], start: usize, limits: &Limits) -> Option<usize> {
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

    let max_len = limits.request_line.saturating_add(2).saturating_add(limits.header_bytes);
    // Spans are 32 bits wide.
    let window_end = start.saturating_add(max_len).min(buf.len()).min(u32::MAX as usize);
    let window = &buf[start..window_end];
    // Most often the buffer holds one request without a body, or several: no search needed.
    if window.ends_with(b"\r\n\r\n") {
        return Some(window_end);
    }
    END.find(window).map(|at| start + at + 4)
}

/// Refuses a head without an end that is too large already, or can be seen to be bad from what is there.
#[cold]
fn check_incomplete(buf: &[u8], start: usize, limits: &Limits) -> Result<(), Rejection> {
    let rest = &buf[start..];
    if rest == b"\r" {
        return Ok(());
    }
    // A TLS ClientHello, for one, is told apart by its first byte.
    method_len(rest)?;

    if memchr::memchr_iter(b'\r', rest)
        .any(|cr| rest.get(cr + 1).is_some_and(|byte| *byte != b'\n'))
    {
        return Err(Kind::BareCr.into());
    }
    let mut line_start = 0;
    let mut lines = 0usize;
    for lf in memchr::memchr_iter(b'\n', rest) {
        if lf == line_start || rest[lf - 1] != b'\r' {
            return Err(Kind::BareLf.into());
        }
        if lines == 0 {
            if lf - 1 > limits.request_line {
                return Err(Kind::RequestLineLength.into());
            }
            parse_request_line(&rest[..=lf], 0)?;
            if rest.len() - (lf + 1) > limits.header_bytes {
                return Err(Kind::HeaderBytes.into());
            }
        }
        if let Some(b' ' | b'\t') = rest.get(lf + 1) {
            return Err(if lines == 0 { Kind::LeadingSpace } else { Kind::Folded }.into());
        }
        line_start = lf + 1;
        lines += 1;
    }
    if lines == 0 {
        let line_len = rest.len() - usize::from(rest.ends_with(b"\r"));
        if line_len > limits.request_line {
            return Err(Kind::RequestLineLength.into());
        }
    } else if lines - 1 > limits.header_count {
        return Err(Kind::HeaderCount.into());
    }
    Ok(())
}

/// Nearly every request fits; one that does not is parsed again into a larger array.
const HEADERS_INLINE: usize = 32;

/// Parses the fields from `at` to the empty line and returns the offset behind it. `head` holds an empty line for certain.
fn parse_headers(
    head: &[u8],
    at: usize,
    limits: &Limits,
    framing: &mut Framing,
    headers: &mut Vec<HeaderSpan>,
) -> Result<usize, Rejection> {
    let section = &head[at..];
    let mut inline = [EMPTY_HEADER; HEADERS_INLINE];
    let room = limits.header_count.min(HEADERS_INLINE);
    let len = match httparse::parse_headers(section, &mut inline[..room]) {
        Ok(Status::Complete((len, fields))) => {
            note_fields(head, at, len, fields, framing, headers)?
        }
        Err(httparse::Error::TooManyHeaders) if room < limits.header_count => {
            // The shortest field, "a:" and its line end, has four bytes.
            let room = limits.header_count.min(section.len() / 4);
            let mut array = vec![EMPTY_HEADER; room];
            match httparse::parse_headers(section, &mut array) {
                Ok(Status::Complete((len, fields))) => {
                    note_fields(head, at, len, fields, framing, headers)?
                }
                Ok(Status::Partial) => return Err(Kind::HeaderName.into()),
                Err(error) => return Err(refusal(error, section).into()),
            }
        }
        // Not reachable: the section ends in an empty line, at the latest.
        Ok(Status::Partial) => return Err(Kind::HeaderName.into()),
        Err(error) => return Err(refusal(error, section).into()),
    };
    if len > limits.header_bytes {
        return Err(Kind::HeaderBytes.into());
    }
    Ok(at + len)
}

/// Takes over the fields that `httparse` found. It also ends lines at a bare LF, so each line is checked to be nothing
/// but name, colon, value, white space and CRLF (RFC 9112 §2.2).
fn note_fields(
    head: &[u8],
    at: usize,
    len: usize,
    fields: &[Header<'_>],
    framing: &mut Framing,
    headers: &mut Vec<HeaderSpan>,
) -> Result<usize, Rejection> {
    let base = head.as_ptr() as usize;
    let mut line_start = at;
    headers.reserve(fields.len());
    for field in fields {
        let name_start = field.name.as_ptr() as usize - base;
        let value_start = field.value.as_ptr() as usize - base;
        let value_end = value_start + field.value.len();
        let mut line_end = value_end;
        while let Some(b' ' | b'\t') = head.get(line_end) {
            line_end += 1;
        }
        if name_start != line_start || !head[line_end..].starts_with(b"\r\n") {
            return Err(Kind::BareLf.into());
        }
        line_start = line_end + 2;

        let value = Span::new(value_start, value_end);
        framing.note(field.name.as_bytes(), field.value, value)?;
        headers
            .push(HeaderSpan { name: Span::new(name_start, name_start + field.name.len()), value });
    }
    if line_start + 2 != at + len || !head[line_start..].starts_with(b"\r\n") {
        return Err(Kind::BareLf.into());
    }
    Ok(len)
}

/// Names the rule behind an error of `httparse`.
#[cold]
fn refusal(error: httparse::Error, section: &[u8]) -> Kind {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    match error {
        httparse::Error::TooManyHeaders => Kind::HeaderCount,
        httparse::Error::NewLine => Kind::BareCr,
        httparse::Error::HeaderValue => Kind::HeaderValue,
        _ if is_space(section.first()) => Kind::LeadingSpace,
        _ => {
            let mut lines = memchr::memchr_iter(b'\n', section);
            if lines.any(|lf| is_space(section.get(lf + 1))) {
                Kind::Folded
            } else {
                Kind::HeaderName
            }
        }
    }
}

/// The authority of the request and its host part. Host must be there and right even if an absolute target overrides it.
fn authority(head: &[u8], line: &RequestLine, framing: &Framing) -> Result<(Span, Span), Kind> {
    let Some(field) = framing.host else {
        return match line.version {
            Version::Http10 => Ok((line.authority, line.host)),
            Version::Http11 => Err(Kind::HostMissing),
        };
    };
    let host_len = check_authority(field.of(head))?;
    if line.form == TargetForm::Absolute {
        return Ok((line.authority, line.host));
    }
    Ok((field, Span { start: field.start, end: field.start + host_len as u32 }))
}
