//! Requests in plain HTTP that are to be asked over TLS (T99, T195–T197).

use crate::exchange::Exchange;
use crate::exchange::answer::Answer;
use crate::exchange::seam::{Request, Start};
use crate::exchange::turn::Turn;
use crate::peer::Elsewhere;
use gwanmun_http1::TargetForm;
use gwanmun_reactor::arena::Key;
use std::borrow::Cow;

/// How such a request is answered. `None`: it has come over TLS after all, to a proxy that is believed.
pub(super) fn start(
    turn: &mut Turn,
    key: Key,
    request: &Request<'_>,
    elsewhere: Elsewhere,
) -> Option<Start> {
    let forwarded = turn.exchanges.get(key).and_then(Exchange::forwarded);
    if forwarded.is_some_and(|forwarded| forwarded.https == Some(true)) {
        return None;
    }
    Some(match elsewhere {
        Elsewhere::Redirect(port) => match url(request, port) {
            Some(url) if is_served(turn, request) => Start::Answer(Answer::Page {
                status: 308,
                lines: Cow::Owned([b"Location: ", url.as_slice(), b"\r\n"].concat()),
            }),
            _ if is_awaited(turn, request) => Start::Answer(Answer::unavailable()),
            _ => Start::Answer(Answer::page(404)),
        },
        Elsewhere::Tls(port) => {
            if let Some(exchange) = turn.exchanges.get_mut(key) {
                exchange.keep_alive = false;
            }
            // Whoever has typed it without the `s` has typed the rest right: also an address, or a name that no certificate has.
            let body = match url(request, port) {
                Some(url) => {
                    format!("This port speaks HTTPS. Ask for {}\n", url.escape_ascii())
                }
                None => "This port speaks HTTPS.\n".to_owned(),
            };
            Start::Answer(Answer::Content {
                status: 400,
                content_type: "text/plain; charset=utf-8",
                lines: b"",
                body,
            })
        }
    })
}

/// Whether a certificate for the host is to come: until then there is nowhere to redirect to (T162).
fn is_awaited(turn: &Turn, Request { bytes, head, .. }: &Request<'_>) -> bool {
    let host = std::str::from_utf8(head.host.of(bytes)).ok();
    host.zip(turn.certificates.as_ref()).is_some_and(|(host, own)| own.await_one_for(host))
}

/// Whether the host is a name that has a certificate.
fn is_served(turn: &Turn, request: &Request<'_>) -> bool {
    let host = std::str::from_utf8(request.head.host.of(request.bytes));
    let Ok(host) = host else { return false };
    turn.certificates.as_ref().is_some_and(|certificates| certificates.are_for(host))
}

/// The same at a port over TLS. The host has been checked for its form.
fn url(Request { bytes, head, .. }: &Request<'_>, port: u16) -> Option<Vec<u8>> {
    let host = head.host.of(bytes);
    if head.form == TargetForm::Asterisk || host.is_empty() {
        return None;
    }
    let mut url = [b"https://", host].concat();
    if port != 443 {
        url.extend_from_slice(format!(":{port}").as_bytes());
    }
    if head.form == TargetForm::Absolute {
        url.extend_from_slice(head.path.of(bytes));
        let query = head.query.of(bytes);
        if !query.is_empty() {
            url.push(b'?');
            url.extend_from_slice(query);
        }
    } else {
        url.extend_from_slice(head.target.of(bytes));
    }
    Some(url)
}
