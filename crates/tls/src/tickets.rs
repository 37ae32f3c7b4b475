//! Session tickets: keys that all threads share, that change with time, and that a successor can have.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

const NAME: usize = 16;
const SECRET: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
/// A new key is made so often (T56).
const ROTATION_S: u64 = 12 * 60 * 60;
/// That one, and those before it.
const KEPT: usize = 3;
/// What clients are told. Until then a ticket's key is kept.
const LIFETIME_S: u32 = 24 * 60 * 60;
/// A key that could not be replaced makes tickets for so long.
const LONGEST_S: u64 = 2 * ROTATION_S;
/// Largest ticket that is looked at.
const LARGEST: usize = 16 * 1024;
/// Of what a ticket says of a client with a certificate.
pub(crate) const LARGEST_WITH_CERTIFICATE: usize = 4 * 1024;
/// Of an exported key.
const RECORD: usize = NAME + SECRET + 8;

/// The keys of a server's tickets, the newest first.
pub struct TicketKeys {
    keys: RwLock<Arc<[Key]>>,
}

#[derive(Clone)]
struct Key {
    name: [u8; NAME],
    /// Overwritten when the last user is gone.
    secret: Arc<Zeroizing<[u8; SECRET]>>,
    cipher: Arc<RandomizedNonceKey>,
    /// Seconds since 1970.
    made_s: u64,
}

impl TicketKeys {
    /// With a first key. Without randomness there is none, and no tickets.
    #[must_use]
    pub fn new() -> Self {
        let keys = Key::random(now_s()).into_iter().collect();
        Self { keys: RwLock::new(keys) }
    }

    /// Makes a new key if it is time, and forgets the oldest. Called by a timer, not by traffic (T57).
    ///
    /// # Errors
    /// There is no randomness: the last key serves for a while longer, and then there are no tickets. It is tried again at the next call.
    pub fn rotate(&self) -> Result<(), String> {
        self.rotate_at(now_s())
    }

    fn rotate_at(&self, now_s: u64) -> Result<(), String> {
        let keys = self.keys();
        // A clock that was put back must not keep a key for ever.
        let is_due = keys.first().is_none_or(|key| {
            now_s >= key.made_s.saturating_add(ROTATION_S)
                || now_s.saturating_add(ROTATION_S) < key.made_s
        });
        if !is_due {
            return Ok(());
        }
        let key = Key::random(now_s).ok_or_else(|| {
            "No new key for session tickets could be made: the system gives no random bytes."
                .to_owned()
        })?;
        self.set([key].into_iter().chain(keys.iter().cloned()).take(KEPT).collect());
        Ok(())
    }

