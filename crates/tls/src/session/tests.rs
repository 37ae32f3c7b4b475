mod hello;
mod records;

use super::*;
use crate::{Given, MinVersion, Policy, Refused, TicketKeys};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

mod clients;

struct Issued {
    cert: String,
    key: String,
}

static AUTHORITY: LazyLock<(Issuer<'static, KeyPair>, CertificateDer<'static>)> =
    LazyLock::new(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Authority");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        (Issuer::new(params, key), root)
    });

fn issue_for(names: &[&str], key: KeyPair) -> Issued {
    let params =
        CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    let cert = params.unwrap().signed_by(&key, &AUTHORITY.0).unwrap().pem();
    Issued { cert, key: key.serialize_pem() }
}

fn issue(names: &[&str]) -> Issued {
    issue_for(names, KeyPair::generate().unwrap())
}

fn rsa(names: &[&str]) -> Issued {
    issue_for(names, KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap())
}

fn given<'a>(label: &'a str, issued: &'a Issued) -> Given<'a> {
    let (cert, key) = (issued.cert.as_bytes(), issued.key.as_bytes());
    Given { label, cert, key, is_default: false }
}

fn certificates_of(given: &[Given<'_>], tickets: &Arc<TicketKeys>) -> Certificates {
    Certificates::new(given, None, Policy::default(), tickets).unwrap()
}

fn certificates(names: &[&str]) -> Certificates {
    certificates_of(&[given("a", &issue(names))], &Arc::default())
}

struct Client {
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<&'static str>,
    resumption: Option<Resumption>,
    has_name: bool,
    suites: Option<&'static str>,
    identity: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<KeyPair>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            versions: vec![&version::TLS13, &version::TLS12],
            protocols: Vec::new(),
            resumption: None,
            has_name: true,
            suites: None,
            identity: None,
        }
    }
}

impl Client {
    fn config(&self) -> Arc<ClientConfig> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if let Some(suites) = self.suites {
            provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains(suites));
        }
        let mut roots = RootCertStore::empty();
        roots.add(AUTHORITY.1.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.identity.clone() {
            Some(Identity { chain, key }) => {
                let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().into()).collect();
        config.enable_sni = self.has_name;
        if let Some(resumption) = &self.resumption {
            config.resumption = resumption.clone();
        }
        Arc::new(config)
    }

    fn connect(&self, name: &str) -> ClientConnection {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        ClientConnection::new(self.config(), name).unwrap()
    }
}

/// A session, with what its caller would keep for it.
#[derive(Default)]
struct Server {
    session: Session,
    held: Vec<u8>,
    plain: Vec<u8>,
    out: Outgoing,
    room: usize,
    /// What the client has got.
    answered: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        Self { room: 64 * 1024, ..Self::default() }
    }

    fn feed(&mut self, certificates: &Certificates, bytes: &[u8]) -> Result<(), Ended> {
        self.held.extend_from_slice(bytes);
        let mut into = vec![0; self.room];
        loop {
            let received = self.session.receive(
                Some(certificates),
                || Some("192.0.2.1".parse().unwrap()),
                &mut self.held,
                &mut into,
                &mut self.out,
            )?;
            self.plain.extend_from_slice(&into[..received.written]);
            self.held.drain(..received.used);
            if !received.has_more {
                return Ok(());
            }
        }
    }

    /// Carries bytes in both directions until nobody has more to say.
    fn talk(
        &mut self,
        certificates: &Certificates,
        client: &mut ClientConnection,
        split: impl Fn(usize) -> usize,
    ) -> Result<(), Ended> {
        loop {
            let mut sent = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut sent).unwrap();
            }
            let mut rest = sent.as_slice();
            let mut result = Ok(());
            while !rest.is_empty() && result.is_ok() {
                let (now, later) = rest.split_at(split(rest.len()).clamp(1, rest.len()));
                rest = later;
                result = self.feed(certificates, now);
            }
            let mut answer = self.out.bytes();
            let is_silent = answer.is_empty() && sent.is_empty();
            while !answer.is_empty() {
                client.read_tls(&mut answer).unwrap();
                // What the client thinks of it, the tests ask later.
                let _ = client.process_new_packets();
                self.answered.append(&mut received(client));
            }
            self.out.clear();
            result?;
            if is_silent {
                return Ok(());
            }
        }
    }
}

