use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};

/// A root, an intermediate and a server's certificate.
struct Family {
    root: String,
    intermediate: String,
    leaf: String,
    key: String,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn family(params: CertificateParams) -> Family {
    let root_key = KeyPair::generate().unwrap();
    let root = authority("Root").self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(authority("Root"), root_key);
    let key = KeyPair::generate().unwrap();
    let intermediate = authority("Intermediate").signed_by(&key, &root_issuer).unwrap();
    let issuer = Issuer::new(authority("Intermediate"), key);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Family {
        root: root.pem(),
        intermediate: intermediate.pem(),
        leaf: leaf.pem(),
        key: key.serialize_pem(),
    }
}

fn read_text(cert: &str, key: &str) -> Result<Pair, Fault> {
    read(cert.as_bytes(), key.as_bytes())
}

#[test]
fn t70_a_chain_is_brought_into_order() {
    let of = family(server(&["a.example"]));
    let good = read_text(&format!("{}{}", of.leaf, of.intermediate), &of.key).unwrap();
    assert_eq!(good.chain.len(), 2);
    assert_eq!(good.facts.warnings, [""; 0]);
    assert_eq!(good.facts.issuer, "Intermediate");
    for (text, told) in [
        (format!("{}{}", of.intermediate, of.leaf), "another order"),
        (format!("{}{}{}", of.leaf, of.intermediate, of.root), "root"),
        (format!("{}{}{}", of.leaf, of.leaf, of.intermediate), "more than once"),
        (format!("{}{}{}", of.root, of.intermediate, of.leaf), "root"),
    ] {
        let pair = read_text(&text, &of.key).unwrap();
        assert_eq!(pair.chain, good.chain, "{told}");
        assert!(pair.facts.warnings.iter().any(|text| text.contains(told)), "{told}");
    }
}

#[test]
fn t70_a_missing_intermediate_is_told_with_its_name() {
    let of = family(server(&["a.example"]));
    let pair = read_text(&of.leaf, &of.key).unwrap();
    assert!(pair.facts.warnings[0].contains("\"Intermediate\""));
    // A root that has issued it itself is not sent, and nothing is missing.
    let key = KeyPair::generate().unwrap();
    let root = authority("Root").self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority("Root"), key);
    let key = KeyPair::generate().unwrap();
    let leaf = server(&["a.example"]).signed_by(&key, &issuer).unwrap().pem();
    let pair = read_text(&format!("{leaf}{root}"), &key.serialize_pem()).unwrap();
    assert_eq!(pair.chain.len(), 1);
    assert!(matches!(pair.facts.warnings.as_slice(), [text] if text.contains("root")));
    let stranger = family(server(&["b.example"]));
    let text = format!("{}{}{}", of.leaf, of.intermediate, stranger.intermediate);
    let pair = read_text(&text, &of.key).unwrap();
    assert_eq!(pair.chain.len(), 2);
}

#[test]
fn t71_keys_are_read_in_every_form() {
    let of = family(server(&["a.example"]));
    let both = format!("\u{feff}# mine\r\n{}{}", of.leaf, of.key).replace('\n', "\r\n");
    let pair = read_text(&both, &both).unwrap();
    assert!(matches!(pair.key, PrivateKeyDer::Pkcs8(_)));
    let labelled = |label: &str| of.key.replace("PRIVATE KEY", label);
    let of_key = |key: &str| read_text(&of.leaf, key).map(|pair| pair.key);
    assert!(matches!(of_key(&labelled("RSA PRIVATE KEY")), Ok(PrivateKeyDer::Pkcs1(_))));
    assert!(matches!(of_key(&labelled("EC PRIVATE KEY")), Ok(PrivateKeyDer::Sec1(_))));
}

#[test]
fn t71_what_is_no_key_is_told_with_its_line() {
    let of = family(server(&["a.example"]));
    let encrypted = of.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = of.key.replacen(
        "PRIVATE KEY-----\n",
        "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n",
        1,
    );
    let old = old.replace("END PRIVATE", "END RSA PRIVATE");
    let two = format!("{}{}", of.key, of.key);
    let unfinished = &of.key[..of.key.len() / 2];
    let garbled = of.key.replacen("\nM", "\n?", 1);
    for (key, told) in [
        (encrypted.as_str(), "at line 1 is encrypted"),
        (&old, "at line 1 is encrypted"),
        (&two, "two private keys in it, at line 1 and at line 6"),
        ("", "no private key"),
        (&of.leaf, "no private key"),
        (unfinished, "has no end"),
        (&garbled, "at line 1 is not Base64"),
    ] {
        let fault = read_text(&of.leaf, key).unwrap_err();
        assert!(matches!(&fault, Fault::Key(text) if text.contains(told)), "{told}: {fault}");
    }
}

