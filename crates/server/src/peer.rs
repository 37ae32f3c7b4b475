//! The two ends of a client's connection, as requests, logs and applications have them.

use gwanmun_tls::{Asked, ClientCertificate, Established};
use std::rc::Rc;

/// From where requests come, and to where.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Empty: it has no address, as one of a Unix socket.
    pub(crate) addr: Box<str>,
    pub(crate) port: u16,
    pub(crate) local: Rc<Local>,
}

impl Peer {
    /// What was agreed on, over TLS.
    pub(crate) fn tls(&self) -> Option<&Rc<Secured>> {
        self.local.secured.as_ref()
    }

    /// Over TLS a connection has an end of its own, so that one without is as small as can be.
    pub(crate) fn secure(&mut self, secured: Secured) {
        let secured = Some(Rc::new(secured));
        self.local = Rc::new(Local { secured, ..Local::clone(&self.local) });
    }
}

/// The listener's side of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Local {
    /// As it stands in a URL. None: every address of the machine.
    pub(crate) name: Option<Box<str>>,
    pub(crate) port: u16,
    pub(crate) is_unix: bool,
    /// It is the core itself that asks.
    pub(crate) is_core: bool,
    pub(crate) elsewhere: Option<Elsewhere>,
    /// TLS is spoken. What stands in for this when a client does not.
    pub(crate) plain: Option<Rc<Local>>,
    pub(crate) secured: Option<Rc<Secured>>,
}

/// Why requests in plain HTTP are not answered here, and the port where they are to be asked over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// The listener is there to say so (T195).
    Redirect(u16),
    /// They have come to a port where TLS is spoken (T99).
    Tls(u16),
}

/// What was agreed on with a client, as applications and logs have it.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) protocol: &'static str,
    pub(crate) cipher: &'static str,
    /// The host that the client has asked for (SNI).
    pub(crate) name: Option<Box<str>>,
    pub(crate) is_resumed: bool,
    /// Until when the client's certificate is good, in milliseconds since 1970. None: it has none.
    pub(crate) until: Option<i64>,
    /// `CN=alice,O=Example`.
    pub(crate) subject: Option<Box<str>>,
    /// Whether it has one, as mod_ssl says it. None: clients are not asked for one.
    pub(crate) verify: Option<&'static str>,
    /// What it was asked for.
    asked: Asked,
    /// Variables of an environ: name NUL value NUL …
    pub(crate) environ: Box<[u8]>,
}

impl Secured {
    pub(crate) fn new(established: &Established) -> Self {
        let Established { protocol, cipher, name, is_resumed, alpn, client, asked, group: _ } =
            established.clone();
        let resumed = if is_resumed { "Resumed" } else { "Initial" };
        let verify = if client.is_some() { "SUCCESS" } else { "NONE" };
        let mut environ = format!(
            "SSL_PROTOCOL\0{protocol}\0SSL_CIPHER\0{cipher}\0SSL_SESSION_RESUMED\0{resumed}\0SSL_CLIENT_VERIFY\0{verify}\0"
        );
        // A name that has NUL in it is no name that the TLS library takes.
        if let Some(name) = &name {
            environ.extend(["SSL_TLS_SNI\0", name, "\0"]);
        }
        if let Some(alpn) = alpn {
            environ.extend(["SSL_ALPN_PROTOCOL\0", alpn, "\0"]);
        }
        // Nor has a certificate's text any: it is printable ASCII.
        if let Some(ClientCertificate { facts, fingerprint, .. }) = &client {
            for (name, value) in [
                ("SSL_CLIENT_S_DN", &facts.subject),
                ("SSL_CLIENT_I_DN", &facts.issuer),
                ("SSL_CLIENT_M_SERIAL", &facts.serial),
                ("SSL_CLIENT_V_START", &facts.not_before),
                ("SSL_CLIENT_V_END", &facts.not_after),
                ("SSL_CLIENT_FINGERPRINT_SHA256", fingerprint),
                ("SSL_CLIENT_CERT", &facts.pem),
            ] {
                environ.extend([name, "\0", value, "\0"]);
            }
        }
        Self {
            protocol,
            cipher,
            name,
            is_resumed,
            until: client.as_ref().map(|client| client.until),
            subject: client.map(|client| client.facts.subject.into()),
            verify: (asked != Asked::default()).then_some(verify),
            asked,
            environ: environ.into_bytes().into(),
        }
    }

    /// Whether the client has proved what is asked of clients now, and that still holds at this time.
    pub(crate) fn is_current(&self, asked: Asked, now_ms: i64) -> bool {
        self.asked == asked && self.until.is_none_or(|until| now_ms < until)
    }
}
