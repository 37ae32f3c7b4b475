//! Certificates and private keys as files have them: PEM text in, a chain in the order that clients expect, its names and its dates.
//!
//! No cryptography here: whether the key belongs to the certificate is for who can compute with it.

mod authority;
mod certificate;
mod chain;
mod client;
mod distinguished_name;
mod name;
mod pem;

pub use authority::{Authority, Revocations, authorities, revocations};
pub use client::{ClientFacts, expiry};
pub use name::normal_name;
pub use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use certificate::Certificate;
use std::fmt;
use std::net::IpAddr;

/// A certificate with what a server needs beside it.
#[derive(Debug)]
pub struct Pair {
    /// The server's own certificate first, each of the others the issuer of the one before it, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub facts: Facts,
}

/// What the server's own certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// In their normal form; the first label may be `*`.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// Its issuer's common name, or all of the issuer's name.
    pub issuer: String,
    /// Milliseconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub key_type: String,
    /// What an operator should know, and no reason to refuse it.
    pub warnings: Vec<String>,
}

/// Why a certificate or its key cannot be used, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Certificate(String),
    Key(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(text) | Self::Key(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Fault {}

/// Reads a certificate with its chain from `cert`, and its private key from `key`, which may be the same text.
///
/// # Errors
/// A text is not PEM, or clients would refuse the certificate whatever they trust (T89), or there is not exactly one key that can be read (T71).
pub fn read(cert: &[u8], key: &[u8]) -> Result<Pair, Fault> {
    let certificates = certificates(cert)?;
    let mut warnings = Vec::new();
    let chain = chain::order(certificates, &mut warnings);
    let leaf = chain
        .first()
        .ok_or_else(|| Fault::Certificate("There is no certificate in it.".to_owned()))?;
    leaf.check().map_err(Fault::Certificate)?;
    let mut facts = leaf.facts();
    facts.warnings.append(&mut warnings);
    let key = private_key(key)?;
    let chain = chain.into_iter().map(|certificate| certificate.der).collect();
    Ok(Pair { chain, key, facts })
}

fn certificates(text: &[u8]) -> Result<Vec<Certificate>, Fault> {
    let mut certificates = Vec::new();
    for section in pem::sections(text) {
        let section = section.map_err(Fault::Certificate)?;
        if section.label == "CERTIFICATE" {
            let der = section.der().map_err(Fault::Certificate)?;
            let certificate = Certificate::parse(der).map_err(|why| {
                Fault::Certificate(format!(
                    "The certificate at line {} can't be read: {why}.",
                    section.line
                ))
            })?;
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        let what = if text.is_empty() { "It is empty." } else { "There is no certificate in it." };
        let remedy = "It should hold the certificate and its intermediates in PEM form: lines between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----.";
        return Err(Fault::Certificate(format!("{what} {remedy}")));
    }
    Ok(certificates)
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let mut found = None;
    for section in pem::sections(text) {
        let section = section.map_err(Fault::Key)?;
        let line = section.line;
        if section.label == "ENCRYPTED PRIVATE KEY" || section.is_encrypted() {
            return Err(Fault::Key(format!(
                "The private key at line {line} is encrypted, and nobody is here to type its passphrase. Decrypt it: openssl pkey -in encrypted.pem -out key.pem"
            )));
        }
        let of = |der: Vec<u8>| match section.label {
            "PRIVATE KEY" => Some(PrivateKeyDer::Pkcs8(der.into())),
            "RSA PRIVATE KEY" => Some(PrivateKeyDer::Pkcs1(der.into())),
            "EC PRIVATE KEY" => Some(PrivateKeyDer::Sec1(der.into())),
            _ => None,
        };
        if of(Vec::new()).is_none() {
            continue;
        }
        if let Some((first, _)) = found {
            return Err(Fault::Key(format!(
                "There are two private keys in it, at line {first} and at line {line}. Leave the one that belongs to the certificate."
            )));
        }
        let der = section.der().map_err(Fault::Key)?;
        found = of(der).map(|key| (line, key));
    }
    found.map(|(_, key)| key).ok_or_else(|| {
        Fault::Key(
            "There is no private key in it. It should be in PEM form: lines between -----BEGIN PRIVATE KEY----- and -----END PRIVATE KEY-----."
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests;
