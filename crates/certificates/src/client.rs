//! What a client's certificate says, in mod_ssl's words.

use crate::distinguished_name::rfc2253;
use crate::pem;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// A client's certificate for applications and logs. Every text is printable ASCII, but for the lines of `pem`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// `CN=alice,O=Example`.
    pub subject: String,
    pub issuer: String,
    /// Upper-case hexadecimal digits.
    pub serial: String,
    /// `Dec  1 12:00:00 2026 GMT`.
    pub not_before: String,
    pub not_after: String,
    pub pem: String,
}

impl ClientFacts {
    /// `None`: it is no certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        Some(Self {
            subject: rfc2253(parsed.subject()),
            issuer: rfc2253(parsed.issuer()),
            serial: serial(parsed.raw_serial()),
            not_before: date(validity.not_before),
            not_after: date(validity.not_after),
            pem: pem::encode("CERTIFICATE", der),
        })
    }
}

/// When a certificate expires: milliseconds since 1970. `None`: it is none.
#[must_use]
pub fn expiry(der: &[u8]) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(parsed.validity().not_after.timestamp().saturating_mul(1000))
}

fn serial(bytes: &[u8]) -> String {
    // A zero in front says only that the number is not negative.
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// As OpenSSL prints it.
fn date(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let month = time.month().to_string();
    format!(
        "{} {:2} {:02}:{:02}:{:02} {} GMT",
        month.get(..3).unwrap_or_default(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.year()
    )
}