fn received(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An end without goodbye is not what is asked here.
    let _ = client.reader().read_to_end(&mut bytes);
    bytes
}

fn whole(length: usize) -> usize {
    length
}

fn exchange(
    certificates: &Certificates,
    client: &mut ClientConnection,
    split: impl Fn(usize) -> usize + Copy,
) -> Server {
    let mut server = Server::new();
    client.writer().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    server.talk(certificates, client, split).unwrap();
    assert_eq!(server.plain, b"GET / HTTP/1.1\r\n\r\n");
    server.session.seal(b"HTTP/1.1 200 OK\r\n\r\n", RECORD, &mut server.out).unwrap();
    server.talk(certificates, client, split).unwrap();
    assert_eq!(std::mem::take(&mut server.answered), b"HTTP/1.1 200 OK\r\n\r\n");
    server
}

#[test]
fn t130_both_versions_are_spoken() {
    let own = certificates(&["a.example"]);
    for (version, protocol) in [(&version::TLS13, "TLSv1.3"), (&version::TLS12, "TLSv1.2")] {
        let client = Client { versions: vec![version], ..Client::default() };
        let server = exchange(&own, &mut client.connect("a.example"), whole);
        let established = server.session.established().unwrap();
        assert_eq!(established.protocol, protocol);
        assert!(established.cipher.contains("AES"), "{established:?}");
        assert_eq!(established.name.as_deref(), Some("a.example"));
        assert!(server.held.is_empty());
        assert_eq!(server.session.holds(), 0);
    }
    let only_13 = Policy { min_version: MinVersion::Tls13 };
    let issued = issue(&["a.example"]);
    let own = Certificates::new(&[given("a", &issued)], None, only_13, &Arc::default()).unwrap();
    let old = Client { versions: vec![&version::TLS12], ..Client::default() };
    let mut server = Server::new();
    assert!(server.talk(&own, &mut old.connect("a.example"), whole).is_err());
}

#[test]
fn t15_the_stream_may_be_split_anywhere() {
    let own = certificates(&["a.example"]);
    for version in [&version::TLS13, &version::TLS12] {
        let client = Client { versions: vec![version], ..Client::default() };
        for size in [1, 2, 3, 5, 64, 333] {
            exchange(&own, &mut client.connect("a.example"), |_| size);
        }
        // Each flight in two pieces, at every byte of it.
        for first in 1..1800 {
            exchange(&own, &mut client.connect("a.example"), |length| match length {
                length if length > first => first,
                length => length,
            });
        }
    }
}

#[test]
fn t120_what_is_sealed_at_once_is_one_record() {
    let own = certificates(&["a.example"]);
    let mut client = Client::default().connect("a.example");
    let mut server = exchange(&own, &mut client, whole);
    server.session.seal(&[b'x'; 10_000], RECORD, &mut server.out).unwrap();
    let sealed = server.out.bytes();
    assert_eq!(sealed.len(), 10_000 + 22);
    assert_eq!(usize::from(u16::from_be_bytes([sealed[3], sealed[4]])), sealed.len() - 5);
    server.session.seal(&vec![b'y'; 100_000], RECORD, &mut server.out).unwrap();
    server.talk(&own, &mut client, whole).unwrap();
    assert_eq!(server.answered.len(), 110_000);
}

#[test]
fn plaintext_waits_where_there_is_no_room() {
    let own = certificates(&["a.example"]);
    let mut client = Client::default().connect("a.example");
    let mut server = exchange(&own, &mut client, whole);
    server.plain.clear();
    server.room = 7;
    let body: Vec<u8> = (0..50_000u32).map(|number| number as u8).collect();
    client.writer().write_all(&body).unwrap();
    server.talk(&own, &mut client, whole).unwrap();
    assert_eq!(server.plain, body);
    assert_eq!(server.session.holds(), 0);
}

