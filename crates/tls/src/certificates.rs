//! The certificates that a server has, and which of them a client gets.

use crate::challenges::Challenges;
use crate::tickets::{TicketKeys, Ticketer};
use aws_lc_rs::digest;
use gwanmun_certificates::{self as files, Facts, Fault, Pair, normal_name};
use rustc_hash::{FxHashMap, FxHashSet};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CipherSuite, Error, InconsistentKeys, ServerConfig, SignatureAlgorithm, SignatureScheme,
    SupportedProtocolVersion, version,
};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

/// A certificate as the operator gives it.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What the operator knows it by.
    pub label: &'a str,
    /// PEM: the certificate and its intermediates.
    pub cert: &'a [u8],
    /// PEM: its private key. It may be the same text.
    pub key: &'a [u8],
    /// For clients that ask for no name, or for one that no certificate has.
    pub is_default: bool,
}

/// What is asked of every connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub min_version: MinVersion,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    #[default]
    Tls12,
    Tls13,
}

/// What there is to say of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub label: String,
    pub facts: Facts,
    pub is_default: bool,
}

/// Certificates by name. Never changed: others take their place.
#[derive(Debug)]
pub struct Certificates {
    certificates: Vec<Served>,
    /// By name in its normal form, the best certificate first.
    exact: FxHashMap<Box<str>, Vec<usize>>,
    /// By what follows `*.`.
    wildcard: FxHashMap<Box<str>, Vec<usize>>,
    addresses: FxHashMap<IpAddr, Vec<usize>>,
    /// Those that the operator has chosen.
    defaults: Vec<usize>,
    /// All of them, if they are for the same names: then who asks for none can only mean these.
    only: Vec<usize>,
    /// Names that no certificate has are refused.
    is_strict: bool,
    /// Names that a certificate is to come for: nobody who asks for one of them gets another one's (T7).
    awaited: FxHashSet<Box<str>>,
    challenges: Arc<Challenges>,
}

#[derive(Debug)]
struct Served {
    described: Described,
    key: Arc<CertifiedKey>,
    config: Arc<ServerConfig>,
}

/// Why no certificate fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unserved {
    UnknownName,
    NoName,
    NoScheme,
}

/// Ours alone, whatever other crates of the program make the default.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(provider::default_provider()));

/// HTTP/1.1 is what is spoken.
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Says what there is to say of a certificate, after everything that would be checked before it is served.
///
/// # Errors
/// It would be refused.
pub fn describe(cert: &[u8], key: &[u8]) -> Result<Facts, Fault> {
    let Pair { chain, key, facts } = files::read(cert, key)?;
    certified(chain, key)?;
    Ok(facts)
}

impl Certificates {
    /// # Errors
    /// The first certificate that cannot be served, by its place.
    pub fn new(
        given: &[Given<'_>],
        policy: Policy,
        tickets: &Arc<TicketKeys>,
    ) -> Result<Self, (usize, Fault)> {
        let mut own = Self {
            certificates: Vec::new(),
            exact: FxHashMap::default(),
            wildcard: FxHashMap::default(),
            addresses: FxHashMap::default(),
            defaults: Vec::new(),
            only: Vec::new(),
            is_strict: false,
            awaited: FxHashSet::default(),
            challenges: Arc::default(),
        };
        let ticketer = Arc::new(Ticketer::new(Arc::clone(tickets), policy.digest()));
        for (index, given) in given.iter().enumerate() {
            own.certificates
                .push(served(given, policy, &ticketer).map_err(|fault| (index, fault))?);
        }
        for index in own.by_preference() {
            let Facts { names, addresses, .. } = &own.certificates[index].described.facts;
            for name in names {
                match name.strip_prefix("*.") {
                    Some(parent) => own.wildcard.entry(parent.into()).or_default().push(index),
                    None => own.exact.entry(name.as_str().into()).or_default().push(index),
                }
            }
            for &address in addresses {
                own.addresses.entry(address).or_default().push(index);
            }
            if own.certificates[index].described.is_default {
                own.defaults.push(index);
            }
        }
        own.drop_doubles();
        let names = |index: usize| {
            let mut names = own.certificates[index].described.facts.names.clone();
            names.sort_unstable();
            names
        };
        let order = own.by_preference();
        if order.iter().all(|&index| names(index) == names(order[0])) {
            own.only = order;
        }
        own.is_strict = own.exact.len() + own.wildcard.len() >= 2;
        Ok(own)
    }

    /// For these names certificates are to come, if there are none, and these are the challenges by which they come.
    #[must_use]
    pub fn awaiting(mut self, names: &[String], challenges: Arc<Challenges>) -> Self {
        let names = names.iter().filter_map(|name| normal_name(name));
        self.awaited = names.filter(|name| self.named(name).is_none()).map(Box::from).collect();
        self.challenges = challenges;
        self
    }

    /// Whether a certificate for this name is to come.
    #[must_use]
    pub fn await_one_for(&self, name: &str) -> bool {
        normal_name(name).is_some_and(|name| self.awaited.contains(name.as_str()))
    }

    /// What there is to say of each, in the order they were given.
    pub fn described(&self) -> impl Iterator<Item = &Described> {
        self.certificates.iter().map(|served| &served.described)
    }

    /// Whether one is for this name, in any form.
    #[must_use]
    pub fn are_for(&self, name: &str) -> bool {
        normal_name(name).is_some_and(|name| self.named(&name).is_some())
    }

    fn named(&self, name: &str) -> Option<&[usize]> {
        let wild = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name).or_else(wild).map(Vec::as_slice)
    }

