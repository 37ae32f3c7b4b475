//! Records that no library of a client writes, after a handshake that is as it should be.

use super::hello::Hello;
use super::*;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;

const CHANGE_OF_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// What sealing adds to a record of TLS 1.3.
const OVERHEAD_13: usize = 22;

/// A client whose keys are the test's.
struct Sealer {
    certificates: Certificates,
    server: Server,
    is_13: bool,
    key: LessSafeKey,
    iv: Vec<u8>,
    number: u64,
}

impl Sealer {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let certificates = certificates(&["a.example"]);
        let client = Client { versions: vec![version], ..Client::default() };
        let mut config = Arc::unwrap_or_clone(client.config());
        config.enable_secret_extraction = true;
        let name = ServerName::try_from("a.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = Server::new();
        server.talk(&certificates, &mut client, whole).unwrap();
        assert!(server.session.established().is_some());
        let (number, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("the cipher") };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
        let (is_13, iv) = (*version == version::TLS13, iv.as_ref().to_vec());
        Self { certificates, server, is_13, key, iv, number }
    }

    /// A record with this in it, and so many bytes of padding.
    fn seal(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let number = self.number.to_be_bytes();
        self.number += 1;
        let mut inner = content.to_vec();
        if !self.is_13 {
            // RFC 5288 §3: the nonce's second part stands before the ciphertext.
            let nonce = [&self.iv[..4], &number].concat().try_into().unwrap();
            let plain = [&number[..], &[kind, 3, 3], &(inner.len() as u16).to_be_bytes()].concat();
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.key.seal_in_place_append_tag(nonce, Aad::from(plain), &mut inner).unwrap();
            let length = (inner.len() as u16 + 8).to_be_bytes();
            return [&[kind, 3, 3][..], &length, &number, &inner].concat();
        }
        let mut nonce: [u8; 12] = self.iv.as_slice().try_into().unwrap();
        nonce[4..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
        inner.push(kind);
        inner.resize(inner.len() + padding, 0);
        let length = (inner.len() as u16 + 16).to_be_bytes();
        let header = [&[DATA, 3, 3][..], &length].concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(&header), &mut inner).unwrap();
        [header, inner].concat()
    }

    fn send(&mut self, kind: u8, content: &[u8]) -> Result<(), Ended> {
        let record = self.seal(kind, content, 0);
        self.server.feed(&self.certificates, &record)
    }

    /// What it is sent is an alert, and the end.
    fn assert_refused(&self, result: &Result<(), Ended>, why: &str) {
        assert!(matches!(result, Err(Ended::Failed(_, text)) if text.contains(why)), "{result:?}");
        assert_eq!(self.server.out.bytes().len(), 2 + OVERHEAD_13);
        assert!(self.server.session.has_ended());
    }
}

#[test]
fn t102_a_record_of_more_than_16_kib_is_refused() {
    let mut own = Sealer::new(&version::TLS13);
    own.send(DATA, &[b'x'; RECORD]).unwrap();
    assert_eq!(own.server.plain.len(), RECORD);
    let result = own.send(DATA, &[b'x'; RECORD + 1]);
    own.assert_refused(&result, "excess record size");
    assert_eq!(own.server.plain.len(), RECORD);
    // With its padding it may be as long, and no longer.
    let mut own = Sealer::new(&version::TLS13);
    for (padding, is_right) in [(RECORD - 1, true), (RECORD, false)] {
        let padded = own.seal(DATA, b"x", padding);
        assert_eq!(own.server.feed(&own.certificates, &padded).is_ok(), is_right, "{padding}");
    }
    // One that is longer than any can be is refused by its header.
    let mut own = Sealer::new(&version::TLS13);
    let result = own.server.feed(&own.certificates, &[DATA, 3, 3, 0x48, 0x01]);
    own.assert_refused(&result, "MessageTooLarge");
}

#[test]
fn t106_records_without_a_byte_are_counted() {
    const MOST: usize = 32;
    for version in [&version::TLS13, &version::TLS12] {
        let mut own = Sealer::new(version);
        own.server.out.clear();
        for _ in 0..100 {
            for _ in 0..MOST {
                own.send(DATA, b"").unwrap();
            }
            own.send(DATA, b"x").unwrap();
        }
        assert_eq!(own.server.plain, [b'x'; 100]);
        assert_eq!((own.server.held.len(), own.server.session.holds()), (0, 0));
        assert!(own.server.out.is_empty());
        for count in 0..=MOST {
            assert_eq!(own.send(DATA, b"").is_ok(), count < MOST, "{count}");
        }
    }
    // Of other kinds they mean nothing at all (RFC 8446 §5.4).
    for kind in [ALERT, HANDSHAKE] {
        let mut own = Sealer::new(&version::TLS13);
        assert!(own.send(kind, b"").is_err(), "{kind}");
    }
}