#[test]
fn t118_who_has_said_goodbye_is_still_answered() {
    let own = certificates(&["a.example"]);
    for version in [&version::TLS13, &version::TLS12] {
        let client = Client { versions: vec![version], ..Client::default() };
        let mut client = client.connect("a.example");
        let mut server = Server::new();
        server.talk(&own, &mut client, whole).unwrap();
        // The request and the goodbye in the same segment.
        client.writer().write_all(b"GET /").unwrap();
        client.send_close_notify();
        server.talk(&own, &mut client, whole).unwrap();
        assert_eq!(server.plain, b"GET /");
        assert!(server.session.peer_closed());
        for _ in 0..3 {
            server.session.seal(b"200", RECORD, &mut server.out).unwrap();
        }
        server.session.close_notify(&mut server.out);
        let mut answer = server.out.bytes();
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
        let mut bytes = Vec::new();
        client.reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"200200200", "and T115: it ends with a goodbye");
    }
}

#[test]
fn what_follows_a_goodbye_means_nothing() {
    let own = certificates(&["a.example"]);
    let mut client = Client::default().connect("a.example");
    let mut server = exchange(&own, &mut client, whole);
    client.send_close_notify();
    server.talk(&own, &mut client, whole).unwrap();
    server.feed(&own, &[0x17; 5000]).unwrap();
    assert!(server.held.is_empty());
}

/// The alert that the client has got.
fn refused(own: &Certificates, client: &Client, name: &str) -> String {
    let mut client = client.connect(name);
    let mut server = Server::new();
    let mut sent = Vec::new();
    client.write_tls(&mut sent).unwrap();
    server.feed(own, &sent).unwrap_err();
    let mut answer = server.out.bytes();
    client.read_tls(&mut answer).unwrap();
    client.process_new_packets().unwrap_err().to_string()
}

#[test]
fn t1_t2_t3_names_choose_the_certificate() {
    let (exact, wild, other) =
        (issue(&["a.w.example"]), issue(&["*.w.example"]), issue(&["b.test", "c.test"]));
    let own = certificates_of(
        &[given("wild", &wild), given("exact", &exact), given("other", &other)],
        &Arc::default(),
    );
    let find = |name: &str| {
        own.find(Some(name), || None).map(|found| {
            found
                .iter()
                .map(|&index| own.described().nth(index).unwrap().label.clone())
                .collect::<Vec<_>>()
        })
    };
    for (name, label) in [
        ("a.w.example", "exact"),
        ("A.W.EXAMPLE.", "exact"),
        ("b.w.example", "wild"),
        ("c.test", "other"),
    ] {
        assert_eq!(find(name).unwrap(), [label], "{name}");
    }
    for name in ["w.example", "a.b.w.example", "example", "test", "d.test", "", "\0"] {
        assert_eq!(find(name), Err(Unserved::UnknownName), "{name:?}");
    }
    assert_eq!(own.find(None, || None), Err(Unserved::NoName));
    exchange(&own, &mut Client::default().connect("x.w.example"), whole);
}