    /// Elliptic curves before RSA (T4); of a kind, what is good for longer (T12).
    fn by_preference(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.certificates.len()).collect();
        order.sort_by_key(|&index| {
            let served = &self.certificates[index];
            let kind = served.key.key.algorithm();
            (rank(kind), std::cmp::Reverse(served.described.facts.not_after))
        });
        order
    }

    /// Of one kind of key, a name has one certificate. Says so where it had two.
    fn drop_doubles(&mut self) {
        let kinds: Vec<_> =
            self.certificates.iter().map(|served| served.key.key.algorithm()).collect();
        let mut doubles = Vec::new();
        let named = self.exact.iter_mut().map(|(name, found)| (name.to_string(), found));
        let wild = self.wildcard.iter_mut().map(|(name, found)| (format!("*.{name}"), found));
        for (name, found) in named.chain(wild) {
            let mut seen: Vec<usize> = Vec::new();
            found.retain(|&index| {
                let better = seen.iter().copied().find(|&other| kinds[other] == kinds[index]);
                match better {
                    Some(other) if other != index => doubles.push((index, other, name.clone())),
                    Some(_) => {}
                    None => seen.push(index),
                }
                better.is_none()
            });
        }
        doubles.sort_unstable();
        for (index, other, name) in doubles {
            let other = self.certificates[other].described.label.clone();
            self.certificates[index].described.facts.warnings.push(format!(
                "{name} is served with the certificate of {other}, which is good for longer."
            ));
        }
    }

    /// The configuration for a client, by the name that it asks for.
    pub(crate) fn choose(
        &self,
        hello: &ClientHello<'_>,
        local: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Arc<ServerConfig>, Unserved> {
        if let Some(answer) = self.challenges.answer(hello) {
            return Ok(answer);
        }
        let found = self.find(hello.server_name(), local)?;
        let schemes: &[SignatureScheme] = hello.signature_schemes();
        let verifiable = || {
            let found = found.iter().filter_map(|&index| self.certificates.get(index));
            found.filter(|served| served.key.key.choose_scheme(schemes).is_some())
        };
        // If there is a suite for none, the library says so to the client.
        let best = verifiable().find(|served| has_suite(&served.key, hello));
        let served = best.or_else(|| verifiable().next()).ok_or(Unserved::NoScheme)?;
        Ok(Arc::clone(&served.config))
    }

    pub(crate) fn find(
        &self,
        name: Option<&str>,
        local: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<&[usize], Unserved> {
        let Some(name) = name else {
            if !self.defaults.is_empty() {
                return Ok(&self.defaults);
            }
            if !self.only.is_empty() {
                return Ok(&self.only);
            }
            let found = local().and_then(|address| self.addresses.get(&address.to_canonical()));
            return found.map(Vec::as_slice).ok_or(Unserved::NoName);
        };
        if let Some(found) = normal_name(name).and_then(|name| self.named(&name)) {
            return Ok(found);
        }
        if self.await_one_for(name) {
            return Err(Unserved::UnknownName);
        }
        if !self.defaults.is_empty() {
            return Ok(&self.defaults);
        }
        if self.is_strict || self.only.is_empty() {
            return Err(Unserved::UnknownName);
        }
        Ok(&self.only)
    }
}

impl Policy {
    /// What tells tickets of different policies apart. The version does not: it is negotiated anew, and stands in the ticket.
    fn digest(self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, b"no client certificates").as_ref());
        digest
    }

    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self.min_version {
            MinVersion::Tls12 => &FROM_12,
            MinVersion::Tls13 => &FROM_12[..1],
        }
    }
}

fn served(given: &Given<'_>, policy: Policy, ticketer: &Arc<Ticketer>) -> Result<Served, Fault> {
    let Pair { chain, key, facts } = files::read(given.cert, given.key)?;
    let key = Arc::new(certified(chain, key)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(policy.versions())
        .map_err(|error| Fault::Certificate(error.to_string()))?;
    let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&key)));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = PROTOCOLS.iter().map(|&name| name.to_vec()).collect();
    config.ticketer = Arc::<Ticketer>::clone(ticketer);
    // T62: nothing that would have to be bounded or shared.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let described =
        Described { label: given.label.to_owned(), facts, is_default: given.is_default };
    Ok(Served { described, key, config: Arc::new(config) })
}

/// A certificate with its key, which belong together (T72).
fn certified(
    chain: Vec<files::CertificateDer<'static>>,
    key: files::PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Fault> {
    CertifiedKey::from_der(chain, key, &PROVIDER).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Fault::Key(
            "The private key does not belong to the certificate. Name the key that the certificate was issued for.".to_owned(),
        ),
        Error::InvalidCertificate(error) => {
            Fault::Certificate(format!("The certificate can't be read: {error:?}."))
        }
        _ => Fault::Key(
            "The private key can't be read, or is of a kind that is not supported. ECDSA (P-256, P-384, P-521), RSA from 2048 bits and Ed25519 are."
                .to_owned(),
        ),
    })
}

fn rank(kind: SignatureAlgorithm) -> u8 {
    match kind {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        _ => 2,
    }
}

/// Whether the client has a suite for the key. TLS 1.3's are for every key.
fn has_suite(own: &CertifiedKey, hello: &ClientHello<'_>) -> bool {
    let kind = own.key.algorithm();
    hello.cipher_suites().iter().any(|&suite: &CipherSuite| {
        let known = PROVIDER.cipher_suites.iter().find(|known| known.suite() == suite);
        known.is_some_and(|known| known.usable_for_signature_algorithm(kind))
    })
}
