//! Password files: who has which password, as a hash.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use sha_crypt::ShaCrypt;
use std::collections::HashMap;

/// What a hash may cost at the most (A39): bcrypt's exponent, argon2's memory in KiB and passes, rounds of sha-crypt.
const MOST_BCRYPT: u32 = 14;
const MOST_ARGON2_KIB: u32 = 256 * 1024;
const MOST_ARGON2_PASSES: u32 = 10;
const MOST_ROUNDS: u32 = 1_000_000;
/// bcrypt looks at no more bytes of a password: two that begin alike would be one (A38).
const MOST_OF_BCRYPT: usize = 72;
/// Of `rounds=` in sha-crypt, where it is not said.
const ROUNDS: u32 = 5000;

/// Users and the hashes of their passwords.
#[derive(Debug)]
pub struct Users {
    hashes: HashMap<Box<[u8]>, Hash>,
    /// The costliest one: what is done for a user who is none (A42).
    decoy: Option<Hash>,
}

/// What is wrong with a line of a password file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFault {
    /// From 1.
    pub line: usize,
    /// What was expected, and the remedy.
    pub message: String,
}

#[derive(Clone, Debug)]
struct Hash {
    text: Box<str>,
    kind: Kind,
    /// To compare what hashes of different kinds cost, in rough microseconds.
    cost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Argon2,
    Sha,
}

impl Users {
    /// Reads lines of `user:hash`, as htpasswd writes them. Empty lines and those that begin with `#` mean nothing.
    ///
    /// # Errors
    /// A line that is none, a hash of a kind that is not taken or costs too much, a user who is there twice, or no user at all.
    pub fn parse(text: &str) -> Result<Self, UserFault> {
        let mut hashes: HashMap<Box<[u8]>, Hash> = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let fault = |message: String| UserFault { line: index + 1, message };
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // What else htpasswd files have behind a second colon means nothing here either.
            let Some((user, rest)) = line.split_once(':') else {
                return Err(fault(
                    "expected user:hash, as `gwanmun hash-password` or `htpasswd -B` write it"
                        .to_owned(),
                ));
            };
            if user.is_empty() || user.chars().any(char::is_control) {
                return Err(fault("expected the name of a user in front of the colon".to_owned()));
            }
            let hash = Hash::parse(rest.split(':').next().unwrap_or_default()).map_err(fault)?;
            if hashes.insert(user.as_bytes().into(), hash).is_some() {
                return Err(fault(format!("the user {user:?} is there twice")));
            }
        }
        let decoy = hashes.values().max_by_key(|hash| hash.cost).cloned();
        if decoy.is_none() {
            let message = "there is no user in it: nobody could enter".to_owned();
            return Err(UserFault { line: 1, message });
        }
        Ok(Self { hashes, decoy })
    }

    /// The stored hash of a user; for one who is none, nothing.
    pub(crate) fn stored(&self, user: &[u8]) -> &[u8] {
        self.hashes.get(user).map_or(b"", |hash| hash.text.as_bytes())
    }

    /// Whether it is the user's password. Takes as long for a user who is none as for one with the costliest hash, and milliseconds in any case: not for a
    /// thread that others wait for.
    #[must_use]
    pub fn verify(&self, user: &[u8], password: &[u8]) -> bool {
        match (self.hashes.get(user), &self.decoy) {
            (Some(hash), _) => hash.verify(password),
            (None, Some(decoy)) => {
                decoy.verify(password);
                false
            }
            (None, None) => false,
        }
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, cost) = if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix))
        {
            let exponent: u32 = text
                .get(4..6)
                .and_then(|digits| digits.parse().ok())
                .filter(|_| text.len() == 60 && text.is_char_boundary(7))
                .ok_or("expected a bcrypt hash of 60 characters")?;
            if !(4..=MOST_BCRYPT).contains(&exponent) {
                return Err(format!(
                    "its cost of {exponent} is not from 4 to {MOST_BCRYPT}: each login would take seconds"
                ));
            }
            (Kind::Bcrypt, 50 << exponent)
        } else if text.starts_with("$argon2id$") {
            let hash = PasswordHash::new(text)
                .map_err(|error| format!("expected an argon2id hash: {error}"))?;
            let params = Params::try_from(&hash)
                .map_err(|error| format!("expected an argon2id hash: {error}"))?;
            let (memory, passes) = (params.m_cost(), params.t_cost());
            if memory > MOST_ARGON2_KIB || passes > MOST_ARGON2_PASSES || params.p_cost() > 16 {
                return Err(format!(
                    "its cost of {memory} KiB and {passes} passes is more than {MOST_ARGON2_KIB} KiB and {MOST_ARGON2_PASSES}: logins would use up the machine"
                ));
            }
            (Kind::Argon2, u64::from(memory) * u64::from(passes) / 2)
        } else if text.starts_with("$5$") || text.starts_with("$6$") {
            let rounds = match text[3..].strip_prefix("rounds=") {
                None => ROUNDS,
                Some(rest) => rest
                    .split('$')
                    .next()
                    .and_then(|digits| digits.parse().ok())
                    .ok_or("expected a number of rounds")?,
            };
            if rounds > MOST_ROUNDS {
                return Err(format!(
                    "its {rounds} rounds are more than {MOST_ROUNDS}: each login would take seconds"
                ));
            }
            (Kind::Sha, u64::from(rounds))
        } else {
            return Err(Self::unknown(text).to_owned());
        };
        Ok(Self { text: text.into(), kind, cost })
    }

    /// A37: what is no hash that could be taken.
    fn unknown(text: &str) -> &'static str {
        if text.starts_with("$apr1$") {
            "the hash is apr1 (MD5), which is guessed at billions a second; set the password again with `gwanmun hash-password` or `htpasswd -B`"
        } else if text.starts_with("{SHA}") {
            "the hash is SHA-1 without a salt; set the password again with `gwanmun hash-password` or `htpasswd -B`"
        } else if text.starts_with("$argon2") {
            "expected argon2id, not another argon2; set the password again with `gwanmun hash-password`"
        } else {
            "expected a hash: argon2id, bcrypt ($2b$, $2y$) or sha-crypt ($5$, $6$), as `gwanmun hash-password` writes it; a password itself is not taken"
        }
    }

    fn verify(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Bcrypt if password.len() > MOST_OF_BCRYPT => {
                // As long as for any other, so that this says nothing of the user.
                let _ = bcrypt::verify(&password[..MOST_OF_BCRYPT], &self.text);
                false
            }
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::Argon2 => PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Kind::Sha => sha_crypt::PasswordHashRef::new(&self.text)
                .is_ok_and(|hash| ShaCrypt::default().verify_password(password, hash).is_ok()),
        }
    }
}

