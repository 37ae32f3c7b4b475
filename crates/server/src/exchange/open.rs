//! From a request's head to an exchange: its id, whom it is from, and what the access log will say of it.

use super::turn::Turn;
use super::{Decision, Exchange, LogFields};
use crate::peer::Peer;
use crate::request_id::{self, RequestId};
use gwanmun_access::UNIX;
use gwanmun_http1::{Forwarded, HeaderSpan, RequestHead, Version, read_forwarded};
use gwanmun_log::Level;
use gwanmun_reactor::arena::Key;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Somebody has been told that a proxy is not believed. Once is enough, and strangers can send the fields as well.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

impl Turn {
    /// Makes an exchange of a request whose head has been parsed from `bytes`. `is_behind`: its response must wait behind others.
    pub(crate) fn open(
        &mut self,
        client: Key,
        peer: &Peer,
        is_behind: bool,
        bytes: &[u8],
        head: &RequestHead,
        headers: &mut Vec<HeaderSpan>,
    ) -> Key {
        let now = self.clock.now();
        let id = if self.ids.is_off() { None } else { Some(request_id(self, bytes, headers)) };
        let forwarded = if head.forwarded { believed(self, peer, bytes, headers) } else { None };
        let http10 = head.version == Version::Http10;
        let has_hsts = !self.generation.hsts_line.is_empty() && peer.tls().is_some();
        let is_hsts = has_hsts && is_hsts_host(head.host.of(bytes));
        let key = self.exchanges.insert_with(|_| Exchange {
            head_only: head.method.of(bytes) == b"HEAD",
            http10,
            is_hsts,
            keep_alive: head.keep_alive && !self.closing,
            id,
            is_behind,
            ..Exchange::new(client, now, &self.generation)
        });
        if self.generation.log_access
            && let Some(exchange) = self.exchanges.get_mut(key)
        {
            let find = |name| find(bytes, headers, name).map(Into::into);
            let of_json = |name| if self.generation.log_json { find(name) } else { None };
            exchange.log = Some(Box::new(LogFields {
                method: head.method.of(bytes).into(),
                target: head.target.of(bytes).into(),
                http10,
                referer: find(b"referer"),
                user_agent: find(b"user-agent"),
                host: of_json(b"host"),
                traceparent: of_json(b"traceparent"),
                tls: peer.tls().filter(|_| self.generation.log_json).map(Rc::clone),
                copied: head.len,
                ..LogFields::default()
            }));
            // What was copied of it.
            exchange.charge(head.len, 0);
        }
        if forwarded.is_some()
            && let Some(exchange) = self.exchanges.get_mut(key)
        {
            exchange.log.get_or_insert_default().forwarded = forwarded;
        }
        key
    }

    /// The same request as before, which has not begun: under the configuration of now, if that is another one. Of its header fields those go again
    /// that went then.
    #[cold]
    pub(crate) fn open_again(
        &mut self,
        key: Key,
        peer: &Peer,
        bytes: &[u8],
        head: &RequestHead,
        headers: &mut Vec<HeaderSpan>,
    ) {
        let forwarded = if head.forwarded { believed(self, peer, bytes, headers) } else { None };
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if !Rc::ptr_eq(&exchange.generation, &self.generation) {
            exchange.generation = Rc::clone(&self.generation);
            exchange.decision = Decision::None;
        }
        if let Some(log) = &mut exchange.log {
            log.forwarded = forwarded;
        }
        if let Some(RequestId::Made(_)) = exchange.id {
            headers.retain(|header| !header.name.of(bytes).eq_ignore_ascii_case(request_id::NAME));
        }
    }

    /// Makes an exchange of what can't be understood as a request, to be answered with an error.
    pub(crate) fn open_malformed(&mut self, client: Key) -> Key {
        let now = self.clock.now();
        let id = if self.ids.is_off() { None } else { Some(self.ids.make()) };
        let log = self.generation.log_access.then(Box::<LogFields>::default);
        self.exchanges.insert_with(|_| Exchange {
            id,
            log,
            ..Exchange::new(client, now, &self.generation)
        })
    }
}

/// The request's id. A header of the client's that it is not taken from goes: nothing behind us shall see another id.
fn request_id(turn: &mut Turn, bytes: &[u8], headers: &mut Vec<HeaderSpan>) -> RequestId {
    let is_id = |header: &HeaderSpan| header.name.of(bytes).eq_ignore_ascii_case(request_id::NAME);
    let given = headers.iter().filter(|header| is_id(header)).map(|header| header.value.of(bytes));
    let id = turn.ids.id(given);
    if let RequestId::Made(_) = id {
        headers.retain(|header| !is_id(header));
    }
    id
}

/// Whether Strict-Transport-Security means anything for a host: not for an address (RFC 6797 §8.1.1), and for `localhost` it would lock developers out of what else runs
/// there.
fn is_hsts_host(host: &[u8]) -> bool {
    let is_address = host.starts_with(b"[")
        || std::str::from_utf8(host).is_ok_and(|host| host.parse::<Ipv4Addr>().is_ok());
    let is_local = host.eq_ignore_ascii_case(b"localhost")
        || host.len() > 10 && host[host.len() - 10..].eq_ignore_ascii_case(b".localhost");
    !host.is_empty() && !is_address && !is_local
}

fn find<'a>(bytes: &'a [u8], headers: &[HeaderSpan], name: &[u8]) -> Option<&'a [u8]> {
    let header = headers.iter().find(|header| header.name.of(bytes).eq_ignore_ascii_case(name))?;
    Some(header.value.of(bytes))
}

/// What is believed of the fields in which proxies say who their client is. It is the request's alone: the next one of the connection may be from
/// another client (P34).
#[cold]
fn believed(
    turn: &Turn,
    peer: &Peer,
    bytes: &[u8],
    headers: &mut Vec<HeaderSpan>,
) -> Option<Box<Forwarded>> {
    let trusted = turn.generation.trusted_proxies.as_ref()?;
    let is_unix = peer.local.is_unix;
    // P28. Not the lack of an address: one that has been reset has none either, and can still be heard.
    let is_trusted = if is_unix {
        trusted.has_unix()
    } else {
        peer.addr.parse().is_ok_and(|addr: IpAddr| trusted.has(addr))
    };
    if is_trusted {
        let forwarded = read_forwarded(bytes, headers, |address| trusted.has(address));
        return Some(Box::new(forwarded));
    }
    let name = if is_unix { UNIX } else { &peer.addr };
    if !name.is_empty() && !IS_TOLD.swap(true, Ordering::Relaxed) {
        let from = if is_unix { "a Unix socket" } else { name };
        let line = trusted.line_with(name);
        turn.shared.logger.error(
            Level::Warn,
            &format!(
                "A request from {from} has X-Forwarded-… or Forwarded headers, but that is no trusted proxy: applications and logs see the connection's own address, scheme and host. If it is your proxy, write in the configuration: {line}"
            ),
        );
    }
    None
}
