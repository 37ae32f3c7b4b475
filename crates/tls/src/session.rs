//! The server's end of one TLS connection.

use crate::certificates::{Asked, Certificates, Chosen, Unserved, known_protocol};
use crate::challenges;
use crate::clients::{ClientCertificate, NO_CERTIFICATE, Visit};
use crate::failure::Failure;
use crate::outgoing::Outgoing;
use rustls::server::{Acceptor, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{
    AlertDescription, CipherSuite, ContentType, Error, HandshakeKind, InvalidMessage, NamedGroup,
    PeerIncompatible, ProtocolVersion,
};
use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bytes that a session leaves with its caller at most, until more have come: a handshake message of 64 KiB, and what it is wrapped in. What begins
/// with more is refused (T102).
pub const MOST_HELD: usize = 80 * 1024;
/// Plaintext of a record at most (RFC 8446 §5.1).
pub const RECORD: usize = 16 * 1024;
const NO_SCHEMES: PeerIncompatible = PeerIncompatible::SignatureAlgorithmsExtensionRequired;
/// Bytes of what is not TLS that are shown.
const SHOWN: usize = 32;
/// The methods that are registered have at most 17 letters.
const LONGEST_METHOD: usize = 20;
/// What sealing adds to a record: header, explicit nonce of TLS 1.2, tag, inner type.
const OVERHEAD: usize = 32;

type Traffic<'a> = WriteTraffic<'a, ServerConnectionData>;

/// One connection, from its client's first byte.
pub struct Session {
    state: State,
    established: Option<Box<Established>>,
    /// What the client asked for.
    name: Option<Box<str>>,
    /// Who judges its certificate, until the handshake is done.
    visit: Option<Arc<Visit>>,
    asked: Asked,
    /// Plaintext that did not fit where it was to go.
    rest: Vec<u8>,
    peer_closed: bool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all sessions are open, and each is in a box of its owner's"
)]
enum State {
    /// What the client wants is not known yet. `fed`: bytes of the caller's buffer that the acceptor has seen.
    Hello {
        acceptor: Box<Acceptor>,
        fed: usize,
    },
    Open(UnbufferedServerConnection),
    Ended,
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// `TLSv1.3`, as OpenSSL has it.
    pub protocol: &'static str,
    /// OpenSSL's name.
    pub cipher: &'static str,
    /// What the keys were exchanged with, as OpenSSL has it. Empty: with nothing, since a session of TLS 1.2 was resumed.
    pub group: &'static str,
    /// The host that the client has asked for (SNI).
    pub name: Option<Box<str>>,
    pub is_resumed: bool,
    /// What is spoken, if the client had a choice to offer (ALPN).
    pub alpn: Option<&'static str>,
    /// The client's certificate, if it was asked for one and has one.
    pub client: Option<ClientCertificate>,
    /// What it was asked for.
    pub asked: Asked,
}

/// What became of received bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// So many of them are done with. The others come again, with more behind them.
    pub used: usize,
    /// Bytes of plaintext that were written.
    pub written: usize,
    /// There may be more plaintext in what was not used, or is kept.
    pub has_more: bool,
}

/// Why a connection is at its end. What there is to tell the client has been appended to the outgoing bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What has come is a request in plain HTTP. Nothing of it is used.
    PlainHttp,
    /// It is neither; how it begins, for the log.
    NotTls(String),
    /// The client, or the network, did not keep to the protocol, or nothing could be agreed on.
    Failed(Failure, String),
    /// A fault of the server's.
    Panicked(String),
}

impl Default for Session {
    fn default() -> Self {
        Self {
            state: State::Hello { acceptor: Box::default(), fed: 0 },
            established: None,
            name: None,
            visit: None,
            asked: Asked::default(),
            rest: Vec::new(),
            peer_closed: false,
        }
    }
}

impl Session {
    /// What was agreed on, once the handshake is done.
    #[must_use]
    pub fn established(&self) -> Option<&Established> {
        self.established.as_deref()
    }

