//! What proves to an authority that a name leads to this server (RFC 8737).

use crate::certificates::PROVIDER;
use gwanmun_certificates::{CertificateDer, Fault, PrivateKeyDer, normal_name};
use rustc_hash::FxHashMap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::{Arc, Mutex, PoisonError};

/// The protocol that an authority asks for, and nobody else.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// A certificate that holds the answer to a challenge.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    pub name: &'a str,
    /// DER.
    pub cert: &'a [u8],
    /// PKCS #8, DER.
    pub key: &'a [u8],
}

/// The challenges that are open, for all threads. There are few, and only for seconds.
#[derive(Debug, Default)]
pub struct Challenges {
    by_name: Mutex<FxHashMap<Box<str>, Arc<ServerConfig>>>,
}

impl Challenges {
    /// Takes the place of those from before. On return whoever asks gets these.
    ///
    /// # Errors
    /// One of them can't be served; nothing has changed then.
    pub fn set(&self, given: &[Challenge<'_>]) -> Result<(), Fault> {
        let by_name: Result<_, _> = given.iter().map(entry).collect();
        *self.by_name.lock().unwrap_or_else(PoisonError::into_inner) = by_name?;
        Ok(())
    }

    /// What an authority gets that asks for this protocol alone (RFC 8737 §3).
    pub(crate) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(PROTOCOL) || protocols.next().is_some() {
            return None;
        }
        let name = normal_name(hello.server_name()?)?;
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.get(name.as_str()).cloned()
    }
}

fn entry(given: &Challenge<'_>) -> Result<(Box<str>, Arc<ServerConfig>), Fault> {
    let name = normal_name(given.name)
        .ok_or_else(|| Fault::Certificate(format!("{:?} is no name.", given.name)))?;
    let key = PrivateKeyDer::try_from(given.key.to_vec())
        .map_err(|error| Fault::Key(error.to_owned()))?;
    let key = PROVIDER
        .key_provider
        .load_private_key(key)
        .map_err(|error| Fault::Key(error.to_string()))?;
    // Its extension is critical, and known to authorities alone: what would check the certificate refuses it.
    let certified = CertifiedKey::new(vec![CertificateDer::from(given.cert.to_vec())], key);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Fault::Certificate(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((name.into(), Arc::new(config)))
}