    /// The keys as bytes, for a process that takes this one's place. They are secret.
    #[must_use]
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let keys = self.keys();
        let mut bytes = Zeroizing::new(Vec::with_capacity(keys.len() * RECORD));
        for key in keys.iter() {
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&**key.secret);
            bytes.extend_from_slice(&key.made_s.to_be_bytes());
        }
        bytes
    }

    /// Takes over what another process has exported. `false`: it is nothing of the kind, and nothing has changed.
    #[must_use]
    pub fn import(&self, bytes: &[u8]) -> bool {
        let (records, rest) = bytes.as_chunks::<RECORD>();
        let keys: Option<Arc<[Key]>> = records.iter().map(Key::of).collect();
        match keys {
            Some(keys) if rest.is_empty() && (1..=KEPT).contains(&keys.len()) => {
                self.set(keys);
                true
            }
            _ => false,
        }
    }

    fn keys(&self) -> Arc<[Key]> {
        // What is protected is one pointer.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, keys: Arc<[Key]>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

impl Default for TicketKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

impl Key {
    fn random(now_s: u64) -> Option<Self> {
        let mut name = [0; NAME];
        let mut secret = Zeroizing::new([0; SECRET]);
        rand::fill(&mut name).ok()?;
        rand::fill(&mut *secret).ok()?;
        Self::new(name, secret, now_s)
    }

    fn new(name: [u8; NAME], secret: Zeroizing<[u8; SECRET]>, made_s: u64) -> Option<Self> {
        let cipher = Arc::new(RandomizedNonceKey::new(&AES_256_GCM, &*secret).ok()?);
        Some(Self { name, secret: Arc::new(secret), cipher, made_s })
    }

    fn of(record: &[u8; RECORD]) -> Option<Self> {
        let (name, rest) = record.split_first_chunk::<NAME>()?;
        let (secret, rest) = rest.split_first_chunk::<SECRET>()?;
        let made_s = u64::from_be_bytes(rest.try_into().ok()?);
        Self::new(*name, Zeroizing::new(*secret), made_s)
    }
}

/// Makes tickets that are good only under one policy (T44): the library itself compares no more than the name.
pub(crate) struct Ticketer {
    keys: Arc<TicketKeys>,
    /// Digest of the policy: what is authenticated with each ticket.
    policy: [u8; 32],
}

impl Ticketer {
    pub(crate) fn new(keys: Arc<TicketKeys>, policy: [u8; 32]) -> Self {
        Self { keys, policy }
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    /// Key's name, nonce, ciphertext with its tag.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.keys();
        let key = keys.first()?;
        if now_s() >= key.made_s.saturating_add(LONGEST_S) {
            return None;
        }
        let mut sealed = Vec::with_capacity(plain.len() + TAG);
        sealed.extend_from_slice(plain);
        let nonce =
            key.cipher.seal_in_place_append_tag(Aad::from(self.policy), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE + sealed.len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.append(&mut sealed);
        (ticket.len() <= LARGEST).then_some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > LARGEST {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let keys = self.keys.keys();
        let key = keys.iter().find(|key| key.name == *name)?;
        if now_s() >= key.made_s.saturating_add(KEPT as u64 * ROTATION_S) {
            return None;
        }
        let mut plain = sealed.to_vec();
        let opened =
            key.cipher.open_in_place(Nonce::from(nonce), Aad::from(self.policy), &mut plain);
        let length = opened.ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticketer(keys: &Arc<TicketKeys>, policy: u8) -> Ticketer {
        Ticketer::new(Arc::clone(keys), [policy; 32])
    }

    #[test]
    fn t55_whoever_has_the_keys_reads_the_ticket() {
        let keys = Arc::new(TicketKeys::new());
        let ticket = ticketer(&keys, 1).encrypt(b"secret").unwrap();
        assert!(!ticket.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(ticketer(&keys, 1).decrypt(&ticket).unwrap(), b"secret");
    }

    #[test]
    fn t44_a_ticket_of_another_policy_is_none() {
        let keys = Arc::new(TicketKeys::new());
        let ticket = ticketer(&keys, 1).encrypt(b"secret").unwrap();
        assert_eq!(ticketer(&keys, 2).decrypt(&ticket), None);
    }

    #[test]
    fn t56_the_previous_two_keys_are_accepted() {
        let keys = Arc::new(TicketKeys::new());
        let own = ticketer(&keys, 1);
        let ticket = own.encrypt(b"secret").unwrap();
        let start = now_s();
        for turn in 0..4u64 {
            assert_eq!(own.decrypt(&ticket).is_some(), turn < 3, "{turn}");
            let first = keys.keys()[0].name;
            keys.rotate_at(start + (turn + 1) * ROTATION_S - 5).unwrap();
            assert_eq!(keys.keys()[0].name, first, "it is not time");
            keys.rotate_at(start + (turn + 1) * ROTATION_S + 5).unwrap();
            assert_ne!(keys.keys()[0].name, first);
        }
        assert_eq!(keys.keys().len(), KEPT);
    }

    #[test]
    fn t57_a_clock_that_was_put_back_does_not_keep_a_key() {
        let keys = TicketKeys::new();
        let first = keys.keys()[0].name;
        keys.rotate_at(now_s() - 2 * ROTATION_S).unwrap();
        assert_ne!(keys.keys()[0].name, first);
    }

    #[test]
    fn t57_a_key_that_is_never_replaced_makes_no_tickets_after_a_day() {
        let keys = Arc::new(TicketKeys::new());
        let own = ticketer(&keys, 1);
        for (age_s, is_used) in [(LONGEST_S - 60, true), (LONGEST_S, false)] {
            let mut exported = keys.export();
            exported[NAME + SECRET..].copy_from_slice(&(now_s() - age_s).to_be_bytes());
            assert!(keys.import(&exported));
            assert_eq!(own.encrypt(b"secret").is_some(), is_used, "{age_s}");
        }
        keys.set([].into());
        assert_eq!(own.encrypt(b"secret"), None, "nor without any key");
        assert_eq!(own.decrypt(&[0; 100]), None);
    }

    #[test]
    fn t59_a_successor_reads_the_tickets_of_the_process_before() {
        let keys = Arc::new(TicketKeys::new());
        keys.rotate_at(now_s() + ROTATION_S + 5).unwrap();
        let ticket = ticketer(&keys, 1).encrypt(b"secret").unwrap();
        let exported = keys.export();
        let other = Arc::new(TicketKeys::new());
        assert_eq!(ticketer(&other, 1).decrypt(&ticket), None);
        assert!(other.import(&exported));
        assert_eq!(ticketer(&other, 1).decrypt(&ticket).unwrap(), b"secret");
        for nonsense in [&[][..], &exported[1..], &[exported.as_slice(); 3].concat()] {
            assert!(!other.import(nonsense));
        }
        assert_eq!(other.keys().len(), 2, "nothing has changed");
    }

    #[test]
    fn t61_garbage_is_no_ticket() {
        let keys = Arc::new(TicketKeys::new());
        let own = ticketer(&keys, 1);
        let ticket = own.encrypt(b"secret").unwrap();
        for length in 0..ticket.len() {
            assert_eq!(own.decrypt(&ticket[..length]), None);
        }
        for index in 0..ticket.len() {
            let mut other = ticket.clone();
            other[index] ^= 1;
            assert_eq!(own.decrypt(&other), None);
        }
        assert_eq!(own.decrypt(&vec![0; LARGEST + 1]), None);
        assert_eq!(own.encrypt(&vec![0; LARGEST]), None);
    }
}
