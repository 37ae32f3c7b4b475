//! Why a server could not start.

use std::fmt;

/// An error for the operator: what happened, in words, with the code of its page in the documentation.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration that the embedder passed is not valid.
    Config,
    /// The address is taken by another socket.
    AddressInUse,
    /// The process may not bind the address.
    AddressDenied,
    /// The address cannot be listened on for another reason.
    Listen,
    /// A Unix socket cannot be made at its path.
    Socket,
    /// A mount's folder cannot be opened.
    Files,
    /// The log cannot be opened.
    Log,
    /// The operating system refused something else: threads, descriptors, memory.
    System,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn system(what: &str, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::System, format!("{what}: {error}"))
    }

    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The code that the error has everywhere a person meets it: an entry of the registry in `src/errors.ts`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Config | ErrorKind::Files => "GWM_CONFIG_INVALID",
            ErrorKind::AddressInUse => "GWM_PORT_IN_USE",
            ErrorKind::AddressDenied => "GWM_PORT_FORBIDDEN",
            ErrorKind::Listen => "GWM_ADDRESS_UNAVAILABLE",
            ErrorKind::Socket => "GWM_SOCKET_PATH",
            ErrorKind::Log => "GWM_LOG_FILE",
            ErrorKind::System => "GWM_CORE",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
