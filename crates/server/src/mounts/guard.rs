//! Who may enter: the one place that every request passes before its mount has it (A1–A5).

use crate::config::RateKey;
use crate::exchange::answer::Answer;
use crate::exchange::seam::{Client, Clients, Request, Start};
use crate::exchange::turn::Turn;
use crate::exchange::{Decision, Exchange};
use crate::generation::{Guard, Login};
use crate::peer::Peer;
use crate::shared::message::Message;
use gwanmun_access::{Credentials, Fingerprint, network_of};
use gwanmun_http1::HeaderSpan;
use gwanmun_reactor::arena::Key;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// Requests whose passwords are looked at, by their credentials: the same ones are looked at once (A43).
#[derive(Debug, Default)]
pub(super) struct Logins {
    waiting: FxHashMap<Fingerprint, Vec<Key>>,
}

/// What stands between a request and its mount.
pub(super) struct Asked<'a> {
    pub(super) peer: &'a Peer,
    pub(super) bytes: &'a [u8],
    pub(super) headers: &'a [HeaderSpan],
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a Request<'_>) -> Self {
        Self { peer: request.peer, bytes: request.bytes, headers: request.headers }
    }

    fn all<'b>(&'b self, name: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + 'b {
        let bytes = self.bytes;
        self.headers
            .iter()
            .filter(move |header| header.name.of(bytes).eq_ignore_ascii_case(name))
            .map(move |header| header.value.of(bytes))
    }
}

/// What refuses a request because of its address. `None`: it may enter.
pub(super) fn refusal(turn: &mut Turn, key: Key, peer: &Peer, guard: &Guard) -> Option<Start> {
    if guard.addresses.is_empty() || peer.local.is_core {
        return None;
    }
    let exchange = turn.exchanges.get_mut(key)?;
    let may_enter = address_of(exchange, peer)
        .is_ok_and(|address| guard.addresses.iter().all(|rules| rules.may_enter(address)));
    if may_enter {
        return None;
    }
    exchange.set_reason("the address is denied");
    Some(Start::Answer(Answer::page(403)))
}

/// What refuses a request because there have been too many. `None`: it may enter, and has been counted.
pub(super) fn excess(turn: &mut Turn, key: Key, asked: &Asked<'_>, guard: &Guard) -> Option<Start> {
    if guard.limits.is_empty() || asked.peer.local.is_core {
        return None;
    }
    let exchange = turn.exchanges.get_mut(key)?;
    // One that is started again has been counted.
    if exchange.decision != Decision::None {
        return None;
    }
    let address = address_of(exchange, asked.peer).ok().flatten().map(network_of);
    let now = turn.clock.now();
    for limit in &guard.limits {
        let header = match &limit.key {
            RateKey::Header(name) => asked.all(name.as_bytes()).next(),
            RateKey::Address | RateKey::All => None,
        };
        let by_address;
        let counted: &[u8] = match (header, &limit.key, address) {
            (Some(value), ..) => value,
            (None, RateKey::All, _) | (None, _, None) => b"",
            (None, _, Some(IpAddr::V4(address))) => {
                by_address = u128::from(address.to_bits()).to_le_bytes();
                &by_address[..4]
            }
            (None, _, Some(IpAddr::V6(address))) => {
                by_address = address.to_bits().to_le_bytes();
                &by_address
            }
        };
        let now_ns = now.saturating_duration_since(limit.rates.since).as_nanos() as u64;
        let Err(seconds) = limit.rates.rates.take(counted, now_ns) else { continue };
        exchange.set_reason(if limit.is_dry {
            "over the rate limit, which refuses nothing yet"
        } else {
            "over the rate limit"
        });
        if limit.is_dry {
            continue;
        }
        let lines = format!("Retry-After: {seconds}\r\nCache-Control: no-store\r\n");
        let lines = Cow::Owned(lines.into_bytes());
        return Some(Start::Answer(Answer::Page { status: limit.status, lines }));
    }
    None
}

/// The address of the client: the one that applications and logs have. None: it has come by a Unix socket. One that has been reset has no address any
/// more, and is an error.
fn address_of(exchange: &Exchange, peer: &Peer) -> Result<Option<IpAddr>, ()> {
    let named = exchange.forwarded().and_then(|forwarded| forwarded.client);
    match named {
        Some((address, _)) => Ok(Some(address)),
        None if peer.local.is_unix => Ok(None),
        None => peer.addr.parse().map(Some).map_err(|_| ()),
    }
}

