//! How a request's head crosses to a worker.

use super::Applications;
use crate::exchange::Exchange;
use crate::exchange::turn::Turn;
use crate::listener::in_url;
use crate::request_id::{self, RequestId};
use crate::router::Resolved;
use gwanmun_gateway::request::{
    FLAG_HTTP10, FLAG_TLS, FLAG_VARIABLES, Fixed, HeadWriter, Pair, Piece,
};
use gwanmun_http1::path;
use gwanmun_http1::{Authority, Forwarded, HeaderSpan, Span, TargetForm, Version, port_behind};
use gwanmun_reactor::arena::Key;
use gwanmun_sys::syscall;
use std::borrow::Cow;

/// Who has logged in, for handlers that see headers and no environ (A90).
const REMOTE_USER: &[u8] = b"remote-user";
/// Bytes of the variables that say so, beside the name itself.
const VARIABLES_OF_USER: usize = 32;

impl Applications {
    /// Writes the head as it crosses to a worker into the exchange, and counts it. `false`: too large for a frame.
    pub(in crate::mounts) fn encode_head(
        &mut self,
        turn: &mut Turn,
        key: Key,
        application: u32,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
    ) -> bool {
        let Resolved { bytes, head, path_span, path, doubled, route, .. } = *request;
        let exchange = turn.exchanges.get(key);
        let made = match exchange.and_then(|exchange| exchange.id.as_ref()) {
            Some(id @ RequestId::Made(_)) => Some(id),
            _ => None,
        };
        let forwarded = exchange.and_then(Exchange::forwarded);
        let came = Came::new(request, forwarded);
        let user = exchange
            .and_then(|exchange| exchange.admission.as_ref())
            .map(|admission| admission.user.as_slice())
            .filter(|user| !user.is_empty());
        let name = |header: &HeaderSpan| header.name.of(bytes);
        let mount = &turn.generation.mounts[route.mount];
        if user.is_some() && !mount.pass_authorization {
            // It was for the core (A47).
            headers.retain(|header| !name(header).eq_ignore_ascii_case(b"authorization"));
        }
        // They cross as if the client had sent them.
        let added =
            [made.map(|id| (request_id::NAME, id.bytes())), user.map(|user| (REMOTE_USER, user))];
        let added = || added.into_iter().flatten();
        let added_names = || added().map(|(name, _)| name);
        let names = self.names.last(headers.iter().map(name).chain(added_names()));
        let names = names.unwrap_or_else(|| {
            headers.retain(|header| crosses(name(header)));
            self.names.id(headers.iter().map(name).chain(added_names()))
        });
        let own_address = local_address(turn, request);
        let fixed = Fixed {
            application,
            names,
            flags: if head.version == Version::Http10 { FLAG_HTTP10 } else { 0 }
                | if came.https { FLAG_TLS } else { 0 }
                | if request.peer.tls().is_some() || own_address.is_some() || user.is_some() {
                    FLAG_VARIABLES
                } else {
                    0
                },
            server_port: came.port,
            remote_port: came.remote_port,
        };
        let server = if came.host.is_empty() { local_name(request) } else { Cow::Borrowed("") };
        let count = headers.len() + added().count();
        let appended = added().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            + user.map_or(0, |user| VARIABLES_OF_USER + user.len())
            + path.len().max(head.path.len())
            + server.len()
            + came.remote_addr.len()
            + request.peer.tls().map_or(0, |tls| tls.environ.len())
            + own_address.as_ref().map_or(0, String::len);
        let mut payload = turn.buffers.take_for(HeadWriter::size(count, head.len + appended));
        let mut writer = HeadWriter::new(&mut payload, fixed);
        let received = headers.iter().map(|header| {
            let value = match came.in_place_of_host {
                Some(authority) if header.name.of(bytes).eq_ignore_ascii_case(b"host") => authority,
                _ => header.value,
            };
            (pair(header.name), pair(value))
        });
        // They stand right behind the head as received.
        let mut at = head.len as u32;
        let behind = added().map(|(name, value)| {
            let middle = at + name.len() as u32;
            let pair = (Pair::new(at, middle), Pair::new(middle, middle + value.len() as u32));
            at = middle + value.len() as u32;
            pair
        });
        writer.headers(count, received.chain(behind));
        writer.text(&bytes[..head.len]);
        for (name, value) in added() {
            writer.append(name);
            writer.append(value);
        }
        writer.piece(Piece::Method, pair(head.method));
        writer.piece(Piece::Target, pair(head.target));
        writer.piece(Piece::Query, pair(head.query));
        let (script_name, path_info) = match path_span {
            Some(span) => {
                let middle = span.start + route.prefix as u32;
                (Pair::new(span.start, middle), Pair::new(middle, span.end))
            }
            None => {
                let (prefix, rest) = path.split_at(route.prefix);
                let script_name = writer.append(prefix);
                let path_info = if doubled {
                    let mut rest = Vec::new();
                    path::rest(head.path.of(bytes), route.prefix, &mut rest);
                    writer.append(&rest)
                } else {
                    writer.append(rest)
                };
                (script_name, path_info)
            }
        };
        writer.piece(Piece::ScriptName, script_name);
        writer.piece(Piece::PathInfo, path_info);
        let server =
            if server.is_empty() { pair(came.host) } else { writer.append(server.as_bytes()) };
        writer.piece(Piece::ServerName, server);
        let remote = writer.append(came.remote_addr.as_bytes());
        writer.piece(Piece::RemoteAddr, remote);
        if let Some(tls) = request.peer.tls() {
            writer.append(&tls.environ);
        }
        if let Some(own) = own_address {
            writer.append(own.as_bytes());
        }
        if let Some(user) = user {
            writer.append(b"AUTH_TYPE\0Basic\0REMOTE_USER\0");
            writer.append(user);
            writer.append(b"\0");
        }
        let fits = writer.finish();
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            exchange.head = payload;
            exchange.charge_request();
        }
        fits
    }
}

