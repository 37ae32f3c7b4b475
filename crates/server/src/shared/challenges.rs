//! What this server answers an authority that wants to know whether a name leads here (RFC 8555 §8).

use crate::shared::lock;
use gwanmun_tls::{Challenge, Challenges as TlsChallenges, Fault};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// A file that an authority asks for (RFC 8555 §8.3).
#[derive(Clone, Debug)]
pub struct HttpChallenge {
    /// A name or an address.
    pub host: String,
    pub token: String,
    pub answer: String,
}

/// For all threads at once: whoever asks after a change gets what is there since (T148).
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    http: Mutex<Vec<HttpChallenge>>,
    pub(crate) tls: Arc<TlsChallenges>,
}

impl Challenges {
    /// # Errors
    /// One of them can't be served; nothing has changed then.
    pub(crate) fn set(&self, http: &[HttpChallenge], tls: &[Challenge<'_>]) -> Result<(), Fault> {
        self.tls.set(tls)?;
        *lock(&self.http) = http.to_vec();
        Ok(())
    }

    /// The answer for a file that was asked of this host.
    pub(crate) fn answer(&self, host: &str, token: &[u8]) -> Option<String> {
        let http = lock(&self.http);
        let found =
            http.iter().find(|one| one.token.as_bytes() == token && is_same(&one.host, host))?;
        Some(found.answer.clone())
    }
}

fn is_same(own: &str, asked: &str) -> bool {
    let asked = asked.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(asked);
    match own.parse::<IpAddr>() {
        Ok(address) => asked.parse() == Ok(address),
        Err(_) => asked.strip_suffix('.').unwrap_or(asked).eq_ignore_ascii_case(own),
    }
}
