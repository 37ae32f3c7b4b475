//! From certificates as the embedder gives them to those that are served.

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::listener::speaks_tls;
use gwanmun_tls::{Certificates, Described, Given, Policy, TicketKeys};
use std::sync::{Arc, LazyLock};

/// Says what there is to say of a certificate, after everything that would be checked before it is served.
///
/// # Errors
/// It would be refused.
pub fn read_certificate(cert: &[u8], key: &[u8]) -> Result<Described, Error> {
    let facts = gwanmun_tls::describe(cert, key).map_err(|fault| Error::certificate("", &fault))?;
    Ok(Described { label: String::new(), facts, is_default: false })
}

/// The certificates of a configuration; none where nobody would get them.
pub(super) fn certificates_for(
    config: &Config,
    given: &[Given<'_>],
    policy: Policy,
    tickets: &LazyLock<Arc<TicketKeys>>,
) -> Result<Option<Arc<Certificates>>, Error> {
    if given.is_empty() {
        return match config.listen.iter().position(speaks_tls) {
            Some(index) => {
                let message = "A listener with TLS needs a certificate (tls).";
                Err(Error::new(ErrorKind::Config, message).at(format!("listen[{index}]")))
            }
            None => Ok(None),
        };
    }
    load_certificates(given, policy, tickets).map(|own| Some(Arc::new(own)))
}

pub(super) fn load_certificates(
    given: &[Given<'_>],
    policy: Policy,
    tickets: &LazyLock<Arc<TicketKeys>>,
) -> Result<Certificates, Error> {
    if given.is_empty() {
        return Err(Error::new(ErrorKind::Certificate, "There is no certificate to serve."));
    }
    Certificates::new(given, policy, tickets).map_err(|(index, fault)| {
        let part = format!("tls.certificates[{index}]");
        Error::certificate(given[index].label, &fault).at(part)
    })
}
