//! The two ends of a client's connection, as requests, logs and applications have them.

use gwanmun_tls::Established;
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
    /// Variables of an environ: name NUL value NUL …
    pub(crate) environ: Box<[u8]>,
}

impl Secured {
    pub(crate) fn new(established: &Established) -> Self {
        let Established { protocol, cipher, name, is_resumed, group: _ } = established.clone();
        let resumed = if is_resumed { "Resumed" } else { "Initial" };
        let mut environ = format!(
            "SSL_PROTOCOL\0{protocol}\0SSL_CIPHER\0{cipher}\0SSL_SESSION_RESUMED\0{resumed}\0SSL_CLIENT_VERIFY\0NONE\0"
        );
        // A name that has NUL in it is no name that the TLS library takes.
        if let Some(name) = &name {
            environ.extend(["SSL_TLS_SNI\0", name, "\0"]);
        }
        Self { protocol, cipher, name, is_resumed, environ: environ.into_bytes().into() }
    }
}
