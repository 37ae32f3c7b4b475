//! Which form of a file a client gets: in which coding, and under which conditions.

use super::turn::Turn;
use crate::shared::message::Message;
use gwanmun_files::compression::Accepted;
use gwanmun_files::{Conditions, FileEntry, Files};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_http1::HeaderSpan;
use std::sync::Arc;

impl Turn {
    /// The file in the coding that the client likes best, if it is there; else one is made in the background for the next one who
    /// asks. A range is one of the file as it is.
    pub(crate) fn negotiate(
        &self,
        files: &Arc<Files>,
        entry: Arc<FileEntry>,
        conditions: &Conditions<'_>,
    ) -> Arc<FileEntry> {
        let Some(accepted) = conditions.accept_encoding.filter(|_| conditions.range.is_none())
        else {
            return entry;
        };
        let (chosen, wanted) = entry.negotiate(Accepted::parse(accepted));
        if let Some(coding) = wanted {
            if files.root.recall(&entry, coding) {
                return entry.negotiate(Accepted::parse(accepted)).0;
            }
            if !entry.begin_packing() {
                return chosen;
            }
            let (files, own) = (Arc::clone(files), Arc::clone(&entry));
            let lane = Arc::clone(files.root.lane());
            self.run_blocking(
                &lane,
                move || {
                    let folder = files.packed.as_deref();
                    let trouble = files.root.pack(&entry, coding, folder);
                    entry.end_packing();
                    let trouble = folder.zip(trouble);
                    let complaint = trouble.and_then(|(folder, error)| folder.complaint(&error));
                    Message::Packed { complaint }
                },
                move |error| {
                    own.end_packing();
                    Message::Packed {
                        complaint: Some(format!("A file could not be compressed: {error}.")),
                    }
                },
            );
        }
        chosen
    }
}

/// The conditions of a request.
pub(crate) fn conditions<'a>(
    bytes: &'a [u8],
    headers: &[HeaderSpan],
    head_only: bool,
) -> Conditions<'a> {
    gather(headers.iter().map(|header| (header.name.of(bytes), header.value.of(bytes))), head_only)
}

/// As above, of a head that has been kept.
pub(crate) fn conditions_of<'a>(view: &HeadView<'a>) -> Conditions<'a> {
    gather(view.headers(), view.piece(Piece::Method) == b"HEAD")
}

/// RFC 9110 §14.2: a range means something for GET only.
fn gather<'a>(
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    head_only: bool,
) -> Conditions<'a> {
    let mut conditions = Conditions::default();
    let mut repeated = false;
    for (name, value) in headers {
        // Most names of a request are none of these; length and first letter tell.
        let field = match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (8, Some(b'i')) if name.eq_ignore_ascii_case(b"if-match") => &mut conditions.if_match,
            (8, Some(b'i')) if name.eq_ignore_ascii_case(b"if-range") => &mut conditions.if_range,
            (13, Some(b'i')) if name.eq_ignore_ascii_case(b"if-none-match") => {
                &mut conditions.if_none_match
            }
            (17, Some(b'i')) if name.eq_ignore_ascii_case(b"if-modified-since") => {
                &mut conditions.if_modified_since
            }
            (19, Some(b'i')) if name.eq_ignore_ascii_case(b"if-unmodified-since") => {
                &mut conditions.if_unmodified_since
            }
            (15, Some(b'a')) if name.eq_ignore_ascii_case(b"accept-encoding") => {
                &mut conditions.accept_encoding
            }
            (5, Some(b'r')) if !head_only && name.eq_ignore_ascii_case(b"range") => {
                &mut conditions.range
            }
            _ => continue,
        };
        repeated |= field.replace(value).is_some();
    }
    // Lists over several lines are legal and unheard of: the whole file is always a right answer to them.
    if repeated { Conditions::default() } else { conditions }
}