    /// The client has said that it sends no more (T118); it can still be sent to.
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.peer_closed && self.rest.is_empty()
    }

    /// Whether the client has said what it wants.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Hello { .. })
    }

    /// Whether nothing more is read or written.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Bytes of plaintext that it keeps.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.rest.capacity()
    }

    /// Takes `incoming`: what was not used before, and what has been received since; it is worked on in place. Writes plaintext to `into` until that is
    /// full, and what the client is to be sent to `out`. `local` is the address that the client has connected to; `certificates` are needed until the handshake is done.
    ///
    /// # Errors
    /// The connection is at its end. What is in `out` is still to be sent.
    pub fn receive(
        &mut self,
        certificates: Option<&Certificates>,
        local: impl FnOnce() -> Option<IpAddr>,
        incoming: &mut [u8],
        into: &mut [u8],
        out: &mut Outgoing,
    ) -> Result<Received, Ended> {
        self.guarded(|own| {
            if matches!(own.state, State::Hello { .. })
                && !own.read_hello(certificates, local, incoming, out)?
            {
                return Ok(Received::default());
            }
            own.read_records(incoming, into, out)
        })
    }

    /// Seals `plain`, behind what else there is to send. A record takes so much of it at the most; more than [`RECORD`] never fits.
    ///
    /// # Errors
    /// The handshake is not done, or the keys are used up: the connection is at its end.
    pub fn seal(&mut self, plain: &[u8], record: usize, out: &mut Outgoing) -> Result<(), Ended> {
        self.guarded(|own| {
            own.write(out, |traffic, out| {
                plain
                    .chunks(record.clamp(1, RECORD))
                    .try_for_each(|part| encrypt(traffic, part, out))
            })
        })
    }

    /// Says goodbye, if there is somebody to say it to. Nothing is sealed after that.
    pub fn close_notify(&mut self, out: &mut Outgoing) {
        let is_open = matches!(self.state, State::Open(_)) && self.established.is_some();
        if is_open {
            // If it can't be said, the end is seen all the same.
            let _ = self.guarded(|own| {
                own.write(out, |traffic, out| {
                    if let Ok(count) = traffic.queue_close_notify(out.room(4 * OVERHEAD)) {
                        out.advance(count);
                    }
                    Ok(())
                })
            });
        }
        self.state = State::Ended;
    }

    /// A panic of the library costs its connection and nothing else.
    fn guarded<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Ended>) -> Result<T, Ended> {
        let result = catch_unwind(AssertUnwindSafe(|| act(self)))
            .unwrap_or_else(|panic| Err(Ended::Panicked(text_of(&*panic))));
        if let Err(ended) = &result
            && *ended != Ended::PlainHttp
        {
            self.state = State::Ended;
        }
        result
    }

    /// Gives the client's first message to the library's own parser, all of it, before anything is decided (T15). `false`: it is not whole.
    fn read_hello(
        &mut self,
        certificates: Option<&Certificates>,
        local: impl FnOnce() -> Option<IpAddr>,
        incoming: &[u8],
        out: &mut Outgoing,
    ) -> Result<bool, Ended> {
        let State::Hello { acceptor, fed } = &mut self.state else { return Ok(true) };
        match incoming.first() {
            None => return Ok(false),
            Some(&first) if first == u8::from(ContentType::Handshake) => {}
            Some(_) => {
                return match begins_request(incoming) {
                    None => Ok(false),
                    Some(true) => Err(Ended::PlainHttp),
                    Some(false) => {
                        let beginning = &incoming[..incoming.len().min(SHOWN)];
                        Err(Ended::NotTls(beginning.escape_ascii().to_string()))
                    }
                };
            }
        }
        loop {
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    self.name = hello.server_name().map(Box::from);
                    let chosen = match certificates {
                        Some(certificates) => certificates.choose(&hello, local),
                        None => Err(Unserved::NoName),
                    };
                    let Chosen { config, visit, asked } = chosen.map_err(|unserved| {
                        let is_13 = hello.cipher_suites().iter().any(|&suite| is_tls13(suite));
                        refuse(unserved, is_13, self.name.as_deref(), out)
                    })?;
                    self.visit = visit;
                    self.asked = asked;
                    let connection =
                        UnbufferedServerConnection::new(config).map_err(|error| broken(&error))?;
                    self.state = State::Open(connection);
                    return Ok(true);
                }
                Ok(None) => {}
                // T101: who does not know these does not know TLS 1.2.
                Err((error @ Error::PeerIncompatible(NO_SCHEMES), _)) => {
                    alert(AlertDescription::ProtocolVersion, out);
                    return Err(broken(&error));
                }
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    // Into memory it does not fail.
                    let _ = alert.write_all(&mut bytes);
                    out.append(&bytes);
                    return Err(broken(&error));
                }
            }
            let mut unseen = incoming.get(*fed..).unwrap_or_default();
            if unseen.is_empty() {
                break;
            }
            let count = acceptor
                .read_tls(&mut unseen)
                .map_err(|error| too_much(&error.to_string(), out))?;
            if count == 0 {
                break;
            }
            *fed += count;
        }
        if incoming.len() >= MOST_HELD {
            return Err(too_much("the first message is too large", out));
        }
        Ok(false)
    }

    fn read_records(
        &mut self,
        incoming: &mut [u8],
        into: &mut [u8],
        out: &mut Outgoing,
    ) -> Result<Received, Ended> {
        let mut received = Received::default();
        if !self.rest.is_empty() {
            let count = self.rest.len().min(into.len());
            into[..count].copy_from_slice(&self.rest[..count]);
            received.written = count;
            if count < self.rest.len() {
                self.rest.drain(..count);
                return Ok(Received { has_more: true, ..received });
            }
            self.rest = Vec::new();
        }
        if self.peer_closed {
            // What comes after the client's goodbye means nothing.
            return Ok(Received { used: incoming.len(), ..received });
        }
        let State::Open(connection) = &mut self.state else {
            // What comes after the end means nothing.
            return Ok(Received { used: incoming.len(), ..received });
        };
        loop {
            if received.written == into.len() && !connection.is_handshaking() && !into.is_empty() {
                received.has_more = true;
                break;
            }
            let UnbufferedStatus { mut discard, state } =
                connection.process_tls_records(&mut incoming[received.used..]);
            let mut is_idle = false;
            let mut failed = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| broken(&error))?;
                        discard += record.discard;
                        let room = into.len() - received.written;
                        let (now, later) = record.payload.split_at(room.min(record.payload.len()));
                        into[received.written..][..now.len()].copy_from_slice(now);
                        received.written += now.len();
                        self.rest.extend_from_slice(later);
                    }
                    received.has_more = !self.rest.is_empty();
                    // If all is used nothing more can come of it: what the library has to answer waits for what is written next.
                    is_idle = received.has_more || received.used + discard == incoming.len();
                }
                Ok(ConnectionState::EncodeTlsData(mut record)) => encode(&mut record, out),
                Ok(ConnectionState::TransmitTlsData(transmitted)) => transmitted.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                // Early data is not offered.
                Ok(_) => is_idle = true,
                Err(error) => failed = Some(error),
            }
            received.used += discard;
            if let Some(error) = failed {
                return Err(failure(connection, &error, self.visit.as_deref(), out));
            }
            if is_idle {
                break;
            }
        }
        if self.established.is_none() && !connection.is_handshaking() {
            if connection.alpn_protocol() == Some(challenges::PROTOCOL) {
                // An authority has seen what it came for (RFC 8737 §3). What somebody else sends with it is no request, for nobody was asked who it is.
                self.peer_closed = true;
                self.rest = Vec::new();
                received = Received { used: received.used, ..Received::default() };
            }
            let client = match self.visit.take() {
                Some(visit) => visit.proved(connection.peer_certificates()).map_err(stranger)?,
                None => None,
            };
            let (name, asked) = (self.name.take(), self.asked);
            self.established = Some(Box::new(established(connection, name, client, asked)));
        }
        if self.peer_closed && !received.has_more {
            // What comes after the client's goodbye means nothing.
            received.used = incoming.len();
        } else if incoming.len() - received.used >= MOST_HELD {
            return Err(too_much("a message is too large", out));
        }
        if !connection.is_handshaking()
            && !received.has_more
            && has_record(&incoming[received.used..])
        {
            // The library would look for it whenever something is written. No client splits the few bytes that may come after the handshake.
            let why = "half a message came after the handshake".to_owned();
            return Err(Ended::Failed(Failure::Malformed, why));
        }
        Ok(received)
    }

    /// Appends what the library has to send, and then what `act` does.
    fn write(
        &mut self,
        out: &mut Outgoing,
        act: impl FnOnce(&mut Traffic<'_>, &mut Outgoing) -> Result<(), Ended>,
    ) -> Result<(), Ended> {
        let State::Open(connection) = &mut self.state else {
            return Err(unwritable("the connection has ended"));
        };
        loop {
            let UnbufferedStatus { state, .. } = connection.process_tls_records(&mut []);
            match state.map_err(|error| broken(&error))? {
                ConnectionState::EncodeTlsData(mut record) => encode(&mut record, out),
                ConnectionState::TransmitTlsData(transmitted) => transmitted.done(),
                ConnectionState::PeerClosed => self.peer_closed = true,
                ConnectionState::WriteTraffic(mut traffic) => return act(&mut traffic, out),
                _ => return Err(unwritable("the handshake is not done")),
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("established", &self.established).finish_non_exhaustive()
    }
}

impl Ended {
    /// Why, in a word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::NotTls(_) => "not_tls",
            Self::Failed(failure, _) => failure.name(),
            Self::Panicked(_) => Failure::Internal.name(),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp => f.write_str("it is plain HTTP"),
            Self::NotTls(beginning) => write!(f, "it is not TLS, but begins with \"{beginning}\""),
            Self::Failed(_, why) => f.write_str(why),
            Self::Panicked(why) => write!(f, "the TLS library panicked: {why}"),
        }
    }
}

