use super::*;
use crate::{DescribedClients, GivenClients, describe_clients};
use rcgen::{
    BasicConstraints, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// An authority for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority_until(name: &str, year: i32) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

fn authority(name: &str) -> Authority {
    authority_until(name, 4000)
}

/// A client's certificate that differs in this.
fn identity(of: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Ex, Ltd");
    params.distinguished_name.push(DnType::CommonName, "älice");
    params.serial_number = Some(SerialNumber::from(0x8f01_u64));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = Arc::new(KeyPair::generate().unwrap());
    let der = params.signed_by(&*key, &of.issuer).unwrap().der().clone();
    Identity { chain: vec![der], key }
}

/// The list of an authority, which is good until that year.
fn list(of: &Authority, revoked: &[u64], year: i32) -> String {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(year, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .iter()
            .map(|&serial| RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&of.issuer).unwrap().pem().unwrap()
}

struct Asking {
    site: Issued,
    tickets: Arc<TicketKeys>,
}

impl Asking {
    fn new() -> Self {
        Self { site: issue(&["a.example"]), tickets: Arc::default() }
    }

    fn certificates(&self, ca: &str, crl: Option<&str>, is_required: bool) -> Certificates {
        let (ca, crl) = (ca.as_bytes(), crl.map(str::as_bytes));
        let clients = GivenClients { ca, crl, is_required };
        let site = [given("a", &self.site)];
        Certificates::new(&site, Some(&clients), Policy::default(), &self.tickets).unwrap()
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

fn client(identity: Option<&Identity>, version: &'static SupportedProtocolVersion) -> Client {
    Client { versions: vec![version], identity: identity.cloned(), ..Client::default() }
}

/// Why the server refuses a client, and the alert that this gets. Nothing of its request is read.
fn refusal(own: &Certificates, client: &Client) -> (String, String) {
    let mut client = client.connect("a.example");
    client.writer().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut server = Server::new();
    let Err(Ended::Failed(Failure::NoCertificate | Failure::BadCertificate, why)) =
        server.talk(own, &mut client, whole)
    else {
        panic!("it is let in")
    };
    assert!(server.plain.is_empty() && server.session.established().is_none());
    let alert = client.process_new_packets().unwrap_err().to_string();
    (why, alert.replace("received fatal alert: ", ""))
}

#[test]
fn t30_who_has_no_certificate_is_refused_where_one_is_required() {
    let own = Asking::new().certificates(&authority("Ops").pem, None, true);
    for (version, alert) in
        [(&version::TLS13, "CertificateRequired"), (&version::TLS12, "HandshakeFailure")]
    {
        let (why, told) = refusal(&own, &client(None, version));
        assert!(why.contains("no certificate"), "{why}");
        assert!(told.contains(alert), "{told}");
    }
}

#[test]
fn t31_t48_a_certificate_that_is_not_good_is_refused_always() {
    let (ops, other, expired) =
        (authority("Ops"), authority("Other"), authority_until("Old", 2021));
    let ca = format!("{}{}", ops.pem, expired.pem);
    let good = list(&ops, &[7], 4000);
    let cases: [(&str, &str, Identity, &str, &str); 9] = [
        ("untrusted", &good, identity(&other, |_| {}), "no authority of `ca`", "UnknownCA"),
        (
            "expired",
            &good,
            identity(&ops, |params| params.not_after = date_time_ymd(2021, 2, 3)),
            "has expired: it was good until Feb  3 00:00:00 2021 GMT",
            "CertificateExpired",
        ),
        (
            "not yet valid",
            &good,
            identity(&ops, |params| params.not_before = date_time_ymd(3000, 1, 1)),
            "not good before Jan  1 00:00:00 3000 GMT",
            "CertificateExpired",
        ),
        (
            "revoked",
            &good,
            identity(&ops, |params| params.serial_number = Some(SerialNumber::from(7))),
            "has been revoked",
            "CertificateRevoked",
        ),
        (
            "for servers",
            &good,
            identity(&ops, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
            "lacks clientAuth",
            "UnsupportedCertificate",
        ),
        (
            "an authority's",
            &good,
            identity(&ops, |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            "of an authority, not of a client",
            "CertificateUnknown",
        ),
        (
            "of an authority that has expired",
            &good,
            identity(&expired, |_| {}),
            "no authority",
            "UnknownCA",
        ),
        (
            "not in any list",
            &list(&other, &[], 4000),
            identity(&ops, |_| {}),
            "no list of the authority",
            "UnknownCA",
        ),
        (
            "in a list that is out of date",
            &list(&ops, &[], 2021),
            identity(&ops, |_| {}),
            "out of date",
            "UnknownCA",
        ),
    ];
    let asking = Asking::new();
    for (what, crl, identity, why, alert) in &cases {
        for is_required in [true, false] {
            let own = asking.certificates(&ca, Some(crl), is_required);
            for version in VERSIONS {
                for _ in 0..20 {
                    let (reason, told) = refusal(&own, &client(Some(identity), version));
                    assert!(reason.contains(why), "{what}: {reason}");
                    assert!(told.contains(alert), "{what}: {told}");
                }
            }
        }
    }
}

#[test]
fn a_certificate_whose_key_the_client_does_not_have_is_refused() {
    let ops = authority("Ops");
    let own = Asking::new().certificates(&ops.pem, None, false);
    let stolen = Identity { key: Arc::new(KeyPair::generate().unwrap()), ..identity(&ops, |_| {}) };
    let key = PrivateKeyDer::Pkcs8(stolen.key.serialize_der().into());
    // The library would not take the two together.
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(stolen.chain, signer);
    for version in VERSIONS {
        let mut config = Arc::unwrap_or_clone(client(None, version).config());
        config.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified.clone()));
        let name = ServerName::try_from("a.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = Server::new();
        let ended = server.talk(&own, &mut client, whole).unwrap_err();
        assert!(matches!(ended, Ended::Failed(..)), "{ended:?}");
        assert!(server.session.established().is_none());
    }
}

#[test]
fn t32_t47_who_has_a_good_certificate_is_known_and_who_has_none_is_let_in_where_it_is_optional() {
    let ops = authority("Ops");
    let asking = Asking::new();
    let alice = identity(&ops, |_| {});
    for version in VERSIONS {
        for is_required in [true, false] {
            let own = asking.certificates(&ops.pem, Some(&list(&ops, &[7], 3000)), is_required);
            let server =
                exchange(&own, &mut client(Some(&alice), version).connect("a.example"), whole);
            let established = server.session.established().unwrap();
            assert_eq!(established.asked, own.asked());
            let known = established.client.as_ref().unwrap();
            assert_eq!(known.facts.subject, "CN=\\C3\\A4lice,O=Ex\\, Ltd");
            assert_eq!(known.facts.issuer, "CN=Ops");
            assert_eq!(known.facts.serial, "8F01");
            assert_eq!(known.fingerprint.len(), 64);
            // The list ends before the certificate.
            assert_eq!(known.until, date_time_ymd(3000, 1, 1).unix_timestamp() * 1000);
        }
        let own = asking.certificates(&ops.pem, None, false);
        let server = exchange(&own, &mut client(None, version).connect("a.example"), whole);
        assert_eq!(server.session.established().unwrap().client, None);
    }
}

#[test]
fn t44_t45_what_a_ticket_stands_for_is_judged_anew() {
    let (ops, other) = (authority("Ops"), authority("Other"));
    let both = format!("{}{}", ops.pem, other.pem);
    let asking = Asking::new();
    let alice = identity(&ops, |_| {});
    let crl = list(&ops, &[], 4000);
    let own = asking.certificates(&both, Some(&crl), true);
    for version in VERSIONS {
        let client = Client {
            resumption: Some(Resumption::in_memory_sessions(64)),
            ..client(Some(&alice), version)
        };
        let config = client.config();
        let connect = || {
            let name = ServerName::try_from("a.example").unwrap();
            ClientConnection::new(Arc::clone(&config), name).unwrap()
        };
        let resumes = |own: &Certificates| {
            let server = exchange(own, &mut connect(), whole);
            let established = server.session.established().unwrap();
            assert_eq!(established.client.as_ref().unwrap().facts.serial, "8F01");
            assert!(established.client.as_ref().unwrap().until < i64::MAX);
            established.is_resumed
        };
        assert!(!resumes(&own));
        assert!(resumes(&own), "{version:?}");
        // The same texts, read again.
        assert!(resumes(&asking.certificates(&both, Some(&crl), true)));
        for (what, changed) in [
            ("fewer authorities", asking.certificates(&ops.pem, Some(&crl), true)),
            ("another list", asking.certificates(&both, Some(&list(&ops, &[1], 4000)), true)),
            ("no list", asking.certificates(&both, None, true)),
            ("optional", asking.certificates(&both, Some(&crl), false)),
        ] {
            assert!(!resumes(&changed), "{what}");
            assert!(resumes(&changed), "{what}");
        }
        let unasked = certificates_of(&[given("a", &asking.site)], &asking.tickets);
        let server = exchange(&unasked, &mut connect(), whole);
        assert!(!server.session.established().unwrap().is_resumed);
        for changed in [
            asking.certificates(&both, Some(&list(&ops, &[0x8f01], 4000)), true),
            asking.certificates(&other.pem, None, true),
        ] {
            // A ticket of its own, whatever the client had.
            exchange(&own, &mut connect(), whole);
            assert!(resumes(&own));
            let ended = Server::new().talk(&changed, &mut connect(), whole).unwrap_err();
            assert!(
                matches!(ended, Ended::Failed(failure, _) if failure.is_strangers()),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn who_was_let_in_without_a_certificate_does_not_come_back_to_where_one_is_required() {
    let ops = authority("Ops");
    let asking = Asking::new();
    let (optional, required) =
        (asking.certificates(&ops.pem, None, false), asking.certificates(&ops.pem, None, true));
    for version in VERSIONS {
        let client = Client {
            resumption: Some(Resumption::in_memory_sessions(64)),
            ..client(None, version)
        };
        let config = client.config();
        let connect = || {
            let name = ServerName::try_from("a.example").unwrap();
            ClientConnection::new(Arc::clone(&config), name).unwrap()
        };
        exchange(&optional, &mut connect(), whole);
        let server = exchange(&optional, &mut connect(), whole);
        assert!(server.session.established().unwrap().is_resumed);
        let ended = Server::new().talk(&required, &mut connect(), whole).unwrap_err();
        assert!(matches!(ended, Ended::Failed(failure, _) if failure.is_strangers()), "{ended:?}");
    }
}

#[test]
fn t49_a_long_chain_works_and_is_not_in_the_ticket() {
    let ops = authority("Ops");
    let asking = Asking::new();
    let own = asking.certificates(&ops.pem, None, true);
    let long = identity(&ops, |params| {
        let names = (0..400).map(|number| format!("a-name-that-is-long-{number}.example"));
        params.subject_alt_names =
            names.map(|name| rcgen::SanType::DnsName(name.try_into().unwrap())).collect();
    });
    assert!(long.chain[0].len() > 8 * 1024);
    for version in VERSIONS {
        let client = Client {
            resumption: Some(Resumption::in_memory_sessions(64)),
            ..client(Some(&long), version)
        };
        let config = client.config();
        for _ in 0..2 {
            let name = ServerName::try_from("a.example").unwrap();
            let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
            let server = exchange(&own, &mut client, whole);
            assert!(!server.session.established().unwrap().is_resumed);
        }
    }
}

#[test]
fn t15_a_client_that_sends_byte_by_byte_is_asked_all_the_same() {
    let ops = authority("Ops");
    let own = Asking::new().certificates(&ops.pem, None, true);
    for version in VERSIONS {
        let mut none = client(None, version).connect("a.example");
        let mut server = Server::new();
        assert!(server.talk(&own, &mut none, |_| 1).is_err());
        assert!(server.plain.is_empty());
        let alice = identity(&ops, |_| {});
        exchange(&own, &mut client(Some(&alice), version).connect("a.example"), |_| 1);
    }
}

#[test]
fn what_is_wrong_with_authorities_and_lists_is_said() {
    let (ops, other) = (authority("Ops"), authority("Other"));
    let said =
        |ca: &str, crl: Option<&str>| describe_clients(ca.as_bytes(), crl.map(str::as_bytes));
    let both = format!("{}# twice\n{}{}", ops.pem, ops.pem, other.pem);
    let DescribedClients { authorities, revocations, revoked, warnings } =
        said(&both, Some(&list(&ops, &[1, 2], 4000))).unwrap();
    let names =
        |all: Vec<crate::Authority>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(authorities), ["CN=Ops", "CN=Other"]);
    assert_eq!(names(revocations), ["CN=Ops"]);
    assert_eq!(revoked, 2);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("no revocation list of \"CN=Other\""), "{warnings:?}");
    for (ca, crl, why) in [
        ("", None, "It is empty."),
        ("nothing", None, "no certificate in it"),
        (&ops.pem, Some(""), "It is empty."),
        (&ops.pem, Some("nothing"), "no revocation list in it"),
        (
            &ops.pem,
            Some("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
            "at line 1 can't be used",
        ),
        (&ops.pem, Some("-----BEGIN X509 CRL-----\nAAAA\n"), "has no end"),
    ] {
        let fault = said(ca, crl).unwrap_err().to_string();
        assert!(fault.contains(why), "{fault}");
    }
}

#[test]
fn t142_whoever_gets_the_answer_to_a_challenge_asks_nothing_on_that_connection() {
    let issued = issue(&["a.example"]);
    let cert: CertificateDer<'_> =
        rustls::pki_types::pem::PemObject::from_pem_slice(issued.cert.as_bytes()).unwrap();
    let key: PrivateKeyDer<'_> =
        rustls::pki_types::pem::PemObject::from_pem_slice(issued.key.as_bytes()).unwrap();
    let challenges = Arc::new(crate::Challenges::default());
    let given = crate::Challenge { name: "a.example", cert: &cert, key: key.secret_der() };
    challenges.set(&[given]).unwrap();
    let own = Asking::new().certificates(&authority("Ops").pem, None, true);
    let own = own.awaiting(&[], challenges);
    for version in VERSIONS {
        let stranger = Client { protocols: vec!["acme-tls/1"], ..client(None, version) };
        let mut client = stranger.connect("a.example");
        client.writer().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut server = Server::new();
        server.talk(&own, &mut client, whole).unwrap();
        assert_ne!(server.session.established().unwrap().asked, own.asked());
        assert!(server.session.peer_closed() && server.plain.is_empty());
    }
}
