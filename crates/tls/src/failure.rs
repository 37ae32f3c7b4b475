//! Why handshakes fail, in words that can be counted.

use rustls::{AlertDescription, Error, PeerIncompatible};

/// Why a handshake has failed. There are few of them, whatever clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No certificate is for the name that the client asks for.
    UnknownName,
    /// The client asks for no name, and no certificate is meant for that.
    NoName,
    /// The client speaks no version that is spoken here.
    Version,
    /// Client and server have no suite, group, signature or protocol in common.
    NothingInCommon,
    /// The client has no certificate, which it has to have.
    NoCertificate,
    /// The client's certificate is not accepted.
    BadCertificate,
    /// The client has ended it; what it is by.
    Alert(&'static str),
    /// What has come is not what the protocol allows.
    Malformed,
    /// A fault of the server's.
    Internal,
}

impl Failure {
    /// As programs know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownName => "unknown_name",
            Self::NoName => "no_name",
            Self::Version => "version",
            Self::NothingInCommon => "nothing_in_common",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::Alert(name) => name,
            Self::Malformed => "malformed",
            Self::Internal => "internal",
        }
    }

    /// Whether the client was not let in because of its certificate.
    #[must_use]
    pub fn is_strangers(self) -> bool {
        matches!(self, Self::NoCertificate | Self::BadCertificate)
    }

    pub(crate) fn of(error: &Error) -> Self {
        use PeerIncompatible as Lack;
        match error {
            Error::AlertReceived(alert) => Self::Alert(alert_name(*alert)),
            Error::PeerIncompatible(
                // Who does not know these extensions does not know TLS 1.2 (T101).
                Lack::SignatureAlgorithmsExtensionRequired
                | Lack::SupportedVersionsExtensionRequired
                | Lack::Tls12NotOffered
                | Lack::Tls12NotOfferedOrEnabled,
            ) => Self::Version,
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => {
                Self::BadCertificate
            }
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::NothingInCommon,
            Error::General(_)
            | Error::Other(_)
            | Error::EncryptError
            | Error::FailedToGetCurrentTime
            | Error::FailedToGetRandomBytes => Self::Internal,
            _ => Self::Malformed,
        }
    }
}

/// The names of RFC 8446 §6 and its forerunners, of the alerts that a client can have a reason for.
fn alert_name(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::UnexpectedMessage => "alert_unexpected_message",
        Alert::BadRecordMac => "alert_bad_record_mac",
        Alert::HandshakeFailure => "alert_handshake_failure",
        Alert::BadCertificate => "alert_bad_certificate",
        Alert::UnsupportedCertificate => "alert_unsupported_certificate",
        Alert::CertificateRevoked => "alert_certificate_revoked",
        Alert::CertificateExpired => "alert_certificate_expired",
        Alert::CertificateUnknown => "alert_certificate_unknown",
        Alert::IllegalParameter => "alert_illegal_parameter",
        Alert::UnknownCA => "alert_unknown_ca",
        Alert::AccessDenied => "alert_access_denied",
        Alert::DecodeError => "alert_decode_error",
        Alert::DecryptError => "alert_decrypt_error",
        Alert::ProtocolVersion => "alert_protocol_version",
        Alert::InsufficientSecurity => "alert_insufficient_security",
        Alert::InternalError => "alert_internal_error",
        Alert::InappropriateFallback => "alert_inappropriate_fallback",
        Alert::UserCanceled => "alert_user_canceled",
        Alert::MissingExtension => "alert_missing_extension",
        Alert::UnsupportedExtension => "alert_unsupported_extension",
        Alert::NoApplicationProtocol => "alert_no_application_protocol",
        _ => "alert_other",
    }
}
