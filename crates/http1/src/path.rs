//! The two forms of a request path. Router, access rules and file lookup share the normal form, in which slashes are merged. An
//! application gets the rest of the path behind its mount with its doubled slashes, for they mean something to image proxies, archives and
//! stores of objects. Merging that gives what the others saw, always.
//!
//! A path is decoded here, once, and never again. Bytes stay bytes: nothing is folded or read as UTF-8, so an overlong
//! encoding never turns into a slash or a dot.

use std::fmt;

use crate::syntax::hex_digit;

/// Where the normal form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normal {
    /// The raw path already is the normal form; `out` is empty.
    Same,
    /// The normal form is in `out`.
    Decoded,
}

/// The result of [`normalize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalized {
    /// Where the normal form is.
    pub form: Normal,
    /// The raw path held `%2f` or `%5c`. Once decoded, `%2f` separates segments like any slash; whoever must not treat
    /// the two alike (file lookup) refuses the path.
    pub encoded_slash: bool,
    /// The raw path has empty segments, which the normal form has not. What an application gets of it is in [`rest`].
    pub doubled: bool,
}

/// Writes a decoded path as it stands in a URL: what is not plainly a path's character is encoded (RFC 3986 §3.3, H80).
pub fn encode(out: &mut Vec<u8>, path: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            out.push(byte);
        } else {
            out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Why a path has no normal form. The answer to all of them is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// A `%` without two hexadecimal digits, or a path that does not start with a slash.
    Malformed,
    /// A NUL byte, encoded or not.
    Nul,
    /// A `..` that climbs above the root.
    AboveRoot,
    /// Both an empty segment and a dot segment: it depends on the reader which segment a `..` takes away.
    Ambiguous,
}

impl PathError {
    /// The rule that was broken, for the log.
    pub fn reason(&self) -> &'static str {
        match self {
            PathError::Malformed => "malformed percent-encoding in the path",
            PathError::Nul => "NUL in the path",
            PathError::AboveRoot => "path climbs above the root",
            PathError::Ambiguous => "both an empty and a dot segment in the path",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for PathError {}

/// Brings a raw path into its normal form: percent-decoded once, then without dot segments and doubled slashes; a slash
/// at the end stays.
///
/// `out` is cleared first. A raw path starts with `/`; the `*` of OPTIONS is its own normal form.
///
/// # Errors
/// The path has no normal form.
pub fn normalize(raw: &[u8], out: &mut Vec<u8>) -> Result<Normalized, PathError> {
    out.clear();
    if is_plain(raw) || raw == b"*" {
        return Ok(Normalized { form: Normal::Same, encoded_slash: false, doubled: false });
    }
    let Decoded { encoded_slash, doubled, dotted } = decode(raw, out)?;
    match (doubled, dotted) {
        (true, true) => return Err(PathError::Ambiguous),
        (true, false) => merge(out),
        (false, true) => remove_dot_segments(out)?,
        (false, false) => {}
    }
    let form = if out == raw { Normal::Same } else { Normal::Decoded };
    if form == Normal::Same {
        out.clear();
    }
    Ok(Normalized { form, encoded_slash, doubled })
}

/// What an application gets of a path whose normal form is [`doubled`](Normalized::doubled), behind the first `prefix` bytes of that: decoded,
/// and with its doubled slashes. It is empty or begins with one slash, so that no `Location` that is made of it names another host (H80).
///
/// `prefix` ends where a segment of the normal form does; 0 is the whole path.
pub fn rest(raw: &[u8], prefix: usize, out: &mut Vec<u8>) {
    let start = out.len();
    if decode(raw, out).is_err() {
        return;
    }
    let mut merged = 0;
    let mut before = 0;
    let behind = out[start..].iter().take_while(|&&byte| {
        let is_of_prefix = merged < prefix;
        merged += usize::from(byte != b'/' || before != b'/');
        before = byte;
        is_of_prefix
    });
    let rest = start + behind.count();
    let slashes = out[rest..].iter().take_while(|&&byte| byte == b'/').count();
    out.drain(start..rest + slashes.saturating_sub(1));
}

/// Merges doubled slashes.
pub fn merge(path: &mut Vec<u8>) {
    path.dedup_by(|byte, before| (*byte, *before) == (b'/', b'/'));
}

/// Whether a path surely is in normal form: no escape, and no dot or slash behind a slash. Others (`/.well-known`) may be too.
fn is_plain(raw: &[u8]) -> bool {
    if raw.first() != Some(&b'/') {
        return false;
    }
    let mut before = 0;
    for &byte in raw {
        if byte == b'%' || byte == 0 || (before == b'/' && (byte == b'/' || byte == b'.')) {
            return false;
        }
        before = byte;
    }
    true
}

/// What a path has once it is decoded.
struct Decoded {
    encoded_slash: bool,
    /// A segment is empty, other than the last.
    doubled: bool,
    /// A segment is `.` or `..`.
    dotted: bool,
}

/// Decodes onto the end of `out`.
fn decode(raw: &[u8], out: &mut Vec<u8>) -> Result<Decoded, PathError> {
    let [b'/', rest @ ..] = raw else {
        return Err(PathError::Malformed);
    };
    out.push(b'/');
    let mut decoded = Decoded { encoded_slash: false, doubled: false, dotted: false };
    let mut segment = out.len();
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high =
                bytes.next().and_then(|&digit| hex_digit(digit)).ok_or(PathError::Malformed)?;
            let low =
                bytes.next().and_then(|&digit| hex_digit(digit)).ok_or(PathError::Malformed)?;
            let byte = high << 4 | low;
            decoded.encoded_slash |= matches!(byte, b'/' | b'\\');
            byte
        } else {
            byte
        };
        match byte {
            0 => return Err(PathError::Nul),
            b'/' => {
                decoded.doubled |= out.len() == segment;
                decoded.dotted |= is_dots(&out[segment..]);
                segment = out.len() + 1;
            }
            _ => {}
        }
        out.push(byte);
    }
    decoded.dotted |= is_dots(&out[segment..]);
    Ok(decoded)
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Takes dot segments out of a path (RFC 3986 §5.2.4) that has no empty one but the last.
fn remove_dot_segments(path: &mut Vec<u8>) -> Result<(), PathError> {
    // What is kept always ends behind a slash, until the last segment is.
    let mut kept = 1;
    let mut read = 1;
    while read < path.len() {
        let end = memchr::memchr(b'/', &path[read..]).map_or(path.len(), |slash| read + slash + 1);
        match &path[read..end] {
            b"." | b"./" => {}
            b".." | b"../" => {
                // The slash before this segment does not count: the parent starts behind the one before it.
                let before = &path[..kept - 1];
                let parent =
                    before.iter().rposition(|&byte| byte == b'/').ok_or(PathError::AboveRoot)?;
                kept = parent + 1;
            }
            _ => {
                path.copy_within(read..end, kept);
                kept += end - read;
            }
        }
        read = end;
    }
    path.truncate(kept);
    Ok(())
}
