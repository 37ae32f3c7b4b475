//! Who may enter: the one place that every request passes before its mount has it (A1–A5).

use crate::exchange::Exchange;
use crate::exchange::answer::Answer;
use crate::exchange::seam::Start;
use crate::exchange::turn::Turn;
use crate::generation::Guard;
use crate::peer::Peer;
use gwanmun_reactor::arena::Key;

/// What refuses a request. `None`: it may enter.
pub(super) fn refusal(turn: &mut Turn, key: Key, peer: &Peer, guard: &Guard) -> Option<Start> {
    let exchange = turn.exchanges.get_mut(key)?;
    if may_enter(exchange, peer, guard) {
        return None;
    }
    exchange.set_reason("the address is denied");
    Some(Start::Answer(Answer::page(403)))
}

/// By the address of the client: the one that applications and logs have.
fn may_enter(exchange: &Exchange, peer: &Peer, guard: &Guard) -> bool {
    let named = exchange.forwarded().and_then(|forwarded| forwarded.client);
    let address = match named {
        Some((address, _)) => Some(address),
        None if peer.local.is_unix => None,
        // One that has been reset has none any more, and may not.
        None => match peer.addr.parse() {
            Ok(address) => Some(address),
            Err(_) => return false,
        },
    };
    guard.iter().all(|rules| rules.may_enter(address))
}
