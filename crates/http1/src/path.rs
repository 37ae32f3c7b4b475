//! The normal form of a request path, which the router, access rules, file lookup and environ all share.
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
}

impl PathError {
    /// The rule that was broken, for the log.
    pub fn reason(&self) -> &'static str {
        match self {
            PathError::Malformed => "malformed percent-encoding in the path",
            PathError::Nul => "NUL in the path",
            PathError::AboveRoot => "path climbs above the root",
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
pub fn normalize(raw: &[u8], out: &mut Vec<u8>) -> Result<Normalized, PathError> {
    out.clear();
    if is_plain(raw) || raw == b"*" {
        return Ok(Normalized { form: Normal::Same, encoded_slash: false });
    }
    let encoded_slash = decode(raw, out)?;
    let form = if out == raw { Normal::Same } else { Normal::Decoded };
    if form == Normal::Same {
        out.clear();
    }
    Ok(Normalized { form, encoded_slash })
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

/// Decodes into `out`, which always holds finished segments, each with its slash, and the one that is being read.
fn decode(raw: &[u8], out: &mut Vec<u8>) -> Result<bool, PathError> {
    let [b'/', rest @ ..] = raw else {
        return Err(PathError::Malformed);
    };
    out.push(b'/');
    let mut encoded_slash = false;
    let mut segment = 1;
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high =
                bytes.next().and_then(|&digit| hex_digit(digit)).ok_or(PathError::Malformed)?;
            let low =
                bytes.next().and_then(|&digit| hex_digit(digit)).ok_or(PathError::Malformed)?;
            let decoded = high << 4 | low;
            encoded_slash |= matches!(decoded, b'/' | b'\\');
            decoded
        } else {
            byte
        };
        match byte {
            0 => return Err(PathError::Nul),
            b'/' => segment = end_segment(out, segment, true)?,
            _ => out.push(byte),
        }
    }
    end_segment(out, segment, false)?;
    Ok(encoded_slash)
}

/// Ends the segment that starts at `segment`, and returns where the next one starts (RFC 3986 §5.2.4).
fn end_segment(out: &mut Vec<u8>, segment: usize, slash: bool) -> Result<usize, PathError> {
    match &out[segment..] {
        b"" => {}
        b"." => out.truncate(segment),
        b".." => {
            // The slash before this segment does not count: the parent starts behind the one before it.
            let before = &out[..segment - 1];
            let parent =
                before.iter().rposition(|&byte| byte == b'/').ok_or(PathError::AboveRoot)?;
            out.truncate(parent + 1);
        }
        _ if slash => out.push(b'/'),
        _ => {}
    }
    Ok(out.len())
}
