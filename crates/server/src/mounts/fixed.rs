//! Mounts that the core answers itself: a fixed answer, and a redirect.

use crate::exchange::answer::Answer;
use crate::generation::{Fixed, Redirect};
use crate::router::Resolved;
use gwanmun_http1::path;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn respond(fixed: &Arc<Fixed>) -> Answer {
    Answer::Fixed(Arc::clone(fixed))
}

/// To the target, with what follows the mount's path, and with the query. The target begins with a path or an authority of the configuration's, and
/// what is added begins with one slash: no request chooses where it leads (A124).
pub(super) fn redirect(redirect: &Redirect, request: &Resolved<'_>) -> Answer {
    let mut lines = b"Location: ".to_vec();
    lines.extend_from_slice(&redirect.to);
    if !redirect.is_whole {
        let rest = &request.path[request.route.prefix..];
        if rest.starts_with(b"/") && lines.ends_with(b"/") {
            lines.pop();
        }
        path::encode(&mut lines, rest);
        let query = request.head.query.of(request.bytes);
        if !query.is_empty() {
            lines.push(b'?');
            lines.extend_from_slice(query);
        }
    }
    lines.extend_from_slice(b"\r\n");
    lines.extend_from_slice(redirect.lines);
    Answer::Page { status: redirect.status, lines: Cow::Owned(lines) }
}
