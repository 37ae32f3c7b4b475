//! The request line: method, request target and version (RFC 9112 §3).

use crate::host::check_authority;
use crate::rejection::{Kind, Rejection};
use crate::span::Span;
use crate::syntax::{TARGET, TOKEN};

/// The HTTP version a request is handled as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and any later 1.x, which is compatible by definition (RFC 9110 §6.2).
    Http11,
}

/// The form of a request target (RFC 9112 §3.2). The authority form belongs to CONNECT alone, which is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`.
    Origin,
    /// `http://host/path?query`.
    Absolute,
    /// `*`, with OPTIONS.
    Asterisk,
}

/// Longer methods are not looked at any further.
const METHOD_MAX: usize = 32;

/// A parsed request line. Spans count from the start of the buffer.
pub(crate) struct RequestLine {
    /// Offset behind the CRLF.
    pub(crate) end: usize,
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) path: Span,
    pub(crate) query: Span,
    /// Of an absolute target, else empty; host is its part before the port.
    pub(crate) authority: Span,
    pub(crate) host: Span,
    pub(crate) form: TargetForm,
    pub(crate) version: Version,
}

/// The length of the method that `bytes` starts with. `Ok(None)`: right so far, but its end is not there yet.
pub(crate) fn method_len(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    for (i, &byte) in bytes.iter().take(METHOD_MAX + 1).enumerate() {
        if byte == b' ' && i > 0 {
            return Ok(Some(i));
        }
        if !TOKEN.has(byte) {
            return Err(Kind::Method.into());
        }
    }
    if bytes.len() > METHOD_MAX { Err(Kind::MethodLength.into()) } else { Ok(None) }
}

/// Parses the request line that starts at `start`. It must be complete in `buf`: what is missing counts as malformed.
pub(crate) fn parse_request_line(buf: &[u8], start: usize) -> Result<RequestLine, Rejection> {
    let method_len = method_len(&buf[start..])?.ok_or(Kind::VersionMissing)?;
    let method = Span::new(start, start + method_len);

    let target_start = start + method_len + 1;
    let scan = scan_target(&buf[target_start..])?;
    let target = Span::new(target_start, target_start + scan.len);

    let version_start = target_start + scan.len + 1;
    let version = parse_version(&buf[version_start..])?;

    match method.of(buf) {
        b"CONNECT" => return Err(Kind::Connect.into()),
        b"TRACE" => return Err(Kind::Trace.into()),
        _ => {}
    }

    let mut line = RequestLine {
        end: version_start + b"HTTP/1.1\r\n".len(),
        method,
        target,
        path: Span { start: target.start, end: target.start + scan.path_len as u32 },
        query: Span::default(),
        authority: Span::default(),
        host: Span::default(),
        form: TargetForm::Origin,
        version,
    };
    if scan.path_len < scan.len {
        line.query = Span { start: line.path.end + 1, end: target.end };
    }
    if buf[target_start] != b'/' {
        other_form(&mut line, buf)?;
    }
    Ok(line)
}

struct TargetScan {
    len: usize,
    /// Bytes before the first `?`.
    path_len: usize,
}

/// Finds the space that ends the target. Characters beyond ASCII pass if they are UTF-8: clients send them (RFC 9112 §3.2 has none). Bytes that
/// are not would be read in one way here and in another behind us.
fn scan_target(bytes: &[u8]) -> Result<TargetScan, Kind> {
    let mut path_len = None;
    let mut is_ascii = true;
    for (i, &byte) in bytes.iter().enumerate() {
        if TARGET.has(byte) {
            continue;
        }
        match byte {
            b'?' => path_len = path_len.or(Some(i)),
            b'\\' if path_len.is_some() => {}
            b'\\' => return Err(Kind::TargetBackslash),
            b'#' => return Err(Kind::TargetFragment),
            b' ' if i == 0 => return Err(Kind::TargetEmpty),
            b' ' if is_ascii || str::from_utf8(&bytes[..i]).is_ok() => {
                return Ok(TargetScan { len: i, path_len: path_len.unwrap_or(i) });
            }
            b' ' => return Err(Kind::TargetNotUtf8),
            0x80.. => is_ascii = false,
            b'\r' if bytes.get(i + 1) == Some(&b'\n') => return Err(Kind::VersionMissing),
            b'\r' => return Err(Kind::BareCr),
            b'\n' => return Err(Kind::BareLf),
            _ => return Err(Kind::TargetByte),
        }
    }
    Err(Kind::VersionMissing)
}

/// `HTTP-version CRLF`: the version is `HTTP/` DIGIT `.` DIGIT, case-sensitive (RFC 9112 §2.3).
fn parse_version(bytes: &[u8]) -> Result<Version, Kind> {
    if bytes.starts_with(b"HTTP/1.1\r\n") {
        return Ok(Version::Http11);
    }
    match bytes {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            match (major, minor) {
                (b'1', b'0') => Ok(Version::Http10),
                (b'1', _) => Ok(Version::Http11),
                _ => Err(Kind::VersionMajor),
            }
        }
        _ => Err(Kind::VersionSyntax),
    }
}

/// A target that does not start with `/`: `*`, or a URL. `line.path` still reaches from its start to the `?`.
#[cold]
fn other_form(line: &mut RequestLine, buf: &[u8]) -> Result<(), Kind> {
    if line.target.of(buf) == b"*" {
        if line.method.of(buf) != b"OPTIONS" {
            return Err(Kind::TargetAsterisk);
        }
        line.form = TargetForm::Asterisk;
        return Ok(());
    }

    let url = line.path.of(buf);
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| {
            url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .ok_or(Kind::TargetForm)?;
    let rest = &url[scheme.len()..];
    let authority_len = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    let host_len = check_authority(&rest[..authority_len]).map_err(|kind| match kind {
        Kind::Host => Kind::TargetAuthority,
        other => other,
    })?;

    let authority_start = line.path.start as usize + scheme.len();
    let authority_end = authority_start + authority_len;
    line.form = TargetForm::Absolute;
    line.authority = Span::new(authority_start, authority_end);
    line.host = Span::new(authority_start, authority_start + host_len);
    line.path = if authority_len < rest.len() {
        Span { start: authority_end as u32, end: line.path.end }
    } else {
        // No path means "/" (RFC 9112 §3.2.1). There is none to point at but those of the "//".
        Span::new(authority_start - 2, authority_start - 1)
    };
    Ok(())
}