impl std::error::Error for Ended {}

fn encode<Data>(record: &mut rustls::unbuffered::EncodeTlsData<'_, Data>, out: &mut Outgoing) {
    // Asked with no room, it says how much it needs.
    if let Err(EncodeError::InsufficientSize(short)) = record.encode(&mut [])
        && let Ok(count) = record.encode(out.room(short.required_size))
    {
        out.advance(count);
    }
}

fn encrypt(traffic: &mut Traffic<'_>, part: &[u8], out: &mut Outgoing) -> Result<(), Ended> {
    let mut size = part.len() + OVERHEAD;
    loop {
        match traffic.encrypt(part, out.room(size)) {
            Ok(count) => {
                out.advance(count);
                return Ok(());
            }
            // What the library has to say before it goes with it.
            Err(EncryptError::InsufficientSize(short)) if short.required_size > size => {
                size = short.required_size;
            }
            Err(error) => return Err(unwritable(&error.to_string())),
        }
    }
}

/// Appends the alert that the library has made of an error. It is asked for nothing else: it would look for what it has seen of the client's, which is not
/// there.
fn tell(connection: &mut UnbufferedServerConnection, out: &mut Outgoing) {
    while connection.wants_write() {
        match connection.process_tls_records(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(mut record)) => encode(&mut record, out),
            _ => return,
        }
    }
}

