//! The two ends of a client's connection, as requests, logs and applications have them.

use std::rc::Rc;

/// From where requests come, and to where.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Empty: it has no address, as one of a Unix socket.
    pub(crate) addr: Box<str>,
    pub(crate) port: u16,
    pub(crate) local: Rc<Local>,
}

/// The listener's side of a client.
#[derive(Debug)]
pub(crate) struct Local {
    /// As it stands in a URL. None: every address of the machine.
    pub(crate) name: Option<Box<str>>,
    pub(crate) port: u16,
    pub(crate) is_unix: bool,
}
