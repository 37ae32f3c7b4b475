//! Certificates of clients: who vouches for them, and whether one is good at this moment.

use crate::tickets::{LARGEST_WITH_CERTIFICATE, TicketKeys, Ticketer};
use aws_lc_rs::digest;
use gwanmun_certificates::{self as files, CertificateDer, ClientFacts, Fault};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{TrustAnchor, UnixTime};
use rustls::server::ProducesTickets;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, SignatureScheme,
};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
    anchor_from_trusted_cert,
};

/// Names of authorities that clients are told at most, in bytes: all of them, or none (T51).
const MOST_HINTS: usize = 8 * 1024;
/// Of a subject in the log.
const MOST_NAME: usize = 200;
/// Without a certificate there is nothing that could expire.
const NEVER: i64 = i64::MAX;
pub(crate) const NO_CERTIFICATE: &str = "the client has no certificate, which it has to have";

/// What the operator asks of clients.
#[derive(Clone, Copy, Debug)]
pub struct GivenClients<'a> {
    /// PEM: certificates of the authorities whose clients are let in.
    pub ca: &'a [u8],
    /// PEM: what these have revoked. None: nobody looks.
    pub crl: Option<&'a [u8]>,
    /// Who has no certificate is refused.
    pub is_required: bool,
}

/// An authority or a revocation list, as operators have to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pub name: String,
    /// Milliseconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

/// What is asked of clients, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedClients {
    pub authorities: Vec<Authority>,
    /// By the authority that issued it. `not_after`: when the next one should be there.
    pub revocations: Vec<Authority>,
    /// Certificates that are revoked.
    pub revoked: usize,
    pub warnings: Vec<String>,
}

/// What is asked of clients. Never changed: another one takes its place.
#[derive(Debug)]
pub(crate) struct Clients {
    anchors: Vec<Anchor>,
    lists: Vec<CertRevocationList<'static>>,
    /// When each of them is out of date.
    lists_end: Vec<i64>,
    /// The authorities' names, for clients to choose a certificate by.
    hints: Vec<DistinguishedName>,
    is_required: bool,
    digest: [u8; 32],
}

#[derive(Debug)]
struct Anchor {
    anchor: TrustAnchor<'static>,
    not_before: i64,
    not_after: i64,
}

/// A client that has proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub facts: ClientFacts,
    /// SHA-256 of the certificate, in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Milliseconds since 1970. Nobody vouches for it after that, because something on the way from its certificate to its authority has expired, or
    /// what was revoked has to be looked up again.
    pub until: i64,
}

/// Says what there is to say of what would be asked of clients, after everything that would be checked before.
///
/// # Errors
/// It would be refused.
pub fn describe_clients(ca: &[u8], crl: Option<&[u8]>) -> Result<DescribedClients, Fault> {
    Clients::read(ca, crl).map(|(_, described)| described)
}

impl Clients {
    pub(crate) fn new(given: &GivenClients<'_>) -> Result<Self, Fault> {
        let (own, _) = Self::read(given.ca, given.crl)?;
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(if given.is_required { b"require" } else { b"optional" });
        digest.update(&own.digest);
        Ok(Self { is_required: given.is_required, digest: array(digest.finish()), ..own })
    }

    fn read(ca: &[u8], crl: Option<&[u8]>) -> Result<(Self, DescribedClients), Fault> {
        let authorities = files::authorities(ca)?;
        let lists = crl.map(files::revocations).transpose()?.unwrap_or_default();
        let mut described = DescribedClients::default();
        let mut digest = digest::Context::new(&digest::SHA256);
        let mut own = Self {
            anchors: Vec::new(),
            hints: Vec::new(),
            lists: Vec::new(),
            lists_end: Vec::new(),
            is_required: true,
            digest: [0; 32],
        };
        for authority in &authorities {
            let name = &authority.name;
            let anchor = anchor_from_trusted_cert(&authority.der).map_err(|error| {
                Fault::Certificate(format!("The certificate of {name:?} can't be used: {error}."))
            })?;
            if !authority.is_authority {
                described.warnings.push(format!(
                    "{name:?} is no certificate of an authority: what it has signed is accepted all the same."
                ));
            }
            if crl.is_some() && !lists.iter().any(|list| list.issuer == authority.subject) {
                described.warnings.push(format!(
                    "There is no revocation list of {name:?}: what it has issued is refused. Append its list to the file."
                ));
            }
            own.hints.push(DistinguishedName::in_sequence(anchor.subject.as_ref()));
            own.anchors.push(Anchor {
                anchor: anchor.to_owned(),
                not_before: authority.not_before,
                not_after: authority.not_after,
            });
            described.authorities.push(Authority {
                name: name.clone(),
                not_before: authority.not_before,
                not_after: authority.not_after,
            });
            update(&mut digest, &authority.der);
        }
        for list in lists {
            let parsed = OwnedCertRevocationList::from_der(&list.der).map_err(|error| {
                let issuer = &list.issuer_name;
                Fault::Certificate(format!(
                    "The revocation list of {issuer:?} can't be used: {error}."
                ))
            })?;
            own.lists.push(parsed.into());
            own.lists_end.push(list.next_update);
            described.revoked += list.count;
            described.revocations.push(Authority {
                name: list.issuer_name,
                not_before: list.this_update,
                not_after: list.next_update,
            });
            update(&mut digest, &list.der);
        }
        if own.hints.iter().map(|hint| hint.as_ref().len()).sum::<usize>() > MOST_HINTS {
            own.hints = Vec::new();
        }
        own.digest = array(digest.finish());
        Ok((own, described))
    }

