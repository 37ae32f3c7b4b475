//! Response heads: status lines, and the check of header lines that an application wrote.

use std::fmt;

use crate::syntax::{TOKEN, VALUE, length_of_response, trim};

/// Appends the end of a chunked body: the last chunk, and the trailer fields that [`check_trailers`] has passed.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase of a status code (the IANA registry), `""` for an unknown one.
pub fn reason(status: u16) -> &'static str {
    known(status).map_or("", |(reason, _)| reason)
}

/// Whether bytes can be sent as a reason phrase: visible ones, space, HTAB and those beyond ASCII (RFC 9112 §4). It may be empty.
pub fn is_reason(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| VALUE.has(byte))
}

/// Appends `HTTP/1.1 NNN Reason CRLF`. A status has three digits: 100 to 999.
pub fn write_status_line(out: &mut Vec<u8>, status: u16) {
    debug_assert!((100..=999).contains(&status));
    if let Some((_, line)) = known(status) {
        out.extend_from_slice(line);
        return;
    }
    write_status_line_with(out, status, b"");
}

/// As [`write_status_line`], with a reason phrase of the caller's that [`is_reason`].
pub fn write_status_line_with(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    debug_assert!((100..=999).contains(&status));
    let digit = |divisor: u16| b'0' + (status / divisor % 10) as u8;
    out.extend_from_slice(b"HTTP/1.1 ");
    // The space stays without a reason behind it (RFC 9112 §4).
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends the size line of a chunk: hexadecimal, CRLF. The data and another CRLF follow. `len` is not 0, which would end the body.
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0);
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(DIGITS[len >> (4 * place) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a response with this status may have a body: not 1xx, 204 and 304 (RFC 9112 §6.3).
pub fn body_allowed(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

/// What the core needs to know about the header lines of a response to add what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockFacts {
    /// The application's Content-Length.
    pub content_length: Option<u64>,
    /// There is a Date.
    pub has_date: bool,
    /// There is a Server.
    pub has_server: bool,
    /// There is a Content-Type.
    pub has_content_type: bool,
    /// There is an X-Request-Id.
    pub has_request_id: bool,
    /// There is a Strict-Transport-Security.
    pub has_hsts: bool,
}

/// A header line that must not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockError {
    /// The name, or the line if it has none, as the application wrote it.
    header: Vec<u8>,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Name,
    NoColon,
    Value,
    LineEnd,
    Folded,
    ConnectionLevel,
    ContentLength,
    ContentLengthRepeated,
    Trailer,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to find it; the rest may be anything.
        const SHOWN: usize = 64;
        let shown = &self.header[..self.header.len().min(SHOWN)];
        let more = if shown.len() < self.header.len() { "…" } else { "" };
        let rule = match self.rule {
            Rule::Name => "its name is not a token (letters, digits and !#$%&'*+-.^_`|~)",
            Rule::NoColon => "there is no colon",
            Rule::Value => "its value holds a control character",
            Rule::LineEnd => "its line does not end in CRLF",
            Rule::Folded => "the line starts with white space (folding)",
            Rule::ConnectionLevel => "it belongs to the connection, which the server alone manages",
            Rule::ContentLength => "its value is not a decimal number",
            Rule::ContentLengthRepeated => "there is more than one",
            Rule::Trailer => {
                "a trailer comes too late for it: it frames, routes or explains the message"
            }
        };
        write!(f, "response header \"{}{more}\": {rule}", shown.escape_ascii())
    }
}

impl std::error::Error for BlockError {}

impl BlockError {
    pub(crate) fn new(header: &[u8], rule: Rule) -> Self {
        Self { header: header.to_vec(), rule }
    }
}

/// Checks a block of header lines, each `Name: value CRLF`; an empty block is right.
///
/// Names are tokens; values hold no control character but HTAB (so no response can be split); no line is folded; at most
/// one Content-Length, a number; and no field of the connection: Connection, Keep-Alive, Proxy-*, TE, Trailer,
/// Transfer-Encoding, Upgrade.
pub fn check_block(block: &[u8]) -> Result<BlockFacts, BlockError> {
    let mut facts = BlockFacts::default();
    let mut rest = block;
    while !rest.is_empty() {
        let line = first_line(rest)?;
        note_own(&mut facts, line.name, line.value)
            .map_err(|rule| BlockError::new(line.name, rule))?;
        rest = line.behind;
    }
    Ok(facts)
}