#[test]
fn t14_one_of_ten_thousand_names_is_found_as_fast_as_one_of_two() {
    let issued: Vec<Issued> = (0..100)
        .map(|of| {
            let names: Vec<String> = (0..100)
                .map(|number| match number % 2 {
                    0 => format!("n{number}.c{of}.example"),
                    _ => format!("*.n{number}.c{of}.example"),
                })
                .collect();
            issue(&names.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
    let all: Vec<_> = issued.iter().map(|issued| given("a", issued)).collect();
    let many = certificates_of(&all, &Arc::default());
    let few = certificates(&["a.example", "*.b.example"]);
    for of in 0..100 {
        assert_eq!(many.find(Some(&format!("n4.c{of}.example")), || None).unwrap(), [of]);
        assert_eq!(many.find(Some(&format!("x.n5.c{of}.example")), || None).unwrap(), [of]);
    }
    // The best of several, which nothing else of the machine has interrupted.
    let best = |own: &Certificates, name: &str| {
        (0..200)
            .map(|_| {
                let began = std::time::Instant::now();
                for _ in 0..20 {
                    std::hint::black_box(own.find(Some(name), || None).unwrap());
                }
                began.elapsed()
            })
            .min()
            .unwrap()
    };
    let (one, of_many) = (best(&few, "x.b.example"), best(&many, "x.n5.c50.example"));
    assert!(of_many < 10 * one, "{of_many:?} against {one:?}");
}

#[test]
fn t5_t6_who_asks_for_no_name_or_a_strange_one() {
    let nameless = Client { has_name: false, ..Client::default() };
    // The only one there is.
    let only = certificates(&["a.example"]);
    exchange(&only, &mut nameless.connect("a.example"), whole);
    let two = certificates(&["a.example", "b.example"]);
    exchange(&two, &mut nameless.connect("a.example"), whole);
    assert!(refused(&two, &Client::default(), "c.example").contains("UnrecognisedName"));
    // One of several, by the address that the client has connected to.
    let (first, by_address) = (issue(&["a.example"]), issue(&["b.example", "192.0.2.1"]));
    let mut all = [given("a", &first), given("b", &by_address)];
    let own = certificates_of(&all, &Arc::default());
    exchange(&own, &mut nameless.connect("b.example"), whole);
    let (third, fourth) = (issue(&["c.example"]), issue(&["d.example"]));
    let none = certificates_of(&[given("c", &third), given("d", &fourth)], &Arc::default());
    assert!(refused(&none, &nameless, "c.example").contains("MissingExtension"));
    let old = Client {
        has_name: false,
        versions: vec![&version::TLS12],
        suites: Some("ECDHE"),
        ..Client::default()
    };
    assert!(refused(&none, &old, "c.example").contains("HandshakeFailure"));
    // The operator's choice comes before all.
    all[0].is_default = true;
    let own = certificates_of(&all, &Arc::default());
    exchange(&own, &mut nameless.connect("a.example"), whole);
    assert_eq!(own.find(Some("strange.example"), || None).unwrap(), [0]);
}

#[test]
fn t4_each_client_gets_a_key_that_it_can_verify() {
    let (curve, rsa) = (issue(&["a.example"]), rsa(&["a.example"]));
    let own = certificates_of(&[given("rsa", &rsa), given("curve", &curve)], &Arc::default());
    let server = exchange(&own, &mut Client::default().connect("a.example"), whole);
    assert!(server.session.established().is_some());
    for (suites, cipher) in [("ECDSA", "ECDHE-ECDSA"), ("_RSA_", "ECDHE-RSA")] {
        let client =
            Client { versions: vec![&version::TLS12], suites: Some(suites), ..Client::default() };
        let server = exchange(&own, &mut client.connect("a.example"), whole);
        let got = server.session.established().unwrap().cipher;
        assert!(got.starts_with(cipher), "{got}");
    }
}

#[test]
fn t12_of_two_certificates_for_a_name_the_later_one_is_served() {
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &AUTHORITY.0).unwrap().pem();
    let sooner = Issued { cert, key: key.serialize_pem() };
    let later = issue(&["a.example"]);
    let own = certificates_of(&[given("sooner", &sooner), given("later", &later)], &Arc::default());
    assert_eq!(own.find(Some("a.example"), || None).unwrap(), [1]);
    let warnings = |index: usize| own.described().nth(index).unwrap().facts.warnings.clone();
    assert!(warnings(0).iter().any(|text| text.contains("with the certificate of later")));
    assert_eq!(warnings(1).len(), 1, "that its issuer is not in the file");
}

#[test]
fn t21_t22_t26_what_is_not_spoken_is_refused() {
    let own = certificates(&["a.example"]);
    for protocols in [vec!["h2"], vec!["foo"], vec!["acme-tls/1"]] {
        let client = Client { protocols, ..Client::default() };
        assert!(refused(&own, &client, "a.example").contains("NoApplicationProtocol"));
    }
    for protocols in [vec![], vec!["h2", "http/1.1"], vec!["acme-tls/1", "http/1.1"]] {
        let client = Client { protocols, ..Client::default() };
        exchange(&own, &mut client.connect("a.example"), whole);
    }
}

#[test]
fn t7_nobody_gets_another_names_certificate_while_a_name_waits_for_its_own() {
    let awaited = ["b.example".to_owned(), "a.example".to_owned()];
    let own = certificates(&["a.example"]).awaiting(&awaited, Arc::default());
    assert!(own.await_one_for("B.example."));
    assert!(!own.await_one_for("a.example"), "it has one");
    let client = Client::default();
    assert!(refused(&own, &client, "b.example").contains("UnrecognisedName"));
    exchange(&own, &mut client.connect("a.example"), whole);
    let none = Certificates::new(&[], None, Policy::default(), &Arc::default()).unwrap();
    assert!(refused(&none, &client, "b.example").contains("UnrecognisedName"));
}

#[test]
fn t142_an_authority_gets_the_answer_to_its_challenge_and_nothing_else() {
    let issued = issue(&["a.example"]);
    let cert = rustls::pki_types::pem::PemObject::from_pem_slice(issued.cert.as_bytes());
    let cert: CertificateDer<'_> = cert.unwrap();
    let key: PrivateKeyDer<'_> =
        rustls::pki_types::pem::PemObject::from_pem_slice(issued.key.as_bytes()).unwrap();
    let challenges = Arc::new(crate::Challenges::default());
    let own = certificates(&["a.example"]).awaiting(&[], Arc::clone(&challenges));
    let authority = Client { protocols: vec!["acme-tls/1"], ..Client::default() };
    assert!(refused(&own, &authority, "a.example").contains("NoApplicationProtocol"));
    let given = crate::Challenge { name: "A.example", cert: &cert, key: key.secret_der() };
    challenges.set(&[given]).unwrap();
    for version in [&version::TLS13, &version::TLS12] {
        let authority =
            Client { versions: vec![version], protocols: vec!["acme-tls/1"], ..Client::default() };
        let mut client = authority.connect("a.example");
        let mut server = Server::new();
        server.talk(&own, &mut client, whole).unwrap();
        assert_eq!(client.peer_certificates().unwrap(), std::slice::from_ref(&cert));
        assert!(server.session.peer_closed(), "nothing is asked on such a connection");
        // Whoever offers more is no authority.
        let other = Client { protocols: vec!["acme-tls/1", "http/1.1"], ..Client::default() };
        exchange(&own, &mut other.connect("a.example"), whole);
    }
    challenges.set(&[]).unwrap();
    assert!(refused(&own, &authority, "a.example").contains("NoApplicationProtocol"));
}

#[test]
fn t99_a_request_in_plain_http_is_told_apart() {
    let own = certificates(&["a.example"]);
    for request in [
        "GET / HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1",
        "M-SEARCH /",
        "GET http://a/",
        "GET HTTPS://a/",
    ] {
        let mut server = Server::new();
        let mut ended = Ok(());
        for byte in request.bytes() {
            assert_eq!(ended, Ok(()), "{request}");
            ended = server.feed(&own, &[byte]);
            if ended.is_err() {
                break;
            }
        }
        assert_eq!(ended, Err(Ended::PlainHttp), "{request}");
        assert!(server.out.is_empty());
        assert!(!server.session.has_ended());
        assert!(request.as_bytes().starts_with(&server.held), "nothing of it is used");
    }
}

#[test]
fn t100_other_protocols_are_neither() {
    let own = certificates(&["a.example"]);
    for (bytes, shown) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "SSH-2.0-OpenSSH_9.2\\r\\n"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1"),
        (b"\r\n\r\n\0\r\nQUIT\n", "\\r\\n\\r\\n\\x00\\r\\nQUIT\\n"),
        (b"EHLO a.example\r\n", "EHLO a.example\\r\\n"),
        (b"GET\r\n", "GET\\r\\n"),
        (b"GET  /", "GET  /"),
        (b"get / HTTP/1.1", "get / HTTP/1.1"),
        (b"\x80\x2e\x01\x00\x02", "\\x80.\\x01\\x00\\x02"),
        (b"\0\0\0\x85\xffSMB", "\\x00\\x00\\x00\\x85\\xffSMB"),
        (b"\x15\x03\x01\0\x02\x02\x28", "\\x15\\x03\\x01\\x00\\x02\\x02("),
        (b"ABCDEFGHIJKLMNOPQRSTU", "ABCDEFGHIJKLMNOPQRSTU"),
    ] {
        let mut server = Server::new();
        assert_eq!(server.feed(&own, bytes), Err(Ended::NotTls(shown.to_owned())));
        assert!(server.out.is_empty());
        assert!(server.session.has_ended());
    }
}

#[test]
fn t10_t102_garbage_is_refused_within_bounds() {
    let own = certificates(&["a.example"]);
    // A message that never ends, in records of one byte.
    let mut server = Server::new();
    let mut failed = None;
    let beginning = [0x16, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    let mut fed = server.feed(&own, &beginning);
    for _ in 0..MOST_HELD {
        if let Err(ended) = fed {
            failed = Some(ended);
            break;
        }
        assert!(server.held.len() < MOST_HELD);
        fed = server.feed(&own, &[0x16, 3, 1, 0, 1, 0]);
    }
    assert!(matches!(failed, Some(Ended::Failed(..))), "{failed:?}");
    assert_eq!(server.out.bytes()[0], 21);
    for bytes in [
        &[0x16, 3, 1, 0xff, 0xff][..],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        &[0x16, 3, 1, 0, 0],
        &[0x16; 100],
    ] {
        let mut server = Server::new();
        let result = server.feed(&own, bytes);
        assert!(result.is_err() || !server.held.is_empty(), "{bytes:?}");
    }
}

#[test]
fn a_changed_record_ends_the_connection() {
    let own = certificates(&["a.example"]);
    let mut client = Client::default().connect("a.example");
    let mut server = exchange(&own, &mut client, whole);
    client.writer().write_all(b"more").unwrap();
    let mut sent = Vec::new();
    client.write_tls(&mut sent).unwrap();
    *sent.last_mut().unwrap() ^= 1;
    assert!(matches!(server.feed(&own, &sent), Err(Ended::Failed(..))));
    assert!(server.session.has_ended());
    let mut answer = server.out.bytes();
    assert_eq!(answer.len(), 24, "an alert");
    client.read_tls(&mut answer).unwrap();
    assert!(client.process_new_packets().unwrap_err().to_string().contains("BadRecordMac"));
    // What comes then means nothing, and nothing can be said.
    server.held.clear();
    server.feed(&own, b"anything").unwrap();
    assert!(server.held.is_empty());
    assert!(server.session.seal(b"x", RECORD, &mut Outgoing::default()).is_err());
}

#[test]
fn t43_t58_t61_tickets_resume_where_they_may() {
    let tickets = Arc::new(TicketKeys::new());
    let (first, second) = (issue(&["a.example", "b.example"]), issue(&["a.example"]));
    let own = certificates_of(&[given("a", &first)], &tickets);
    let renewed = certificates_of(&[given("a", &second)], &tickets);
    let foreign = certificates_of(&[given("a", &first)], &Arc::default());
    for version in [&version::TLS13, &version::TLS12] {
        let client = Client {
            versions: vec![version],
            resumption: Some(Resumption::in_memory_sessions(64)),
            ..Client::default()
        };
        let config = client.config();
        let resumes = |own: &Certificates, name: &'static str| {
            let mut client =
                ClientConnection::new(Arc::clone(&config), ServerName::try_from(name).unwrap())
                    .unwrap();
            exchange(own, &mut client, whole).session.established().unwrap().is_resumed
        };
        assert!(!resumes(&own, "a.example"));
        assert!(resumes(&own, "a.example"));
        assert!(!resumes(&own, "b.example"), "T43: another name");
        assert!(resumes(&own, "a.example"), "{version:?}");
        assert!(resumes(&renewed, "a.example"), "T58: another certificate {version:?}");
        assert!(!resumes(&foreign, "a.example"), "T61: a ticket of somebody else");
    }
}

#[test]
fn t72_a_key_of_another_certificate_is_refused() {
    let (one, other) = (issue(&["a.example"]), issue(&["a.example"]));
    let mixed = Issued { cert: one.cert.clone(), key: other.key.clone() };
    let all = [given("good", &one), given("bad", &mixed)];
    let refused = Certificates::new(&all, None, Policy::default(), &Arc::default()).unwrap_err();
    let Refused::Certificate(index, fault) = refused else { panic!("{refused:?}") };
    assert_eq!(index, 1);
    assert!(matches!(&fault, gwanmun_certificates::Fault::Key(text) if text.contains("belong")));
    assert!(crate::describe(one.cert.as_bytes(), other.key.as_bytes()).is_err());
    assert!(crate::describe(one.cert.as_bytes(), one.key.as_bytes()).is_ok());
}

#[test]
fn t132_a_hybrid_key_share_is_preferred() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    assert_eq!(provider.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn t123_an_idle_session_owns_no_buffer() {
    let own = certificates(&["a.example"]);
    let server = exchange(&own, &mut Client::default().connect("a.example"), whole);
    assert_eq!((server.held.len(), server.session.holds()), (0, 0));
    assert!(size_of::<Session>() < 1300, "{}", size_of::<Session>());
}
