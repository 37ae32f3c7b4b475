//! Questions of an authority whether a name leads here (RFC 8555 §8.3, T140).

use crate::exchange::answer::Answer;
use crate::exchange::seam::{Request, Start};
use crate::exchange::turn::Turn;

pub(super) const PATH: &[u8] = b"/.well-known/acme-challenge/";

/// How such a request is answered. `None`: somebody else may know what is asked for.
pub(super) fn start(turn: &Turn, request: &Request<'_>, token: &[u8]) -> Option<Start> {
    let Request { bytes, head, .. } = request;
    if !matches!(head.method.of(bytes), b"GET" | b"HEAD") {
        return None;
    }
    let host = std::str::from_utf8(head.host.of(bytes)).ok()?;
    let body = turn.shared.challenges.answer(host, token)?;
    Some(Start::Answer(Answer::Content {
        status: 200,
        content_type: "application/octet-stream",
        lines: b"",
        body,
    }))
}