/// Checks fields that are sent behind a body, as [`check_block`] does, and that none is about how the message is framed, routed,
/// authenticated or read (RFC 9110 §6.5.1): that is decided by then.
///
/// # Errors
/// The first line that must not be sent.
pub fn check_trailers(block: &[u8]) -> Result<(), BlockError> {
    const TOO_LATE: [&[u8]; 16] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"date",
        b"expires",
        b"host",
        b"location",
        b"retry-after",
        b"set-cookie",
        b"vary",
        b"warning",
        b"www-authenticate",
    ];
    check_block(block)?;
    let mut rest = block;
    while !rest.is_empty() {
        let line = first_line(rest)?;
        if TOO_LATE.iter().any(|name| line.name.eq_ignore_ascii_case(name)) {
            return Err(BlockError::new(line.name, Rule::Trailer));
        }
        rest = line.behind;
    }
    Ok(())
}

pub(crate) struct Line<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The lines behind this one.
    pub(crate) behind: &'a [u8],
}

pub(crate) fn first_line(block: &[u8]) -> Result<Line<'_>, BlockError> {
    let error = |header: &[u8], rule| Err(BlockError::new(header, rule));
    let text = || block.split(|&byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();

    let name_len = block.iter().position(|&byte| !TOKEN.has(byte)).unwrap_or(block.len());
    match block.get(name_len) {
        Some(b':') if name_len > 0 => {}
        Some(b' ' | b'\t') if name_len == 0 => return error(text(), Rule::Folded),
        _ => {
            let text = text();
            return match memchr::memchr(b':', text) {
                Some(colon) => error(&text[..colon], Rule::Name),
                None => error(text, Rule::NoColon),
            };
        }
    }
    let (name, rest) = (&block[..name_len], &block[name_len + 1..]);
    let value_len = rest.iter().position(|&byte| !VALUE.has(byte)).unwrap_or(rest.len());
    match &rest[value_len..] {
        [b'\r', b'\n', behind @ ..] => Ok(Line { name, value: trim(&rest[..value_len]), behind }),
        [] | [b'\r' | b'\n', ..] => error(name, Rule::LineEnd),
        _ => error(name, Rule::Value),
    }
}

/// [`note`], for a block that must not hold fields of the connection.
fn note_own(facts: &mut BlockFacts, name: &[u8], value: &[u8]) -> Result<(), Rule> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    // The length sorts out nearly every name before a byte is compared.
    let connection_level = match name.len() {
        2 => is(b"te"),
        7 => is(b"trailer") || is(b"upgrade"),
        10 => is(b"connection") || is(b"keep-alive"),
        17 => is(b"transfer-encoding"),
        _ => false,
    };
    if connection_level || (name.len() >= 6 && name[..6].eq_ignore_ascii_case(b"proxy-")) {
        return Err(Rule::ConnectionLevel);
    }
    note(facts, name, value)
}

/// Takes down what the core needs to know of a field.
pub(crate) fn note(facts: &mut BlockFacts, name: &[u8], value: &[u8]) -> Result<(), Rule> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match name.len() {
        4 if is(b"date") => facts.has_date = true,
        6 if is(b"server") => facts.has_server = true,
        12 if is(b"content-type") => facts.has_content_type = true,
        12 if is(b"x-request-id") => facts.has_request_id = true,
        25 if is(b"strict-transport-security") => facts.has_hsts = true,
        14 if is(b"content-length") => {
            if facts.content_length.is_some() {
                return Err(Rule::ContentLengthRepeated);
            }
            facts.content_length = Some(length_of_response(value).ok_or(Rule::ContentLength)?);
        }
        _ => {}
    }
    Ok(())
}

/// Reason phrase and status line of each registered status code.
macro_rules! statuses {
    ($($status:literal $reason:literal,)*) => {
        fn known(status: u16) -> Option<(&'static str, &'static [u8])> {
            Some(match status {
                $($status => (
                    $reason,
                    concat!("HTTP/1.1 ", stringify!($status), " ", $reason, "\r\n").as_bytes(),
                ),)*
                _ => return None,
            })
        }
    };
}

statuses! {
    100 "Continue",
    101 "Switching Protocols",
    102 "Processing",
    103 "Early Hints",
    200 "OK",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    207 "Multi-Status",
    208 "Already Reported",
    226 "IM Used",
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    305 "Use Proxy",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    418 "I'm a teapot",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    423 "Locked",
    424 "Failed Dependency",
    425 "Too Early",
    426 "Upgrade Required",
    428 "Precondition Required",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons",
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates",
    507 "Insufficient Storage",
    508 "Loop Detected",
    510 "Not Extended",
    511 "Network Authentication Required",
}
