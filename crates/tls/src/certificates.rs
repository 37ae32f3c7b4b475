//! The certificates that a server has, and which of them a client gets.

use crate::challenges::Challenges;
use crate::clients::{Clients, GivenClients, Visit};
use crate::tickets::{TicketKeys, Ticketer};
use gwanmun_certificates::{self as files, Facts, Fault, Pair, normal_name};
use rustc_hash::{FxHashMap, FxHashSet};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
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
    policy: Policy,
    tickets: Arc<TicketKeys>,
    /// None: nobody is asked for a certificate.
    clients: Option<Arc<Clients>>,
}

#[derive(Debug)]
struct Served {
    described: Described,
    key: Arc<CertifiedKey>,
    /// For clients that are not asked for a certificate.
    config: Arc<ServerConfig>,
}

/// What a client gets, and who judges its certificate.
pub(crate) struct Chosen {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) visit: Option<Arc<Visit>>,
    pub(crate) asked: Asked,
}

/// What is wrong: with the certificate of this place, or what is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Certificate(usize, Fault),
    Clients(Fault),
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

/// Tells tickets and connections of different policies apart (T44). The version has no part in it: it is negotiated anew, and stands in the ticket.
pub type Asked = [u8; 32];
/// Of clients that are not asked for a certificate.
const NOT_ASKED: Asked = [0; 32];

/// HTTP/1.1 is what is spoken.
const PROTOCOLS: &[&str] = &["http/1.1"];

/// One of those that are spoken.
pub(crate) fn known_protocol(name: &[u8]) -> Option<&'static str> {
    PROTOCOLS.iter().copied().find(|known| known.as_bytes() == name)
}

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
    /// The first certificate that cannot be served, or nobody could be asked for one as `clients` says.
    pub fn new(
        given: &[Given<'_>],
        clients: Option<&GivenClients<'_>>,
        policy: Policy,
        tickets: &Arc<TicketKeys>,
    ) -> Result<Self, Refused> {
        let clients = clients.map(Clients::new).transpose().map_err(Refused::Clients)?;
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
            policy,
            tickets: Arc::clone(tickets),
            clients: clients.map(Arc::new),
        };
        for (index, given) in given.iter().enumerate() {
            let served = served(given, policy, tickets)
                .map_err(|fault| Refused::Certificate(index, fault))?;
            own.certificates.push(served);
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

    /// What is asked of clients, for comparing. A client that came under another one has proved something else.
    #[must_use]
    pub fn asked(&self) -> Asked {
        self.clients.as_ref().map_or(NOT_ASKED, |clients| clients.digest())
    }

    /// The configuration for a client, by the name that it asks for.
    pub(crate) fn choose(
        &self,
        hello: &ClientHello<'_>,
        local: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Chosen, Unserved> {
        if let Some(config) = self.challenges.answer(hello) {
            // An authority is asked for nothing, and asks for nothing (T142).
            return Ok(Chosen { config, visit: None, asked: NOT_ASKED });
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
        let Some(clients) = &self.clients else {
            return Ok(Chosen {
                config: Arc::clone(&served.config),
                visit: None,
                asked: NOT_ASKED,
            });
        };
        let visit = Arc::new(Visit::new(clients, &self.tickets));
        let verifier: Arc<dyn ClientCertVerifier> = Arc::<Visit>::clone(&visit);
        let config = config(&served.key, self.policy, verifier, Arc::<Visit>::clone(&visit));
        // It has been made before, when the certificate was taken.
        let config = config.map_err(|_| Unserved::NoScheme)?;
        Ok(Chosen { config: Arc::new(config), visit: Some(visit), asked: clients.digest() })
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
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self.min_version {
            MinVersion::Tls12 => &FROM_12,
            MinVersion::Tls13 => &FROM_12[..1],
        }
    }
}

fn served(given: &Given<'_>, policy: Policy, tickets: &Arc<TicketKeys>) -> Result<Served, Fault> {
    let Pair { chain, key, facts } = files::read(given.cert, given.key)?;
    let key = Arc::new(certified(chain, key)?);
    let ticketer = Arc::new(Ticketer::new(Arc::clone(tickets), NOT_ASKED));
    let config = config(&key, policy, WebPkiClientVerifier::no_client_auth(), ticketer)
        .map_err(|error| Fault::Certificate(error.to_string()))?;
    let described =
        Described { label: given.label.to_owned(), facts, is_default: given.is_default };
    Ok(Served { described, key, config: Arc::new(config) })
}

fn config(
    key: &Arc<CertifiedKey>,
    policy: Policy,
    verifier: Arc<dyn ClientCertVerifier>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, Error> {
    let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(policy.versions())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.ticketer = ticketer;
    // T62: nothing that would have to be bounded or shared.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
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