    /// What tells tickets and connections of different policies apart.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Judges a chain. Gives until when that holds.
    fn judge(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<i64, webpki::Error> {
        let now_ms = i64::try_from(now.as_secs()).unwrap_or(NEVER).saturating_mul(1000);
        // An authority that has expired vouches for nobody, though to the library it is good for ever (RFC 5280 §6.1.1).
        let valid = self
            .anchors
            .iter()
            .filter(|anchor| (anchor.not_before..=anchor.not_after).contains(&now_ms));
        let anchors: Vec<TrustAnchor<'_>> = valid.map(|own| borrowed(&own.anchor)).collect();
        let lists: Vec<_> = self.lists.iter().collect();
        let path = EndEntityCert::try_from(own)?;
        let path = path.verify_for_usage(
            crate::certificates::PROVIDER.signature_verification_algorithms.all,
            &anchors,
            intermediates,
            now,
            KeyUsage::client_auth(),
            revocation(&lists),
            None,
        )?;
        let chain = path.intermediate_certificates().map(|between| between.der());
        let dates = std::iter::once(own.clone())
            .chain(chain)
            .map(|der| files::expiry(&der).unwrap_or(now_ms));
        let is_root = |anchor: &&Anchor| anchor.anchor == *path.anchor();
        let root = self.anchors.iter().filter(is_root).map(|anchor| anchor.not_after).max();
        // The list of another authority may be out of date.
        let lists = self.lists_end.iter().copied().filter(|&end| end > now_ms);
        let until = dates.chain(root).chain(lists).min();
        Ok(until.unwrap_or(now_ms))
    }
}

fn borrowed<'a>(anchor: &'a TrustAnchor<'_>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: anchor.subject.as_ref().into(),
        subject_public_key_info: anchor.subject_public_key_info.as_ref().into(),
        name_constraints: anchor.name_constraints.as_ref().map(|own| own.as_ref().into()),
    }
}

/// Every certificate on the way to the authority must be known not to be revoked, by a list that is up to date: what cannot be decided is refused.
fn revocation<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(lists).ok()?;
    Some(
        options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build(),
    )
}

/// One client's try to prove who it is. Its certificate is judged here, and its tickets are made and read here: none is good for longer than what it stands for.
#[derive(Debug)]
pub(crate) struct Visit {
    clients: Arc<Clients>,
    ticketer: Ticketer,
    /// Of the certificate that was judged last, or that the ticket which was read last stands for.
    until: AtomicI64,
    refusal: Mutex<Option<String>>,
}

impl Visit {
    pub(crate) fn new(clients: &Arc<Clients>, tickets: &Arc<TicketKeys>) -> Self {
        Self {
            clients: Arc::clone(clients),
            ticketer: Ticketer::new(Arc::clone(tickets), clients.digest()),
            until: AtomicI64::new(NEVER),
            refusal: Mutex::default(),
        }
    }

    /// Why the certificate was refused.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The certificate that the client has proved to be its own, in this handshake or the one that its ticket is from.
    ///
    /// # Errors
    /// It has to have one. The library has asked for it already; who is let in does not hang on that alone.
    pub(crate) fn proved(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
    ) -> Result<Option<ClientCertificate>, &'static str> {
        let Some(own) = chain.and_then(<[_]>::first) else {
            return if self.clients.is_required { Err(NO_CERTIFICATE) } else { Ok(None) };
        };
        let digest = digest::digest(&digest::SHA256, own);
        Ok(Some(ClientCertificate {
            facts: ClientFacts::of(own).ok_or(NO_CERTIFICATE)?,
            fingerprint: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            until: self.until.load(Ordering::Relaxed),
        }))
    }

    fn refuse(&self, own: &CertificateDer<'_>, error: webpki::Error) -> Error {
        let who = ClientFacts::of(own).map_or_else(
            || "its certificate can't be read".to_owned(),
            |ClientFacts { subject, issuer, not_before, not_after, .. }| {
                let why = match &error {
                    webpki::Error::CertExpired { .. } => format!("it, or one on its way to the authority, has expired: it was good until {not_after}"),
                    webpki::Error::CertNotValidYet { .. } => format!("it is not good before {not_before}; are the clocks right?"),
                    webpki::Error::UnknownIssuer => "no authority of `ca` has issued it, or the client did not send the certificates between".to_owned(),
                    webpki::Error::CertRevoked => "it has been revoked".to_owned(),
                    webpki::Error::UnknownRevocationStatus => "`crl` has no list of the authority that issued it".to_owned(),
                    webpki::Error::CrlExpired { .. } => "the list of what its authority has revoked is out of date; renew `crl`".to_owned(),
                    webpki::Error::RequiredEkuNotFoundContext(_) => "it is not for clients: its extended key usage lacks clientAuth, as that of public authorities does. Issue it by an authority of your own".to_owned(),
                    webpki::Error::CaUsedAsEndEntity => "it is the certificate of an authority, not of a client".to_owned(),
                    other => other.to_string(),
                };
                let (subject, issuer) = (shortened(&subject), shortened(&issuer));
                format!("the certificate of \"{subject}\", from \"{issuer}\", is not accepted: {why}")
            },
        );
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(who);
        library_error(error)
    }
}

