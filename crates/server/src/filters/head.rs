//! The head of a response: lines that have been checked, and what is known of them.

use gwanmun_http1::response::BlockFacts;

/// A final response's head, on its way to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead<'a> {
    pub(crate) status: u16,
    /// None: the usual one.
    pub(crate) reason: Option<&'a [u8]>,
    /// Header lines, each with its line end, in two pieces.
    pub(crate) lines: [&'a [u8]; 2],
    pub(crate) facts: BlockFacts,
    /// The Content-Length, where the lines do not say it.
    pub(crate) length: Option<u64>,
    /// Lines that the filters add.
    pub(crate) added: &'a [u8],
    /// The application wants the connection closed.
    pub(crate) close: bool,
    /// The application wants the body chunked, even if it comes whole.
    pub(crate) chunked: bool,
    /// All of the response is there.
    pub(crate) is_whole: bool,
}

impl<'a> ResponseHead<'a> {
    /// A head of lines that have been checked.
    pub(crate) fn new(status: u16, lines: &'a [u8]) -> Self {
        Self {
            status,
            reason: None,
            lines: [lines, b""],
            facts: BlockFacts::default(),
            length: None,
            added: b"",
            close: false,
            chunked: false,
            is_whole: false,
        }
    }

    /// Each line, with its end.
    pub(crate) fn each_line(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.lines.into_iter().flat_map(|lines| lines.split_inclusive(|&byte| byte == b'\n'))
    }
}

/// The name and the value of a header line.
pub(crate) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// Whether a header line is of this field.
pub(crate) fn is_field(line: &[u8], name: &[u8]) -> bool {
    split_field(line).is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::is_field;

    #[test]
    fn a_field_is_known_by_its_whole_name() {
        assert!(is_field(b"X-Sendfile: a\r\n", b"x-sendfile"));
        assert!(is_field(b"x-SENDFILE:a\r\n", b"x-sendfile"));
        for line in [&b"X-Sendfiles: a\r\n"[..], b"X-Sendfil: a\r\n", b"X-Sendfile", b""] {
            assert!(!is_field(line, b"x-sendfile"));
        }
    }
}
