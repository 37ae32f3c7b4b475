//! What one certificate says (RFC 5280).

use crate::{Facts, normal_name};
use rustls_pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA1WITHRSA, OID_SIG_DSA_WITH_SHA1, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// A certificate, with what the order of a chain depends on.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    /// As encoded: that is how issuers are found (RFC 5280 §7.1).
    pub(crate) subject: Vec<u8>,
    issuer: Vec<u8>,
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
    facts: Facts,
    /// Why no client would take it for a server's.
    fault: Option<String>,
    pub(crate) is_authority: bool,
    /// For messages.
    pub(crate) name: String,
}

const SHORTEST_RSA: usize = 2048;
/// RFC 5758 §3.2 has its followers only.
const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";

impl Certificate {
    pub(crate) fn parse(der: Vec<u8>) -> Result<Self, String> {
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("something follows it".to_owned());
        }
        let mut key_id = None;
        let mut issuer_key_id = None;
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                _ => {}
            }
        }
        let (names, addresses) = names(&parsed);
        let (key_type, weak) = key_type(&parsed);
        let facts = Facts {
            names,
            addresses,
            issuer: common_name(parsed.issuer()),
            not_before: parsed.validity().not_before.timestamp().saturating_mul(1000),
            not_after: parsed.validity().not_after.timestamp().saturating_mul(1000),
            key_type,
            warnings: Vec::new(),
        };
        let fault = weak.or_else(|| fault(&parsed, &facts));
        Ok(Self {
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            key_id,
            issuer_key_id,
            fault,
            is_authority: parsed.is_ca(),
            name: common_name(parsed.subject()),
            facts,
            der: CertificateDer::from(der),
        })
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    pub(crate) fn is_issued_by(&self, other: &Self) -> bool {
        self.issuer == other.subject
            && match (&self.issuer_key_id, &other.key_id) {
                (Some(wanted), Some(id)) => wanted == id,
                _ => true,
            }
    }

    /// Whether it is fit for a server.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts.clone()
    }
}

fn names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let mut names = Vec::new();
    let mut addresses = Vec::new();
    let found = certificate.subject_alternative_name().ok().flatten();
    for name in found.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.extend(normal_name(name)),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                addresses.extend(v4.or(v6));
            }
            _ => {}
        }
    }
    (names, addresses)
}

/// What the key is called, and why it is too weak.
fn key_type(certificate: &X509Certificate<'_>) -> (String, Option<String>) {
    let key = certificate.public_key();
    if key.algorithm.algorithm == OID_SIG_ED25519 {
        return ("Ed25519".to_owned(), None);
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = rsa.key_size();
            let weak = (bits < SHORTEST_RSA).then(|| {
                format!(
                    "Its RSA key has {bits} bits. Clients refuse keys of less than {SHORTEST_RSA}: make a new key, best an ECDSA one, and have the certificate issued for that."
                )
            });
            (format!("RSA {bits}"), weak)
        }
        Ok(PublicKey::EC(point)) => (format!("ECDSA P-{}", curve_bits(point.key_size())), None),
        _ => (key.algorithm.algorithm.to_id_string(), None),
    }
}

/// A point of P-521 fills whole bytes.
fn curve_bits(size: usize) -> usize {
    if size == 528 { 521 } else { size }
}

fn fault(certificate: &X509Certificate<'_>, facts: &Facts) -> Option<String> {
    let by = &certificate.signature_algorithm.algorithm;
    if [OID_PKCS1_SHA1WITHRSA, OID_SIG_DSA_WITH_SHA1].contains(by)
        || by.to_id_string() == ECDSA_WITH_SHA1
    {
        return Some(
            "It is signed with SHA-1, which clients refuse: have it issued anew.".to_owned(),
        );
    }
    if certificate.public_key().algorithm.algorithm == OID_PKCS1_RSASSAPSS {
        return Some("Its key is for RSASSA-PSS alone, which is not supported: have it issued for an RSA or ECDSA key.".to_owned());
    }
    if facts.names.is_empty() && facts.addresses.is_empty() {
        return Some("It names no host (subjectAltName), and clients ignore the common name: have it issued with the names that it is for.".to_owned());
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth && !usage.value.any => {
            Some("It is not for servers: its extended key usage lacks serverAuth. Have it issued for a server.".to_owned())
        }
        Err(_) => Some("Its extended key usage is there twice: have it issued anew.".to_owned()),
        Ok(_) => None,
    }
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|part| part.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}
