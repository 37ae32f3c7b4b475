//! From certificates as the embedder gives them to those that are served.

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::listener::speaks_tls;
use crate::shared::challenges::Challenges;
use gwanmun_tls::{
    Certificates, Described, DescribedClients, Given, GivenClients, Refused, TicketKeys,
};
use std::sync::{Arc, LazyLock};

/// Says what there is to say of a certificate, after everything that would be checked before it is served.
///
/// # Errors
/// It would be refused.
pub fn read_certificate(cert: &[u8], key: &[u8]) -> Result<Described, Error> {
    let facts = gwanmun_tls::describe(cert, key).map_err(|fault| Error::certificate("", &fault))?;
    Ok(Described { label: String::new(), facts, is_default: false })
}

/// Says what there is to say of what would be asked of clients, after everything that would be checked before: certificates of authorities, and what these have
/// revoked.
///
/// # Errors
/// It would be refused.
pub fn read_authorities(ca: &[u8], crl: Option<&[u8]>) -> Result<DescribedClients, Error> {
    gwanmun_tls::describe_clients(ca, crl).map_err(|fault| Error::clients(&fault))
}

/// What an embedder gives for TLS to be spoken.
#[derive(Clone, Debug, Default)]
pub struct GivenTls<'a> {
    pub certificates: Vec<Given<'a>>,
    /// None: clients are not asked for certificates.
    pub clients: Option<GivenClients<'a>>,
}

/// What outlives certificates: the keys of tickets, and the challenges by which certificates come.
pub(super) type Issuing<'a> = (&'a LazyLock<Arc<TicketKeys>>, &'a Challenges);

/// The certificates of a configuration; none where nobody would get them.
pub(super) fn certificates_for(
    config: &Config,
    given: &GivenTls<'_>,
    generation: &Generation,
    issuing: Issuing<'_>,
) -> Result<Option<Arc<Certificates>>, Error> {
    if given.certificates.is_empty() && config.domains.is_empty() {
        return match config.listen.iter().position(speaks_tls) {
            Some(index) => {
                let message = "A listener with TLS needs a certificate (tls).";
                Err(Error::new(ErrorKind::Config, message).at(format!("listen[{index}]")))
            }
            None => Ok(None),
        };
    }
    load_certificates(given, generation, issuing).map(|own| Some(Arc::new(own)))
}

pub(super) fn load_certificates(
    GivenTls { certificates, clients }: &GivenTls<'_>,
    generation: &Generation,
    (tickets, challenges): Issuing<'_>,
) -> Result<Certificates, Error> {
    if certificates.is_empty() && generation.domains.is_empty() {
        return Err(Error::new(ErrorKind::Certificate, "There is no certificate to serve."));
    }
    let own = Certificates::new(certificates, clients.as_ref(), generation.tls, tickets);
    let own = own.map_err(|refused| match refused {
        Refused::Certificate(index, fault) => {
            let part = format!("tls.certificates[{index}]");
            Error::certificate(certificates[index].label, &fault).at(part)
        }
        Refused::Clients(fault) => Error::clients(&fault).at("tls.clientCertificates"),
    })?;
    Ok(own.awaiting(&generation.domains, Arc::clone(&challenges.tls)))
}
