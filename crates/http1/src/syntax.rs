//! Character classes of RFC 9110 and RFC 3986.

/// A set of bytes.
pub(crate) struct Class([bool; 256]);

impl Class {
    #[inline]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }

    const fn alphanumeric_and(others: &[u8]) -> Class {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            set[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut i = 0;
        while i < others.len() {
            set[others[i] as usize] = true;
            i += 1;
        }
        Class(set)
    }

    const fn ascii(mut self) -> Class {
        let mut byte = 128;
        while byte < 256 {
            self.0[byte] = false;
            byte += 1;
        }
        self
    }

    const fn visible(with: &[u8], without: &[u8]) -> Class {
        let mut set = [false; 256];
        let mut byte = 0x21;
        while byte < 256 {
            set[byte] = byte != 0x7f;
            byte += 1;
        }
        let mut i = 0;
        while i < with.len() {
            set[with[i] as usize] = true;
            i += 1;
        }
        let mut i = 0;
        while i < without.len() {
            set[without[i] as usize] = false;
            i += 1;
        }
        Class(set)
    }
}

/// tchar, RFC 9110 §5.6.2.
pub(crate) static TOKEN: Class = Class::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// What a field value may hold: VCHAR, obs-text, SP and HTAB (RFC 9110 §5.5).
pub(crate) static VALUE: Class = Class::visible(b" \t", b"");

/// qdtext, RFC 9110 §5.6.4.
pub(crate) static QUOTED_TEXT: Class = Class::visible(b" \t", b"\"\\");

/// Bytes of a request target that mean nothing to its parser: any visible character of ASCII but `?`, `#` and `\`.
pub(crate) static TARGET: Class = Class::visible(b"", b"?#\\").ascii();

/// Bytes of a host name: reg-name of RFC 3986 §3.2.2 without percent-encoding, which would be a different host to
/// different readers, and without the comma, which would be a list to some.
pub(crate) static HOST: Class = Class::alphanumeric_and(b"-._~!$&'()*+;=");

pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| TOKEN.has(byte))
}

/// Without the optional white space around it (OWS, RFC 9110 §5.6.3).
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The value of a hexadecimal digit.
#[inline]
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// A Content-Length: decimal digits and nothing else, up to 2^63 − 1. A leading zero is refused, because some
/// readers take it for octal.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    // 19 digits hold 2^63 - 1 and cannot overflow a u64.
    if value.is_empty() || value.len() > 19 || (value[0] == b'0' && value.len() > 1) {
        return None;
    }
    let mut length = 0u64;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    (length <= i64::MAX as u64).then_some(length)
}

/// The same in a response, where nothing behind us could read the zeros another way: they are the application's, and valid (RFC 9110 §8.6).
pub(crate) fn length_of_response(value: &[u8]) -> Option<u64> {
    let zeros = value.iter().take_while(|byte| **byte == b'0').count();
    content_length(&value[zeros.min(value.len().saturating_sub(1))..])
}