#[test]
fn what_is_no_certificate_is_told() {
    let of = family(server(&["a.example"]));
    let broken = of.leaf.replacen("MII", "AII", 1);
    for (cert, told) in [
        ("", "empty"),
        ("hello", "no certificate"),
        (of.key.as_str(), "no certificate"),
        (&of.leaf[..of.leaf.len() - 40], "has no end"),
        (&broken, "at line 1 can't be read"),
    ] {
        let fault = read_text(cert, &of.key).unwrap_err();
        assert!(
            matches!(&fault, Fault::Certificate(text) if text.contains(told)),
            "{told}: {fault}"
        );
    }
}

#[test]
fn t89_what_every_client_refuses_is_refused() {
    let refused = |params: CertificateParams| {
        let of = family(params);
        read_text(&of.leaf, &of.key).unwrap_err().to_string()
    };
    assert!(refused(server(&[])).contains("names no host"));
    let mut client = server(&["a.example"]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert!(refused(client).contains("serverAuth"));
}

#[test]
fn t11_names_addresses_and_dates_are_the_certificates() {
    let mut params = server(&["A.Example", "*.b.example", "192.0.2.1", "::1"]);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 1, 3);
    let of = family(params);
    let facts = read_text(&of.leaf, &of.key).unwrap().facts;
    assert_eq!(facts.names, ["a.example", "*.b.example"]);
    assert_eq!(facts.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!(facts.not_before, 1_767_225_600_000);
    assert_eq!(facts.not_after - facts.not_before, 2 * 86_400_000);
    assert_eq!(facts.key_type, "ECDSA P-256");
    for (algorithm, name) in [(&PKCS_ECDSA_P384_SHA384, "ECDSA P-384"), (&PKCS_ED25519, "Ed25519")]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let pem = server(&["a.example"]).self_signed(&key).unwrap().pem();
        assert_eq!(read_text(&pem, &key.serialize_pem()).unwrap().facts.key_type, name);
    }
}

#[test]
fn t1_names_have_one_form() {
    assert_eq!(normal_name("Example.COM.").as_deref(), Some("example.com"));
    assert_eq!(normal_name("*.Example.com").as_deref(), Some("*.example.com"));
    assert_eq!(normal_name("xn--bcher-kva.example").as_deref(), Some("xn--bcher-kva.example"));
    let long = "a.".repeat(128);
    for name in ["", ".", "a..b", "*", "a.*.b", "**.a", "bücher.example", "a b", "a\0", &long] {
        assert_eq!(normal_name(name), None, "{name:?}");
    }
}

/// A client's certificate whose name has these parts, in this order.
fn client(parts: &[(rcgen::DnType, rcgen::DnValue)], serial: u64) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in parts {
        params.distinguished_name.push(kind.clone(), value.clone());
    }
    params.serial_number = Some(rcgen::SerialNumber::from(serial));
    params.not_before = rcgen::date_time_ymd(2026, 1, 2);
    params.not_after = rcgen::date_time_ymd(2050, 12, 31);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn t47_a_clients_certificate_is_told_in_the_words_of_mod_ssl() {
    use rcgen::{DnType, DnValue};
    let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
    let parts = [
        (DnType::CountryName, DnValue::PrintableString("KR".try_into().unwrap())),
        (DnType::OrganizationName, utf8(" Ex, \"Ltd\" + <Söhne>; \\")),
        (
            DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]),
            DnValue::Ia5String("a@b".try_into().unwrap()),
        ),
        (DnType::CustomDnType(vec![1, 2, 3, 4]), utf8("hm")),
        (DnType::OrganizationalUnitName, DnValue::BmpString("관문".try_into().unwrap())),
        (DnType::CommonName, utf8("#1\0\n=")),
    ];
    let facts = ClientFacts::of(&client(&parts, 0xABCD)).unwrap();
    assert_eq!(
        facts.subject,
        "CN=\\#1\\00\\0A=,OU=\\EA\\B4\\80\\EB\\AC\\B8,1.2.3.4=#0C02686D,emailAddress=a@b,\
         O=\\ Ex\\, \\\"Ltd\\\" \\+ \\<S\\C3\\B6hne\\>\\; \\\\,C=KR"
    );
    assert_eq!(facts.issuer, facts.subject);
    assert_eq!(facts.serial, "ABCD");
    assert_eq!(facts.not_before, "Jan  2 00:00:00 2026 GMT");
    assert_eq!(facts.not_after, "Dec 31 00:00:00 2050 GMT");
    let der = client(&[(DnType::CommonName, utf8("x"))], 1);
    let facts = ClientFacts::of(&der).unwrap();
    assert_eq!((facts.serial.as_str(), facts.subject.as_str()), ("01", "CN=x"));
    // The text is read as what it was made of.
    assert_eq!(authorities(facts.pem.as_bytes()).unwrap()[0].der.as_ref(), der);
    assert!(facts.pem.lines().all(|line| line.len() <= 64));
    assert_eq!(ClientFacts::of(b"nothing"), None);
}

#[test]
fn pem_is_padded() {
    for length in 0..100 {
        let bytes: Vec<u8> = (0..length).collect();
        let text = pem::encode("CERTIFICATE", &bytes);
        let section = pem::sections(text.as_bytes()).next().unwrap().unwrap();
        assert_eq!(section.der().unwrap(), bytes, "{text}");
    }
}
