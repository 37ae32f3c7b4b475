//! First messages that no library of a client writes.

use super::*;

const SERVER_NAME: u16 = 0;
const MAX_FRAGMENT_LENGTH: u16 = 1;
const GROUPS: u16 = 10;
const SCHEMES: u16 = 13;
const HEARTBEAT: u16 = 15;
const PROTOCOLS: u16 = 16;
const CERTIFICATE_TYPE: u16 = 20;
const RECORD_SIZE_LIMIT: u16 = 28;
const DELEGATED_CREDENTIALS: u16 = 34;
const VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
/// RFC 8701.
const GREASE: u16 = 0x2a2a;

const X25519: u16 = 0x1d;
const P256: u16 = 0x17;
const FFDHE2048: u16 = 0x100;
const HYBRID: u16 = 0x11ec;

const HANDSHAKE_FAILURE: u8 = 40;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const MISSING_EXTENSION: u8 = 109;

/// How what stands in the place of random bytes begins (RFC 8446 §4.1.3).
const RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];

#[derive(Clone)]
pub(super) struct Hello {
    suites: Vec<u16>,
    extensions: Vec<(u16, Vec<u8>)>,
}

/// Numbers behind their length in bytes.
fn list(numbers: &[u16]) -> Vec<u8> {
    counted(&numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>())
}

/// Bytes behind their length.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn names(names: &[&[u8]]) -> Vec<u8> {
    counted(&names.iter().flat_map(|name| [&[0][..], &counted(name)].concat()).collect::<Vec<_>>())
}

fn share(group: u16) -> Vec<u8> {
    let mut point = [0; 32];
    point[0] = 9;
    [&group.to_be_bytes()[..], &counted(&point)].concat()
}

impl Hello {
    /// TLS 1.3, for no name.
    fn new() -> Self {
        Self {
            suites: vec![0x1301, 0x1302, 0x1303],
            extensions: vec![
                (VERSIONS, vec![2, 3, 4]),
                (GROUPS, list(&[X25519, P256])),
                (SCHEMES, list(&[0x0403, 0x0804, 0x0401])),
                (KEY_SHARE, counted(&share(X25519))),
            ],
        }
    }

    /// TLS 1.2, for no name.
    pub(super) fn old() -> Self {
        let mut own = Self { suites: vec![0xc02b], ..Self::new() };
        own.extensions.retain(|&(kind, _)| ![VERSIONS, KEY_SHARE].contains(&kind));
        own
    }

    fn with(mut self, kind: u16, bytes: Vec<u8>) -> Self {
        self.extensions.retain(|&(other, _)| other != kind);
        self.extensions.push((kind, bytes));
        self
    }

    pub(super) fn message(&self) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[0]].concat();
        body.extend(list(&self.suites));
        body.extend([1, 0]);
        let extension =
            |(kind, bytes): &(u16, Vec<u8>)| [&kind.to_be_bytes()[..], &counted(bytes)].concat();
        body.extend(counted(&self.extensions.iter().flat_map(extension).collect::<Vec<_>>()));
        let length = (body.len() as u32).to_be_bytes();
        [&[1][..], &length[1..], &body].concat()
    }
}

/// The message in records of so many bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[0x16, 3, 1][..], &counted(part)].concat()).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Alert(u8),
    Hello { is_retry: bool, suite: u16, extensions: Vec<u16> },
}

