//! Why a server could not start.

use gwanmun_tls::Fault;
use std::fmt;
use std::io;

/// An error for the operator: what happened, in words, with the code of its page in the documentation.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    part: Option<String>,
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration that the embedder passed is not valid.
    Config,
    /// The limit of file descriptors is reached.
    Descriptors,
    /// The limit of processes and threads is reached.
    Threads,
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
    /// A certificate can't be served.
    Certificate,
    /// A certificate's private key can't be used, or is another's.
    CertificateKey,
    /// The operating system refused something else: threads, descriptors, memory.
    System,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), part: None }
    }

    /// What failed, and how. Where descriptors have run out, that is the trouble, whatever they were for.
    pub(crate) fn io(kind: ErrorKind, what: &str, error: &io::Error) -> Self {
        let is_descriptors = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        let kind = if is_descriptors { ErrorKind::Descriptors } else { kind };
        Self::new(kind, format!("{what}: {error}."))
    }

    /// Why a certificate cannot be served that the operator knows by `label`.
    pub(crate) fn certificate(label: &str, fault: &Fault) -> Self {
        let kind = match fault {
            Fault::Certificate(_) => ErrorKind::Certificate,
            Fault::Key(_) => ErrorKind::CertificateKey,
        };
        let separator = if label.is_empty() { "" } else { ": " };
        Self::new(kind, format!("{label}{separator}{fault}"))
    }

    /// Why clients cannot be asked for certificates.
    pub(crate) fn clients(fault: &Fault) -> Self {
        Self::new(ErrorKind::Certificate, fault.to_string())
    }

    pub(crate) fn system(what: &str, error: &io::Error) -> Self {
        Self::io(ErrorKind::System, what, error)
    }

    /// A thread that was not started. `EAGAIN` is what the system says at a limit of them.
    pub(crate) fn thread(what: &str, error: &io::Error) -> Self {
        let is_limit = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM));
        Self::io(if is_limit { ErrorKind::Threads } else { ErrorKind::System }, what, error)
    }

    /// Says which part of the configuration it is about, such as `listen[0]`.
    pub(crate) fn at(self, part: impl Into<String>) -> Self {
        Self { part: Some(part.into()), ..self }
    }

    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The part of the configuration that it is about: `listen[0]`, `mounts[1].files`, `accessLog.file`.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        self.part.as_deref()
    }

    /// The code that the error has everywhere a person meets it: an entry of the registry in `src/error-entries.ts`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Config | ErrorKind::Files => "GWM_CONFIG_INVALID",
            ErrorKind::Descriptors => "GWM_FD_LIMIT",
            ErrorKind::Threads => "GWM_PROCESS_LIMIT",
            ErrorKind::AddressInUse => "GWM_PORT_IN_USE",
            ErrorKind::AddressDenied => "GWM_PORT_FORBIDDEN",
            ErrorKind::Listen => "GWM_ADDRESS_UNAVAILABLE",
            ErrorKind::Socket => "GWM_SOCKET_PATH",
            ErrorKind::Log => "GWM_LOG_FILE",
            ErrorKind::Certificate => "GWM_CERT_INVALID",
            ErrorKind::CertificateKey => "GWM_CERT_KEY",
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