impl Logins {
    /// What stands in the way of a request whose mount asks for a password. `None`: it may enter.
    pub(super) fn refusal(
        &mut self,
        turn: &mut Turn,
        key: Key,
        asked: &Asked<'_>,
        login: &Arc<Login>,
    ) -> Option<Start> {
        if asked.peer.local.is_core {
            return None;
        }
        let exchange = turn.exchanges.get_mut(key)?;
        let admitted = exchange.admission.as_ref().and_then(|admission| admission.login.as_ref());
        if admitted.is_some_and(|admitted| Arc::ptr_eq(admitted, login)) {
            return None;
        }
        let mut fields = asked.all(b"authorization");
        let credentials = fields.next().map(Credentials::parse);
        if fields.next().is_some() {
            // A34: which one counts is a matter of opinion.
            return Some(Start::Refused(400, "more than one Authorization"));
        }
        let Some(credentials) = credentials.flatten() else {
            exchange.set_reason("a password is needed");
            return Some(challenge(login));
        };
        match exchange.decision {
            Decision::Right => {
                admit(exchange, credentials, login);
                return None;
            }
            Decision::Awaited => return Some(Start::Undecided),
            Decision::Wrong => {
                exchange.set_reason("user or password is wrong");
                return Some(challenge(login));
            }
            Decision::Failed => {
                turn.log_unserved(key, "too many passwords wait to be looked at");
                return Some(Start::Answer(Answer::unavailable()));
            }
            Decision::None => {}
        }
        let now_ms = turn.clock.now().saturating_duration_since(login.since).as_millis() as u64;
        if login.basic.are_known(&credentials, now_ms) {
            admit(exchange, credentials, login);
            return None;
        }
        let Ok(address) = address_of(exchange, asked.peer) else { return Some(challenge(login)) };
        if let Err(seconds) = login.basic.may_try(address, &credentials, now_ms) {
            exchange.set_reason("too many wrong passwords");
            let lines = format!("Retry-After: {seconds}\r\nCache-Control: no-store\r\n");
            let lines = Cow::Owned(lines.into_bytes());
            return Some(Start::Answer(Answer::Page { status: 429, lines }));
        }
        exchange.decision = Decision::Awaited;
        let fingerprint = login.basic.fingerprint(&credentials);
        let waiting = self.waiting.entry(fingerprint).or_default();
        waiting.push(key);
        if waiting.len() == 1 {
            let lane = Arc::clone(&turn.shared.passwords);
            let login = Arc::clone(login);
            turn.run_blocking(
                &lane,
                move || {
                    let is_right = login.basic.verify(&credentials);
                    login.basic.remember(&credentials, address, is_right, now_ms);
                    Message::Verified { fingerprint, is_right: Some(is_right) }
                },
                move |_| Message::Verified { fingerprint, is_right: None },
            );
        }
        Some(Start::Undecided)
    }

    /// Passwords have been looked at: requests that wait for that are started again.
    pub(super) fn on_verified(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        fingerprint: Fingerprint,
        is_right: Option<bool>,
    ) {
        let decision = match is_right {
            Some(true) => Decision::Right,
            Some(false) => Decision::Wrong,
            None => Decision::Failed,
        };
        for key in self.waiting.remove(&fingerprint).unwrap_or_default() {
            let Some(exchange) = turn.exchanges.get_mut(key) else { continue };
            if exchange.decision != Decision::Awaited {
                continue;
            }
            exchange.decision = decision;
            turn.with_client(clients, key, |client, turn| client.on_decided(turn));
        }
    }
}

fn admit(exchange: &mut Exchange, credentials: Credentials, login: &Arc<Login>) {
    let admission = exchange.admission.get_or_insert_default();
    admission.user = credentials.user;
    admission.login = Some(Arc::clone(login));
}

fn challenge(login: &Login) -> Start {
    let lines = Cow::Owned(login.challenge.clone());
    Start::Answer(Answer::Page { status: 401, lines })
}

/// Whether a field of a client's would be taken for what the core says of who has logged in (A92).
pub(super) fn is_identity(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[b"remote-user", b"x-remote-user", b"auth-type", b"ssl-client-verify"];
    NAMES.iter().any(|own| name.eq_ignore_ascii_case(own))
}