/// Whether the bytes begin with all of a record.
fn has_record(bytes: &[u8]) -> bool {
    let [_, _, _, length, length_, rest @ ..] = bytes else { return false };
    rest.len() >= usize::from(u16::from_be_bytes([*length, *length_]))
}

/// An alert before there are keys: a record of its own (RFC 8446 §6).
fn alert(description: AlertDescription, out: &mut Outgoing) {
    const FATAL: u8 = 2;
    out.append(&[ContentType::Alert.into(), 3, 3, 0, 2, FATAL, description.into()]);
}

fn refuse(unserved: Unserved, is_13: bool, name: Option<&str>, out: &mut Outgoing) -> Ended {
    let (description, failure, why) = match unserved {
        Unserved::UnknownName => (
            AlertDescription::UnrecognisedName,
            Failure::UnknownName,
            format!("no certificate is for {:?}", name.unwrap_or_default()),
        ),
        Unserved::NoName => (
            if is_13 {
                AlertDescription::MissingExtension
            } else {
                AlertDescription::HandshakeFailure
            },
            Failure::NoName,
            "the client asked for no name".to_owned(),
        ),
        Unserved::NoScheme => (
            AlertDescription::HandshakeFailure,
            Failure::NothingInCommon,
            "the client can verify the signature of no certificate".to_owned(),
        ),
    };
    alert(description, out);
    Ended::Failed(failure, why)
}