impl Said {
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [21, _, _, 0, 2, 2, alert, ..] => Self::Alert(*alert),
            [22, _, _, _, _, 2, _, _, _, _, _, rest @ ..] => {
                let (random, rest) = rest.split_at(32);
                let rest = &rest[1 + usize::from(rest[0])..];
                let suite = u16::from_be_bytes([rest[0], rest[1]]);
                let length = usize::from(u16::from_be_bytes([rest[3], rest[4]]));
                let mut rest = &rest[5..5 + length];
                let mut extensions = Vec::new();
                while let [kind, kind_, size, size_, others @ ..] = rest {
                    extensions.push(u16::from_be_bytes([*kind, *kind_]));
                    rest = &others[usize::from(u16::from_be_bytes([*size, *size_]))..];
                }
                Self::Hello { is_retry: random.starts_with(&RETRY), suite, extensions }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn said(own: &Certificates, hello: &Hello) -> Said {
    let mut server = Server::new();
    // What it was refused for, the alert says.
    let _ = server.feed(own, &records(&hello.message(), RECORD));
    Said::of(server.out.bytes())
}

fn is_served(said: &Said) -> bool {
    matches!(said, Said::Hello { is_retry: false, .. })
}

#[test]
fn t4_who_can_verify_no_key_is_refused() {
    let own = certificates(&["a.example"]);
    // Ed25519 alone.
    for hello in [Hello::new(), Hello::old()] {
        let hello = hello.with(SCHEMES, list(&[0x0807]));
        assert_eq!(said(&own, &hello), Said::Alert(HANDSHAKE_FAILURE));
    }
}

#[test]
fn t9_an_address_in_the_place_of_a_name_is_none() {
    let (first, second) = (issue(&["a.example", "192.0.2.1"]), issue(&["b.example"]));
    let own = certificates_of(&[given("a", &first), given("b", &second)], &Arc::default());
    for address in ["192.0.2.1", "203.0.113.1", "::1"] {
        let hello = Hello::new().with(SERVER_NAME, names(&[address.as_bytes()]));
        assert!(is_served(&said(&own, &hello)), "{address}: by the address that it has come to");
    }
    let third = issue(&["c.example"]);
    let none = certificates_of(&[given("b", &second), given("c", &third)], &Arc::default());
    let hello = Hello::new().with(SERVER_NAME, names(&[b"192.0.2.1"]));
    assert_eq!(said(&none, &hello), Said::Alert(MISSING_EXTENSION));
}

#[test]
fn t10_broken_names_are_refused() {
    let own = certificates(&["a.example"]);
    let long = "a.".repeat(130);
    for name in [
        vec![],
        names(&[]),
        names(&[b""]),
        names(&[b"a.example\0"]),
        names(&[b"\0"]),
        names(&[&[b'a'; 300]]),
        names(&[long.as_bytes()]),
        names(&[b"a.example", b"b.example"]),
        names(&["bücher.example".as_bytes()]),
        names(&[b"a..example"]),
        counted(&[1, 0, 1, b'a']),
        vec![0xff; 5],
    ] {
        for hello in [Hello::new(), Hello::old()] {
            let said = said(&own, &hello.with(SERVER_NAME, name.clone()));
            let alerts = [DECODE_ERROR, ILLEGAL_PARAMETER].map(Said::Alert);
            assert!(alerts.contains(&said), "{name:?}: {said:?}");
        }
    }
}

#[test]
fn t13_an_internationalised_name_is_compared_as_clients_send_it() {
    let own = certificates(&["xn--bcher-kva.example", "a.example"]);
    for (name, is_there) in
        [("xn--bcher-kva.example", true), ("XN--Bcher-KVA.example", true), ("bcher.example", false)]
    {
        let hello = Hello::new().with(SERVER_NAME, names(&[name.as_bytes()]));
        assert_eq!(is_served(&said(&own, &hello)), is_there, "{name}");
    }
}

#[test]
fn t15_a_message_in_many_records_is_judged_when_it_is_whole() {
    let own = certificates(&["a.example", "b.example"]);
    for (name, is_there) in [("a.example", true), ("c.example", false)] {
        let hello = Hello::new().with(SERVER_NAME, names(&[name.as_bytes()]));
        for size in [1, 2, 5, 40, 100] {
            let mut server = Server::new();
            let all = records(&hello.message(), size);
            let (before, last) = all.split_at(all.len() - 1);
            server.feed(&own, before).unwrap();
            assert!(server.out.is_empty(), "nothing is decided before its last byte");
            let _ = server.feed(&own, last);
            assert_eq!(is_served(&Said::of(server.out.bytes())), is_there, "{name} {size}");
        }
    }
}

#[test]
fn t103_another_group_is_asked_for_once() {
    let own = certificates(&["a.example"]);
    let hello = Hello::new()
        .with(GROUPS, list(&[FFDHE2048, X25519]))
        .with(KEY_SHARE, counted(&share(FFDHE2048)));
    for (group, is_right) in [(X25519, true), (FFDHE2048, false)] {
        let mut server = Server::new();
        server.feed(&own, &records(&hello.message(), RECORD)).unwrap();
        assert!(matches!(Said::of(server.out.bytes()), Said::Hello { is_retry: true, .. }));
        server.out.clear();
        let again = hello.clone().with(KEY_SHARE, counted(&share(group)));
        let _ = server.feed(&own, &records(&again.message(), RECORD));
        match Said::of(server.out.bytes()) {
            said if is_right => assert!(is_served(&said), "{said:?}"),
            said => assert_eq!(said, Said::Alert(ILLEGAL_PARAMETER)),
        }
    }
}

#[test]
fn t104_who_prefers_the_group_of_its_share_is_asked_for_no_other() {
    let own = certificates(&["a.example"]);
    for groups in [&[X25519, P256][..], &[X25519, HYBRID, P256]] {
        assert!(is_served(&said(&own, &Hello::new().with(GROUPS, list(groups)))), "{groups:x?}");
    }
    let hybrid = Hello::new().with(GROUPS, list(&[HYBRID, X25519]));
    assert!(matches!(said(&own, &hybrid), Said::Hello { is_retry: true, .. }));
}

#[test]
fn t109_grease_is_ignored() {
    let own = certificates(&["a.example"]);
    let grease = [&GREASE.to_be_bytes()[..], &[0, 1, 0]].concat();
    let mut hello = Hello::new()
        .with(GREASE, vec![])
        .with(0xfafa, vec![0])
        .with(GROUPS, list(&[GREASE, X25519, P256]))
        .with(SCHEMES, list(&[GREASE, 0x0403]))
        .with(VERSIONS, vec![4, 0x2a, 0x2a, 3, 4])
        .with(PROTOCOLS, counted(&[&[2, 0x2a, 0x2a, 8][..], b"http/1.1"].concat()))
        .with(KEY_SHARE, counted(&[grease, share(X25519)].concat()));
    hello.suites.insert(0, GREASE);
    assert!(is_served(&said(&own, &hello)));
}

#[test]
fn t131_the_clients_order_of_suites_counts_and_weak_ones_do_not() {
    let own = certificates(&["a.example"]);
    let suite_of = |mut hello: Hello, suites: &[u16]| {
        hello.suites = suites.to_vec();
        match said(&own, &hello) {
            Said::Hello { suite, .. } => Some(suite),
            Said::Alert(_) => None,
        }
    };
    for order in [[0x1301, 0x1302, 0x1303], [0x1303, 0x1302, 0x1301], [0x1302, 0x1303, 0x1301]] {
        assert_eq!(suite_of(Hello::new(), &order), Some(order[0]));
    }
    for order in [[0xc02b, 0xc02c, 0xcca9], [0xcca9, 0xc02b, 0xc02c]] {
        assert_eq!(suite_of(Hello::old(), &order), Some(order[0]));
    }
    // CBC, RSA key exchange, CCM with a short tag, 3DES, RC4, nothing.
    for weak in [0xc023, 0xc009, 0x009c, 0xc0ae, 0xc008, 0xc007, 0x0000] {
        assert_eq!(suite_of(Hello::old(), &[weak]), None, "{weak:x}");
    }
}

#[test]
fn t136_what_is_not_done_is_not_answered() {
    let own = certificates(&["a.example"]);
    let undone = [
        (MAX_FRAGMENT_LENGTH, vec![1]),
        (RECORD_SIZE_LIMIT, vec![2, 0]),
        (HEARTBEAT, vec![1]),
        (DELEGATED_CREDENTIALS, list(&[0x0403])),
    ];
    let hello =
        undone.iter().fold(Hello::old(), |hello, (kind, bytes)| hello.with(*kind, bytes.clone()));
    let Said::Hello { extensions, .. } = said(&own, &hello) else {
        panic!("{:?}", said(&own, &hello))
    };
    for (kind, _) in undone {
        assert!(!extensions.contains(&kind), "{kind}");
    }
    // Who takes a raw public key alone.
    let raw = Hello::old().with(CERTIFICATE_TYPE, vec![1, 2]);
    assert_eq!(said(&own, &raw), Said::Alert(HANDSHAKE_FAILURE));
}