#[test]
fn t106_half_a_message_after_the_handshake_ends_the_connection() {
    for (version, half) in
        [(&version::TLS13, vec![24, 0]), (&version::TLS12, Hello::old().message()[..50].to_vec())]
    {
        let mut own = Sealer::new(version);
        own.server.out.clear();
        let result = own.send(HANDSHAKE, &half);
        assert!(
            matches!(&result, Err(Ended::Failed(_, why)) if why.contains("half")),
            "{result:?}"
        );
        assert!(own.server.session.seal(b"x", RECORD, &mut own.server.out).is_err());
    }
}

#[test]
fn t106_warnings_are_counted() {
    const USER_CANCELED: u8 = 90;
    for version in [&version::TLS13, &version::TLS12] {
        let mut own = Sealer::new(version);
        let ended = (0..6).find_map(|_| own.send(ALERT, &[1, USER_CANCELED]).err());
        assert!(ended.is_some(), "{version:?}");
    }
}

#[test]
fn t106_changes_of_cipher_that_mean_nothing_are_counted() {
    let mut own = Sealer::new(&version::TLS13);
    let change = [CHANGE_OF_CIPHER, 3, 3, 0, 1, 1];
    assert!((0..4).find_map(|_| own.server.feed(&own.certificates, &change).err()).is_some());
}

#[test]
fn t106_changes_of_keys_without_data_are_counted_and_answered_once() {
    let certificates = certificates(&["a.example"]);
    let client = Client { versions: vec![&version::TLS13], ..Client::default() };
    let mut client = client.connect("a.example");
    let mut server = exchange(&certificates, &mut client, whole);
    for count in 0.. {
        client.refresh_traffic_keys().unwrap();
        let mut sent = Vec::new();
        client.write_tls(&mut sent).unwrap();
        let fed = server.feed(&certificates, &sent);
        // However many the client asks for and does not take, one answer is kept.
        assert!(server.out.bytes().len() <= 5 + 2 * OVERHEAD_13 + 2, "{count}");
        if count == 32 {
            assert!(format!("{fed:?}").contains("TooManyKeyUpdateRequests"), "{fed:?}");
            return;
        }
        assert_eq!(fed, Ok(()), "{count}");
    }
}

#[test]
fn t106_who_sends_data_may_change_keys_as_often_as_it_likes() {
    let certificates = certificates(&["a.example"]);
    let client = Client { versions: vec![&version::TLS13], ..Client::default() };
    let mut client = client.connect("a.example");
    let mut server = exchange(&certificates, &mut client, whole);
    server.plain.clear();
    for _ in 0..100 {
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"x").unwrap();
        server.talk(&certificates, &mut client, whole).unwrap();
    }
    assert_eq!(server.plain, [b'x'; 100]);
    server.session.seal(b"y", RECORD, &mut server.out).unwrap();
    server.talk(&certificates, &mut client, whole).unwrap();
    assert_eq!(server.answered, b"y");
}

#[test]
fn t107_what_is_joined_to_a_message_that_changes_keys_is_refused() {
    const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
    for joined in [&KEY_UPDATE[..], &KEY_UPDATE[..2]] {
        let mut own = Sealer::new(&version::TLS13);
        own.server.out.clear();
        let result = own.send(HANDSHAKE, &[&KEY_UPDATE[..], joined].concat());
        own.assert_refused(&result, "");
    }
}

#[test]
fn t46_a_certificate_after_the_handshake_is_refused() {
    let mut own = Sealer::new(&version::TLS13);
    own.server.out.clear();
    let result = own.send(HANDSHAKE, &[11, 0, 0, 4, 0, 0, 0, 0]);
    own.assert_refused(&result, "unexpected");
}

#[test]
fn t105_who_shakes_hands_again_is_told_no_and_then_let_go() {
    let mut own = Sealer::new(&version::TLS12);
    for is_first in [true, false] {
        own.server.out.clear();
        let result = own.send(HANDSHAKE, &Hello::old().message());
        assert_eq!(result.is_ok(), is_first, "{result:?}");
        assert!(!is_first || own.server.out.bytes()[0] == ALERT);
    }
    own.send(DATA, b"GET /").unwrap();
    assert_eq!(own.server.plain, b"", "nothing is read any more");
}