/// The hash of a password for a password file: argon2id with 19 MiB and 2 passes (A39).
///
/// # Errors
/// The system gives no random bytes.
pub fn hash_password(password: &[u8]) -> Result<String, String> {
    use argon2::password_hash::PasswordHasher;
    Argon2::default()
        .hash_password(password)
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bcrypt_of(password: &str, cost: u32) -> String {
        bcrypt::hash(password, cost).unwrap()
    }

    #[test]
    fn a37_the_kinds_that_are_taken() {
        let argon2 = hash_password(b"secret").unwrap();
        assert!(argon2.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{argon2}");
        let text = format!(
            "# users\n\nann:{argon2}\nbob:{}\ncy:$5$rounds=1000$saltstring$E9E5aMgrWbu3IPUXWR0GHYMRWRNFgl75g3cJNIQPm8A:more\r\n",
            bcrypt_of("secret", 4),
        );
        let users = Users::parse(&text).unwrap();
        assert!(users.verify(b"ann", b"secret") && !users.verify(b"ann", b"Secret"));
        assert!(users.verify(b"bob", b"secret") && !users.verify(b"bob", b""));
        assert!(!users.verify(b"cy", b"no"));
        assert!(!users.verify(b"dee", b"secret") && !users.verify(b"", b""));
    }

    #[test]
    fn a37_sha_crypt_as_the_specification_has_it() {
        // From the specification's own test vectors.
        let users = Users::parse(
            "a:$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5\nb:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        )
        .unwrap();
        assert!(users.verify(b"a", b"Hello world!") && users.verify(b"b", b"Hello world!"));
        assert!(!users.verify(b"a", b"Hello world"));
    }

    #[test]
    fn a37_weak_ones_and_plain_passwords_name_line_and_remedy() {
        for (hash, expected) in [
            ("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", "apr1"),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
            ("rqXexS6ZhobKA", "a password itself is not taken"),
            ("secret", "a password itself is not taken"),
            ("$argon2i$v=19$m=4096,t=3,p=1$c2FsdHNhbHQ$AAAA", "argon2id"),
            ("$2y$04$short", "60 characters"),
            ("", "a password itself is not taken"),
        ] {
            let fault = Users::parse(&format!("ok:{}\nann:{hash}", bcrypt_of("x", 4))).unwrap_err();
            assert_eq!(fault.line, 2);
            assert!(fault.message.contains(expected), "{}", fault.message);
        }
        assert!(Users::parse("").is_err() && Users::parse("# nobody\n").is_err());
        assert!(Users::parse("ann").is_err() && Users::parse(":$5$a$b").is_err());
        let twice = format!("ann:{0}\nann:{0}", bcrypt_of("x", 4));
        assert!(Users::parse(&twice).unwrap_err().message.contains("twice"));
    }

    #[test]
    fn a38_a_password_that_bcrypt_would_cut_off_is_refused() {
        let long = "a".repeat(72);
        let users = Users::parse(&format!("ann:{}", bcrypt_of(&long, 4))).unwrap();
        assert!(users.verify(b"ann", long.as_bytes()));
        assert!(!users.verify(b"ann", format!("{long}b").as_bytes()));
    }

    #[test]
    fn a39_what_costs_too_much_is_refused() {
        for hash in [
            format!("$2b$15${}", ".".repeat(53)),
            "$argon2id$v=19$m=300000,t=2,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA".to_owned(),
            "$argon2id$v=19$m=19456,t=11,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA".to_owned(),
            "$6$rounds=1000001$salt$hash".to_owned(),
        ] {
            let fault = Users::parse(&format!("ann:{hash}")).unwrap_err();
            assert!(
                fault.message.contains("cost") || fault.message.contains("rounds"),
                "{}",
                fault.message
            );
        }
    }

    #[test]
    fn a36_users_are_bytes() {
        let users = Users::parse(&format!("Jörg:{}", bcrypt_of("x", 4))).unwrap();
        assert!(users.verify("Jörg".as_bytes(), b"x"));
        assert!(!users.verify("Jo\u{308}rg".as_bytes(), b"x") && !users.verify(b"jorg", b"x"));
    }
}
