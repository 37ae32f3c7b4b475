//! Whom a request is from: what its proxies say, if they are believed.

use super::Connection;
use crate::thread::Context;
use crate::trusted;
use gwanmun_http1::{Forwarded, HeaderSpan, read_forwarded};
use gwanmun_log::Level;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Somebody has been told that a proxy is not believed. Once is enough, and strangers can send the fields as well.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

impl Connection {
    /// What is believed of the fields in which proxies say who their client is. It is the request's alone: the next one of the connection may be from
    /// another client (P34).
    #[cold]
    pub(super) fn believed(
        &self,
        cx: &Context,
        bytes: &[u8],
        headers: &mut Vec<HeaderSpan>,
    ) -> Option<Box<Forwarded>> {
        let trusted = cx.generation.trusted_proxies.as_ref()?;
        // P28. Not the lack of an address: one that has been reset has none either, and can still be heard.
        let is_trusted = if self.local.is_unix {
            trusted.has_unix()
        } else {
            self.remote_addr.parse().is_ok_and(|peer: IpAddr| trusted.has(peer))
        };
        if is_trusted {
            let forwarded = read_forwarded(bytes, headers, |address| trusted.has(address));
            return Some(Box::new(forwarded));
        }
        let peer = if self.local.is_unix { trusted::UNIX } else { &self.remote_addr };
        if !peer.is_empty() && !IS_TOLD.swap(true, Ordering::Relaxed) {
            let from = if self.local.is_unix { "a Unix socket" } else { peer };
            let line = trusted.line_with(peer);
            cx.shared.logger.error(
                Level::Warn,
                &format!(
                    "A request from {from} has X-Forwarded-… or Forwarded headers, but that is no trusted proxy: applications and logs see the connection's own address, scheme and host. If it is your proxy, write in the configuration: {line}"
                ),
            );
        }
        None
    }
}
