//! What the core answers itself, as values: pages, files, redirects.

use crate::generation::Fixed;
use gwanmun_files::{FileEntry, Reply};
use std::borrow::Cow;
use std::sync::Arc;

/// A whole answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A page that says its status; the mount's own, if it has one. `lines` are further header lines.
    Page { status: u16, lines: Cow<'static, [u8]> },
    /// Something that the core has made.
    Content { status: u16, content_type: &'static str, lines: &'static [u8], body: String },
    /// What a mount answers to all.
    Fixed(Arc<Fixed>),
    /// A file, or what the request's conditions make of it.
    File { entry: Arc<FileEntry>, reply: Reply },
}

impl Answer {
    pub(crate) fn page(status: u16) -> Self {
        Self::Page { status, lines: Cow::Borrowed(b"") }
    }

    /// 503, for what may be possible in a moment.
    pub(crate) fn unavailable() -> Self {
        Self::Page { status: 503, lines: Cow::Borrowed(RETRY_AFTER) }
    }
}

/// Of a 503.
pub(super) const RETRY_AFTER: &[u8] = b"Retry-After: 1\r\n";
