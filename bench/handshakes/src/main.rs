//! Opens TLS connections, one after the other on each of its threads, and has one request answered on each:
//! `gwanmun-bench-handshakes PORT full|resumed SECONDS THREADS` prints `{"handshakes":…,"seconds":…}`.
//!
//! It does less than a server has to, so that one core of it can keep a server's busy: the certificate is not verified.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, Stream,
    version,
};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The server ends the connection: who ends it first keeps its port for a while.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, kind, seconds, threads] = args.as_slice() else {
        return Err("PORT full|resumed SECONDS THREADS".into());
    };
    let (port, resume) = (port.parse()?, kind == "resumed");
    let duration = Duration::from_secs(seconds.parse()?);
    let is_over = AtomicBool::new(false);
    let begin = Instant::now();
    let count = thread::scope(|scope| -> Result<u64> {
        let run = || shake(port, resume, &is_over);
        let threads: Vec<_> = (0..threads.parse()?).map(|_: u32| scope.spawn(run)).collect();
        thread::sleep(duration);
        is_over.store(true, Ordering::Relaxed);
        let mut count = 0;
        for thread in threads {
            count += thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(count)
    })?;
    println!("{{\"handshakes\":{count},\"seconds\":{}}}", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Connection after connection until it is over.
fn shake(port: u16, resume: bool, is_over: &AtomicBool) -> Result<u64> {
    let config = config(resume)?;
    let mut count = 0;
    if resume {
        // For the first ticket.
        ask(port, &config)?;
    }
    while !is_over.load(Ordering::Relaxed) {
        let wanted = if resume { HandshakeKind::Resumed } else { HandshakeKind::Full };
        let kind = ask(port, &config)?;
        if kind != Some(wanted) {
            return Err(format!("a handshake was {kind:?} and not {wanted:?}").into());
        }
        count += 1;
    }
    Ok(count)
}

/// A connection with one request.
fn ask(port: u16, config: &Arc<ClientConfig>) -> Result<Option<HandshakeKind>> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut tls = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
    let mut stream = Stream::new(&mut tls, &mut socket);
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(format!("answered {:?}", String::from_utf8_lossy(&answer)).into());
    }
    Ok(tls.handshake_kind())
}

/// What the benchmark's other clients speak.
fn config(resume: bool) -> Result<Arc<ClientConfig>> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.resumption = if resume {
        Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)))
    } else {
        Resumption::disabled()
    };
    Ok(Arc::new(config))
}

/// Trusts whoever answers: it is this machine.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