impl ClientCertVerifier for Visit {
    fn client_auth_mandatory(&self) -> bool {
        self.clients.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.clients.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Who is let in can be named.
        let is_readable = ClientFacts::of(end_entity).map(|_| ()).ok_or(webpki::Error::BadDer);
        let until = is_readable
            .and_then(|()| self.clients.judge(end_entity, intermediates, now))
            .map_err(|error| self.refuse(end_entity, error))?;
        self.until.store(until, Ordering::Relaxed);
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &crate::certificates::PROVIDER.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &crate::certificates::PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::certificates::PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// A ticket says until when it is good, before what the library has in it (T44).
impl ProducesTickets for Visit {
    fn enabled(&self) -> bool {
        self.ticketer.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.ticketer.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let until = self.until.load(Ordering::Relaxed);
        // T49: the client's next first message has to have room for it.
        if plain.len() > LARGEST_WITH_CERTIFICATE {
            return None;
        }
        self.ticketer.encrypt(&[&until.to_be_bytes()[..], plain].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let mut plain = self.ticketer.decrypt(ticket)?;
        let until = i64::from_be_bytes(*plain.first_chunk()?);
        if UnixTime::now().as_secs() as i64 >= until / 1000 {
            return None;
        }
        self.until.store(until, Ordering::Relaxed);
        plain.drain(..size_of::<i64>());
        Some(plain)
    }
}

fn shortened(name: &str) -> &str {
    // It is ASCII.
    name.get(..MOST_NAME).unwrap_or(name)
}

fn update(digest: &mut digest::Context, der: &[u8]) {
    digest.update(&(der.len() as u64).to_be_bytes());
    digest.update(der);
}

fn array(digest: digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// What decides which alert the client gets (RFC 8446 §6.2).
fn library_error(error: webpki::Error) -> Error {
    use webpki::Error as E;
    let certificate = match error {
        E::CertExpired { .. } => CertificateError::Expired,
        E::CertNotValidYet { .. } => CertificateError::NotValidYet,
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::CertRevoked => CertificateError::Revoked,
        E::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        E::CrlExpired { .. } => CertificateError::ExpiredRevocationList,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::InvalidCrlSignatureForPublicKey => {
            return Error::InvalidCertRevocationList(CertRevocationListError::BadSignature);
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(tickets: &Arc<TicketKeys>) -> Visit {
        let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let ca = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let given = GivenClients { ca: ca.as_bytes(), crl: None, is_required: true };
        Visit::new(&Arc::new(Clients::new(&given).unwrap()), tickets)
    }

    #[test]
    fn t44_a_ticket_is_good_for_as_long_as_the_certificate_that_it_stands_for() {
        let own = visit(&Arc::default());
        let now_s = UnixTime::now().as_secs() as i64;
        for (until, is_good) in [(NEVER, true), ((now_s + 60) * 1000, true), (now_s * 1000, false)]
        {
            own.until.store(until, Ordering::Relaxed);
            let ticket = own.encrypt(b"secret").unwrap();
            own.until.store(0, Ordering::Relaxed);
            assert_eq!(own.decrypt(&ticket).as_deref(), is_good.then_some(&b"secret"[..]));
            assert_eq!(own.until.load(Ordering::Relaxed), if is_good { until } else { 0 });
        }
        assert_eq!(own.decrypt(b"nonsense"), None);
    }

    #[test]
    fn t51_clients_are_told_all_authorities_or_none() {
        let ca = |number: usize| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::OrganizationName, "x".repeat(60));
            params.distinguished_name.push(rcgen::DnType::CommonName, number.to_string());
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        };
        let all: String = (0..100).map(ca).collect();
        for (text, expected) in [(ca(0), 1), (all, 0)] {
            let given = GivenClients { ca: text.as_bytes(), crl: None, is_required: true };
            assert_eq!(Clients::new(&given).unwrap().hints.len(), expected);
        }
    }

    #[test]
    fn t49_a_ticket_does_not_carry_a_long_chain() {
        let own = visit(&Arc::default());
        assert!(own.encrypt(&[0; LARGEST_WITH_CERTIFICATE]).is_some());
        assert!(own.encrypt(&[0; LARGEST_WITH_CERTIFICATE + 1]).is_none());
    }
}