fn too_much(why: &str, out: &mut Outgoing) -> Ended {
    alert(AlertDescription::DecodeError, out);
    Ended::Failed(Failure::Malformed, why.to_owned())
}

fn unwritable(why: &str) -> Ended {
    Ended::Failed(Failure::Internal, why.to_owned())
}

fn broken(error: &Error) -> Ended {
    let why = match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what came is no record of TLS".to_owned()
        }
        error => error.to_string(),
    };
    Ended::Failed(Failure::of(error), why)
}

fn stranger(why: &str) -> Ended {
    Ended::Failed(Failure::NoCertificate, why.to_owned())
}

/// Why the connection has come to its end, once the client has been told.
fn failure(
    connection: &mut UnbufferedServerConnection,
    error: &Error,
    visit: Option<&Visit>,
    out: &mut Outgoing,
) -> Ended {
    if *error == Error::NoCertificatesPresented {
        // T30: TLS 1.2 has no alert of its own for it (RFC 5246 §7.4.6), and nothing is encrypted yet.
        match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => alert(AlertDescription::HandshakeFailure, out),
            _ => tell(connection, out),
        }
        return stranger(NO_CERTIFICATE);
    }
    tell(connection, out);
    match visit.and_then(Visit::refusal) {
        Some(why) => Ended::Failed(Failure::BadCertificate, why),
        None => broken(error),
    }
}

fn established(
    connection: &UnbufferedServerConnection,
    name: Option<Box<str>>,
    client: Option<ClientCertificate>,
    asked: Asked,
) -> Established {
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    Established {
        protocol: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        },
        cipher: suite.map_or("", cipher_name),
        group: connection
            .negotiated_key_exchange_group()
            .map_or("", |group| group_name(group.name())),
        name,
        is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        alpn: connection.alpn_protocol().and_then(known_protocol),
        client,
        asked,
    }
}

/// Whether these are the first bytes of a request in plain HTTP: a method, and then a path, `*` or a URL (T99). Other protocols begin with a word too
/// (T100). `None`: more has to come.
fn begins_request(bytes: &[u8]) -> Option<bool> {
    const SCHEME: &[u8] = b"http";
    let is_of_method = |byte: &&u8| byte.is_ascii_uppercase() || **byte == b'-';
    let length = bytes.iter().take_while(is_of_method).count();
    let rest = &bytes[length..];
    if length == 0 || length > LONGEST_METHOD || rest.first().is_some_and(|&byte| byte != b' ') {
        return Some(false);
    }
    let target = rest.get(1..)?;
    if matches!(target.first()?, b'/' | b'*') {
        return Some(true);
    }
    let (scheme, expected) = (target.iter().take(SCHEME.len()), SCHEME);
    if !scheme.clone().zip(expected).all(|(byte, other)| byte.eq_ignore_ascii_case(other)) {
        return Some(false);
    }
    (scheme.len() == SCHEME.len()).then_some(true)
}

fn is_tls13(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    )
}

/// The names that programs know from OpenSSL, of the suites that the library has.
fn cipher_name(suite: CipherSuite) -> &'static str {
    use CipherSuite as Suite;
    match suite {
        Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

/// The names that programs know from OpenSSL, of the groups that the library has.
fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::X25519 => "X25519",
        NamedGroup::secp256r1 => "prime256v1",
        NamedGroup::secp384r1 => "secp384r1",
        NamedGroup::secp521r1 => "secp521r1",
        _ => "",
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
        .to_owned()
}

#[cfg(test)]
mod tests;
