//! Basic authentication (RFC 7617).

use crate::passwords::Users;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a password that was right is taken without another look, and how many of them (A41).
const KNOWN_MS: u64 = 5 * 60 * 1000;
const MOST_KNOWN: usize = 1000;
/// Wrong passwords of one address are counted for so long (A44).
const GUESSING_MS: u64 = 60 * 1000;
/// Addresses that are counted at once. Beyond it no further one is.
const MOST_GUESSING: usize = 10_000;
/// Longer credentials are nobody's (A35).
const LONGEST: usize = 1024;

/// A user's name and password, as a client has sent them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Bytes of UTF-8, as it is announced; without control characters.
    pub user: Vec<u8>,
    password: Vec<u8>,
}

/// By what the same credentials are known again. It says nothing of whether the user exists (A43).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Password logins of one part of a site.
#[derive(Debug)]
pub struct Basic {
    users: Users,
    /// Different wrong passwords that an address may try in a minute. None: any number.
    attempts: Option<u32>,
    /// Of this process alone.
    key: [u8; 32],
    known: Mutex<HashMap<Fingerprint, u64>>,
    guessing: Mutex<HashMap<IpAddr, Guesses>>,
}

#[derive(Debug)]
struct Guesses {
    since_ms: u64,
    wrong: HashSet<Fingerprint>,
}

impl Credentials {
    /// Reads the value of `Authorization`. `None`: it has none for this scheme, or malformed ones.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|&byte| byte == b' ')?;
        let (scheme, rest) = value.split_at(space);
        let coded = rest.trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"basic") || coded.len() > LONGEST {
            return None;
        }
        let bytes = BASE64.decode(coded).ok()?;
        // The password begins behind the first colon (A36).
        let colon = bytes.iter().position(|&byte| byte == b':')?;
        let is_text = |part: &[u8]| !part.iter().any(u8::is_ascii_control);
        let (user, password) = (&bytes[..colon], &bytes[colon + 1..]);
        (is_text(user) && is_text(password))
            .then(|| Self { user: user.to_vec(), password: password.to_vec() })
    }
}

impl Basic {
    /// `attempts`: different wrong passwords that an address may try in a minute; none: any number.
    #[must_use]
    pub fn new(users: Users, attempts: Option<u32>) -> Self {
        let mut key = [0; 32];
        for part in key.chunks_mut(8) {
            // The keys of a `RandomState` are the system's random bytes.
            part.copy_from_slice(&RandomState::new().hash_one(0).to_le_bytes());
        }
        Self { users, attempts, key, known: Mutex::default(), guessing: Mutex::default() }
    }

    /// By what the credentials are known again, whoever's they are.
    #[must_use]
    pub fn fingerprint(&self, credentials: &Credentials) -> Fingerprint {
        self.digest(credentials, b"")
    }

    /// Whether the credentials were right a moment ago. `now_ms`: of any clock that never goes back.
    #[must_use]
    pub fn are_known(&self, credentials: &Credentials, now_ms: u64) -> bool {
        let stored = self.users.stored(&credentials.user);
        let fingerprint = self.digest(credentials, stored);
        let until = lock(&self.known).get(&fingerprint).copied();
        !stored.is_empty() && until.is_some_and(|until| now_ms < until)
    }

    /// Whether an address may try these credentials; else after how many seconds.
    ///
    /// # Errors
    /// It has tried too many.
    pub fn may_try(
        &self,
        address: Option<IpAddr>,
        credentials: &Credentials,
        now_ms: u64,
    ) -> Result<(), u64> {
        let (Some(most), Some(address)) = (self.attempts, address.map(network_of)) else {
            return Ok(());
        };
        let guessing = lock(&self.guessing);
        let Some(guesses) = guessing.get(&address) else { return Ok(()) };
        let until = guesses.since_ms + GUESSING_MS;
        if now_ms >= until
            || (guesses.wrong.len() as u64) < u64::from(most)
            || guesses.wrong.contains(&self.fingerprint(credentials))
        {
            return Ok(());
        }
        Err((until - now_ms).div_ceil(1000).max(1))
    }

    /// Whether they are right. Takes milliseconds: not for a thread that others wait for.
    #[must_use]
    pub fn verify(&self, credentials: &Credentials) -> bool {
        self.users.verify(&credentials.user, &credentials.password)
    }

    /// Remembers what came of a look.
    pub fn remember(
        &self,
        credentials: &Credentials,
        address: Option<IpAddr>,
        is_right: bool,
        now_ms: u64,
    ) {
        if is_right {
            let fingerprint = self.digest(credentials, self.users.stored(&credentials.user));
            let mut known = lock(&self.known);
            if known.len() >= MOST_KNOWN {
                known.retain(|_, until| now_ms < *until);
            }
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(fingerprint, now_ms + KNOWN_MS);
            return;
        }
        let (Some(most), Some(address)) = (self.attempts, address.map(network_of)) else { return };
        let mut guessing = lock(&self.guessing);
        if guessing.len() >= MOST_GUESSING && !guessing.contains_key(&address) {
            guessing.retain(|_, guesses| now_ms < guesses.since_ms + GUESSING_MS);
            if guessing.len() >= MOST_GUESSING {
                return;
            }
        }
        let guesses = guessing
            .entry(address)
            .or_insert_with(|| Guesses { since_ms: now_ms, wrong: HashSet::new() });
        if now_ms >= guesses.since_ms + GUESSING_MS {
            *guesses = Guesses { since_ms: now_ms, wrong: HashSet::new() };
        }
        if guesses.wrong.len() < most as usize {
            guesses.wrong.insert(self.fingerprint(credentials));
        }
    }