/// What programs are told of the address that the client has connected to; applications are not.
fn local_address(turn: &Turn, request: &Resolved<'_>) -> Option<String> {
    turn.generation.mounts[request.route.mount].program.as_ref()?;
    let address = syscall::local_of(request.socket?)?;
    Some(format!("SERVER_ADDR\0{address}\0"))
}

/// What stands in for a missing Host (H22): the address that the client has connected to.
fn local_name<'a>(request: &Resolved<'a>) -> Cow<'a, str> {
    match &request.peer.local.name {
        Some(name) => Cow::Borrowed(name),
        None => request
            .socket
            .and_then(syscall::local_of)
            .map_or(Cow::Borrowed("localhost"), |ip| Cow::Owned(in_url(ip))),
    }
}

/// From where a request came, and to where: as the client has it, if trusted proxies say that, else as the connection has it.
struct Came<'a> {
    remote_addr: Cow<'a, str>,
    remote_port: u16,
    https: bool,
    /// Empty: there is no Host.
    host: Span,
    port: u16,
    in_place_of_host: Option<Span>,
}

impl<'a> Came<'a> {
    fn new(request: &Resolved<'a>, forwarded: Option<&Forwarded>) -> Self {
        let Resolved { peer, bytes, head, .. } = *request;
        let mut came = Self {
            remote_addr: Cow::Borrowed(&peer.addr),
            remote_port: peer.port,
            https: peer.tls().is_some(),
            host: head.host,
            port: peer.local.port,
            // RFC 9112 §3.2.2: the authority of an absolute target replaces Host.
            in_place_of_host: (head.form == TargetForm::Absolute).then_some(head.authority),
        };
        let Some(Forwarded { client, https, authority, port }) = forwarded else { return came };
        if let Some((address, port)) = client {
            came.remote_addr = Cow::Owned(address.to_string());
            came.remote_port = *port;
        }
        came.https = https.unwrap_or(came.https);
        let mut named = head.authority;
        if let Some(Authority { all, host }) = authority {
            (named, came.host) = (*all, *host);
            came.in_place_of_host = Some(named);
        }
        if let Some(port) = port {
            came.port = *port;
        } else if https.is_some() || authority.is_some() {
            // The client has not come to our port.
            let by_default = if came.https { 443 } else { 80 };
            came.port = port_behind(named, came.host, bytes).unwrap_or(by_default);
        }
        came
    }
}

fn pair(span: Span) -> Pair {
    Pair::new(span.start, span.end)
}

/// Whether a header goes on to applications: names that could be taken for another's environ key (C24, H21) don't, nor
/// does `Proxy` (C23), nor what described the framing that the core has undone (W24).
fn crosses(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && match name.len() {
            5 => !name.eq_ignore_ascii_case(b"proxy"),
            17 => !name.eq_ignore_ascii_case(b"transfer-encoding"),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_c24_ambiguous_names_do_not_cross() {
        for name in [
            "Proxy",
            "PROXY",
            "X_Forwarded_For",
            "Content_Length",
            "Transfer.Encoding",
            "Transfer-Encoding",
        ] {
            assert!(!crosses(name.as_bytes()), "{name}");
        }
        for name in ["Host", "X-Forwarded-For", "Proxy-Thing", "Content-Length"] {
            assert!(crosses(name.as_bytes()), "{name}");
        }
    }
}
