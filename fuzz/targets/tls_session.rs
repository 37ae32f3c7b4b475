//! A session and a client: however the stream is cut, and in whatever room, the server gets what the client has sent, and the client what the server has. Bytes that are
//! changed on their way end the connection, and nothing of them is taken for the client's.
//!
//! The input: how the bytes are cut; then what is sent; then whether, and where, a byte is changed.

#![no_main]

use gwanmun_tls::{Certificates, Ended, Given, MOST_HELD, Outgoing, Policy, Session};
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

const PEM: &[u8] = include_bytes!("../corpus/certificates/pair.pem");

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let given = Given { label: "fuzz", cert: PEM, key: PEM, is_default: true };
    Certificates::new(&[given], None, Policy::default(), &Arc::default()).expect("the pair is good")
});

static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(PEM).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("they are supported");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
});

struct Server<'a> {
    session: Session,
    held: Vec<u8>,
    plain: Vec<u8>,
    out: Outgoing,
    cuts: &'a [u8],
    at: usize,
}

impl Server<'_> {
    fn cut(&mut self) -> usize {
        let cut = self.cuts.get(self.at % self.cuts.len().max(1)).copied().unwrap_or(255);
        self.at += 1;
        match cut {
            255 => usize::MAX,
            cut => 1 + usize::from(cut) * usize::from(cut) / 8,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.held.extend_from_slice(bytes);
        loop {
            let mut into = vec![0; self.cut().min(20_000)];
            let Self { session, held, out, .. } = self;
            let received = session.receive(Some(&CERTIFICATES), || None, held, &mut into, out)?;
            assert!(received.used <= self.held.len() && received.written <= into.len());
            self.plain.extend_from_slice(&into[..received.written]);
            self.held.drain(..received.used);
            assert!(self.held.len() < MOST_HELD);
            if !received.has_more {
                return Ok(());
            }
        }
    }

    /// Carries bytes until nobody has more to say. `change`: which of the client's bytes is changed.
    fn talk(
        &mut self,
        client: &mut ClientConnection,
        got: &mut Vec<u8>,
        change: &mut Option<usize>,
    ) -> Result<(), Ended> {
        loop {
            let mut sent = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut sent).expect("memory takes all");
            }
            if let Some(at) = *change {
                match sent.get_mut(at) {
                    Some(byte) => {
                        *byte ^= 0x40;
                        *change = None;
                    }
                    None => *change = Some(at - sent.len()),
                }
            }
            let mut rest = sent.as_slice();
            let mut result = Ok(());
            while !rest.is_empty() && result.is_ok() {
                let (now, later) = rest.split_at(self.cut().min(rest.len()));
                rest = later;
                result = self.feed(now);
            }
            let mut answer = self.out.bytes();
            let is_silent = answer.is_empty() && sent.is_empty();
            while !answer.is_empty() {
                if client.read_tls(&mut answer).is_err() || client.process_new_packets().is_err() {
                    break;
                }
                let _ = client.reader().read_to_end(got);
            }
            self.out.clear();
            result?;
            if is_silent {
                return Ok(());
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let (cuts, rest) = input.split_at(input.len().min(8));
    let (change, body) = rest.split_at(rest.len().min(2));
    let at = change.iter().fold(0usize, |at, &byte| at << 8 | usize::from(byte));
    let mut change = (at % 4 == 3).then_some(at / 4);
    let is_changed = change.is_some();
    let name = ServerName::try_from("a.test").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(&CLIENT), name).expect("a client");
    let mut server = Server {
        session: Session::default(),
        held: Vec::new(),
        plain: Vec::new(),
        out: Outgoing::default(),
        cuts,
        at: 0,
    };
    // More than a record in both directions.
    let request: Vec<u8> = body.iter().copied().cycle().take(body.len() * 40).collect();
    let mut got = Vec::new();
    client.writer().write_all(&request).expect("it is kept");
    let mut result = server.talk(&mut client, &mut got, &mut change);
    if result.is_ok() && server.session.established().is_some() {
        result = server.session.seal(&request, at, &mut server.out);
        let more = server.talk(&mut client, &mut got, &mut change);
        result = result.and(more);
    }
    client.send_close_notify();
    result = result.and(server.talk(&mut client, &mut got, &mut change));
    if is_changed && change.is_none() {
        // What was opened before it is the client's own.
        assert!(request.starts_with(&server.plain));
    } else {
        result.expect("nothing is wrong with it");
        assert!(server.session.peer_closed());
        assert_eq!(server.plain, request);
        assert_eq!(got, request);
    }
});