    fn digest(&self, Credentials { user, password }: &Credentials, stored: &[u8]) -> Fingerprint {
        let mut hasher = Sha256::new();
        hasher.update(self.key);
        for part in [user.as_slice(), password.as_slice(), stored] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Fingerprint(hasher.finalize().into())
    }
}

/// An address, or of IPv6 its network of 64 bits: whoever has one of them has them all.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Credentials {
    /// Passwords are nobody's business, not even a log's.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(text: &str) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(text.as_bytes())).into_bytes()
    }

    fn credentials(text: &str) -> Credentials {
        Credentials::parse(&coded(text)).unwrap()
    }

    fn basic() -> Basic {
        let users = Users::parse(&format!("ann:{}", bcrypt::hash("secret", 4).unwrap())).unwrap();
        Basic::new(users, Some(3))
    }

    #[test]
    fn a34_a36_what_is_read_of_the_field() {
        let own = credentials("ann:a:b");
        assert_eq!((own.user.as_slice(), own.password.as_slice()), (&b"ann"[..], &b"a:b"[..]));
        for scheme in ["BASIC", "basic", "Basic  "] {
            let value = format!("{scheme} {}", BASE64.encode(b"a:b"));
            assert!(Credentials::parse(value.as_bytes()).is_some(), "{scheme}");
        }
        assert!(credentials(":").user.is_empty());
        assert_eq!(credentials("Jörg:ü").user, "Jörg".as_bytes());
    }

    #[test]
    fn a35_what_is_malformed_is_nobodys() {
        for value in [
            "Basic",
            "Basic ",
            "Basic YW5u",
            "Basic YTpi=",
            "Basic YTpi====",
            "Basic !!!!",
            "Bearer YTpi",
            "BasicYTpi",
        ] {
            assert!(Credentials::parse(value.as_bytes()).is_none(), "{value}");
        }
        for text in ["a\0:b", "a:b\n", "a\x7f:b"] {
            assert!(Credentials::parse(&coded(text)).is_none(), "{text:?}");
        }
        assert!(Credentials::parse(&coded(&format!("a:{}", "b".repeat(LONGEST)))).is_none());
    }

    #[test]
    fn a41_what_was_right_is_known_for_a_while() {
        let basic = basic();
        let right = credentials("ann:secret");
        assert!(!basic.are_known(&right, 0) && basic.verify(&right));
        basic.remember(&right, None, true, 0);
        assert!(basic.are_known(&right, KNOWN_MS - 1) && !basic.are_known(&right, KNOWN_MS));
        assert!(!basic.are_known(&credentials("ann:secreT"), 1));
        assert!(!basic.are_known(&credentials("annsecret:"), 1));
    }

    #[test]
    fn a41_the_cache_is_bounded() {
        let basic = basic();
        for index in 0..MOST_KNOWN * 3 {
            basic.remember(&credentials(&format!("ann:{index}")), None, true, 0);
        }
        assert!(lock(&basic.known).len() <= MOST_KNOWN);
    }

    #[test]
    fn a44_who_guesses_has_to_wait_and_nobody_else() {
        let basic = basic();
        let own: Option<IpAddr> = Some("2001:db8::1".parse().unwrap());
        let near = Some("2001:db8::2".parse().unwrap());
        let far = Some("2001:db8:0:1::1".parse().unwrap());
        for guess in ["ann:1", "ann:1", "ann:2", "bob:3"] {
            assert_eq!(basic.may_try(own, &credentials(guess), 1000), Ok(()));
            basic.remember(&credentials(guess), own, false, 1000);
        }
        assert_eq!(basic.may_try(own, &credentials("ann:4"), 1000), Err(60));
        assert_eq!(basic.may_try(near, &credentials("ann:4"), 60_500), Err(1));
        // The same wrong one again, as a program with an old password does, is no guess.
        assert_eq!(basic.may_try(own, &credentials("ann:1"), 1000), Ok(()));
        assert_eq!(basic.may_try(far, &credentials("ann:4"), 1000), Ok(()));
        assert_eq!(basic.may_try(None, &credentials("ann:4"), 1000), Ok(()));
        assert_eq!(basic.may_try(own, &credentials("ann:4"), 61_000), Ok(()));
    }

    #[test]
    fn a44_the_table_is_bounded() {
        let basic = basic();
        for index in 0..MOST_GUESSING as u32 + 10 {
            let address = Some(std::net::Ipv4Addr::from(index).into());
            basic.remember(&credentials("ann:1"), address, false, 0);
        }
        assert!(lock(&basic.guessing).len() <= MOST_GUESSING);
    }
}
