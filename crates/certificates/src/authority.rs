//! Who vouches for clients: certificates of authorities, and their lists of what they have revoked (RFC 5280 §5).

use crate::certificate::Certificate;
use crate::distinguished_name::rfc2253;
use crate::{ClientFacts, Fault, pem};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// An authority whose clients are let in.
#[derive(Clone, Debug)]
pub struct Authority {
    pub der: CertificateDer<'static>,
    /// `CN=Clients,O=Example`.
    pub name: String,
    /// The same as encoded, by which its lists are found.
    pub subject: Vec<u8>,
    /// Milliseconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// It may issue certificates.
    pub is_authority: bool,
}

/// What an authority has revoked.
#[derive(Clone, Debug)]
pub struct Revocations {
    pub der: CertificateRevocationListDer<'static>,
    pub issuer_name: String,
    /// As encoded.
    pub issuer: Vec<u8>,
    /// Milliseconds since 1970.
    pub this_update: i64,
    pub next_update: i64,
    /// How many certificates it names.
    pub count: usize,
}

/// Reads the certificates of authorities.
///
/// # Errors
/// The text is not PEM, or has no certificate.
pub fn authorities(text: &[u8]) -> Result<Vec<Authority>, Fault> {
    let mut authorities: Vec<Authority> = Vec::new();
    for certificate in crate::certificates(text)? {
        let facts = certificate.facts();
        let Certificate { der, subject, is_authority, .. } = certificate;
        if authorities.iter().any(|other| other.der == der) {
            continue;
        }
        let name = ClientFacts::of(&der).map(|facts| facts.subject).unwrap_or_default();
        let (not_before, not_after) = (facts.not_before, facts.not_after);
        authorities.push(Authority { der, name, subject, not_before, not_after, is_authority });
    }
    Ok(authorities)
}

/// Reads lists of revoked certificates.
///
/// # Errors
/// The text is not PEM, or has no such list, or one of them can't be read.
pub fn revocations(text: &[u8]) -> Result<Vec<Revocations>, Fault> {
    let mut lists = Vec::new();
    for section in pem::sections(text) {
        let section = section.map_err(Fault::Certificate)?;
        if section.label != "X509 CRL" {
            continue;
        }
        let der = section.der().map_err(Fault::Certificate)?;
        let list = parse(&der).map_err(|why| {
            Fault::Certificate(format!(
                "The revocation list at line {} can't be used: {why}.",
                section.line
            ))
        })?;
        lists.push(list);
    }
    if lists.is_empty() {
        let what =
            if text.is_empty() { "It is empty." } else { "There is no revocation list in it." };
        let remedy = "It should hold one of each authority in PEM form: lines between -----BEGIN X509 CRL----- and -----END X509 CRL-----. Of a list in DER form: openssl crl -inform der -in list.crl -out crl.pem";
        return Err(Fault::Certificate(format!("{what} {remedy}")));
    }
    Ok(lists)
}

fn parse(der: &[u8]) -> Result<Revocations, String> {
    let (rest, list) =
        CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("something follows it".to_owned());
    }
    if list.version().is_none() {
        return Err("it is of version 1, which has been out of use since RFC 5280 (2008). Have openssl issue version 2: in its configuration, crl_extensions names a section with authorityKeyIdentifier=keyid:always".to_owned());
    }
    let next_update = list
        .next_update()
        .ok_or("it does not say when the next one comes (nextUpdate), so nobody could tell that it is out of date")?;
    Ok(Revocations {
        issuer_name: rfc2253(list.issuer()),
        issuer: list.issuer().as_raw().to_vec(),
        this_update: list.last_update().timestamp().saturating_mul(1000),
        next_update: next_update.timestamp().saturating_mul(1000),
        count: list.iter_revoked_certificates().count(),
        der: CertificateRevocationListDer::from(der.to_vec()),
    })
}
