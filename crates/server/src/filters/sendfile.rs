//! `X-Sendfile`: an application names a file in a response header, and the core sends that instead of the body.

use super::head::{ResponseHead, is_field, split_field};
use gwanmun_files::compression::is_compressible;
use gwanmun_files::forbids_transform;
use gwanmun_http1::response::BlockFacts;

const NAME: &[u8] = b"x-sendfile";

/// The head of a response whose file is being looked for.
#[derive(Debug)]
pub(crate) struct Sought {
    pub(crate) status: u16,
    pub(crate) reason: Option<Box<[u8]>>,
    /// The application's header lines, without the file's name and the length of its own body.
    pub(crate) lines: Vec<u8>,
    pub(crate) facts: BlockFacts,
    pub(crate) close: bool,
    pub(crate) path: Box<[u8]>,
}

impl Sought {
    /// What a response's head says of a file. None: it names none.
    pub(crate) fn new(head: &ResponseHead<'_>) -> Option<Self> {
        let mut fields = head.each_line().filter_map(split_field);
        let (_, path) = fields.find(|(field, _)| field.eq_ignore_ascii_case(NAME))?;
        Some(Self {
            status: head.status,
            reason: head.reason.map(Into::into),
            lines: head
                .each_line()
                .filter(|line| !is_field(line, NAME) && !is_field(line, b"content-length"))
                .flatten()
                .copied()
                .collect(),
            facts: head.facts,
            close: head.close,
            path: path.into(),
        })
    }

    /// Takes those of a file's header lines that the application has not given itself. `own`: validators are the application's.
    pub(crate) fn add_lines(&self, of_file: &[u8], own: bool, out: &mut Vec<u8>) {
        for line in of_file.split_inclusive(|&byte| byte == b'\n') {
            let is = |name: &[u8]| is_field(line, name);
            let foreign = is(b"etag") || is(b"last-modified") || is(b"accept-ranges");
            let said = is(b"content-type") && self.facts.has_content_type
                || is(b"content-encoding") && self.gives(b"content-encoding");
            if !(own && foreign || said) {
                out.extend_from_slice(line);
            }
        }
    }

    fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.lines.split_inclusive(|&byte| byte == b'\n');
        lines
            .filter_map(split_field)
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn gives(&self, name: &[u8]) -> bool {
        self.values(name).next().is_some()
    }

    /// Whether what the application says of the file goes for it in another coding too.
    pub(crate) fn may_be_coded(&self) -> bool {
        !self.gives(b"content-encoding")
            && !forbids_transform(&self.lines)
            && self.values(b"content-type").all(is_compressible)
    }
}
