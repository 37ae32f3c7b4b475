//! A listener is a set of sockets that is not tied to threads.
//!
//! TCP: the first socket binds exclusively, so that a taken port is an error and not a silent share; then `SO_REUSEPORT` is
//! set and the others join, one per I/O thread. A Unix socket is single, and every thread accepts from it.
//!
//! Sockets that the process was started with are taken as they are: those of a predecessor, so that no connection in their
//! queues is lost, or of a service manager.

use crate::config::Listen;
use crate::error::{Error, ErrorKind};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const BACKLOG: i32 = 1024;
/// The bytes of `sun_path`, without the NUL at its end.
const MAX_UNIX_PATH: usize = 107;

/// Where a listener is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound and listening address with its sockets, for the I/O threads to share out.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: Address,
    sockets: Mutex<Vec<Arc<OwnedFd>>>,
    /// A Unix socket's file is removed at the end.
    owns_file: AtomicBool,
}

/// Listening sockets that the process was started with.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<(Address, Arc<OwnedFd>)>);

impl Inherited {
    /// Takes the descriptors over.
    ///
    /// # Errors
    /// One is no listening socket of a stream; the others are closed.
    pub(crate) fn take_over(fds: &[i32]) -> Result<Self, Error> {
        let sockets: Result<_, _> = fds.iter().map(|&fd| take_over(fd)).collect();
        Ok(Self(sockets?))
    }

    /// Takes out the sockets of the first address that fits.
    fn take(&mut self, fits: impl Fn(&Address) -> bool) -> Option<(Address, Vec<Arc<OwnedFd>>)> {
        let address = self.0.iter().map(|(address, _)| address).find(|own| fits(own))?.clone();
        let (own, others) =
            std::mem::take(&mut self.0).into_iter().partition(|(other, _)| *other == address);
        self.0 = others;
        let own: Vec<_> = own;
        Some((address, own.into_iter().map(|(_, socket)| socket).collect()))
    }
}

fn take_over(fd: i32) -> Result<(Address, Arc<OwnedFd>), Error> {
    let fail = |why: &str| {
        let message = format!("Descriptor {fd}, which was passed to be listened on, {why}.");
        Error::new(ErrorKind::Listen, message)
    };
    // SAFETY: no pointers.
    if fd < 3 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(fail("is not open"));
    }
    // SAFETY: it is open, and by `Config::inherited` ours from here on.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(fd) });
    if !socket.is_listener().unwrap_or(false) || socket.r#type().ok() != Some(Type::STREAM) {
        return Err(fail("is not a listening socket"));
    }
    let local = socket.local_addr().map_err(|error| fail(&format!("has no address: {error}")))?;
    let address = match (local.as_socket(), local.as_pathname()) {
        (Some(address), _) => Address::Tcp(address),
        (None, Some(path)) => Address::Unix(path.to_owned()),
        (None, None) => return Err(fail("has an address of a kind that is not supported")),
    };
    let prepared = socket.set_nonblocking(true).and_then(|()| socket.set_cloexec(true));
    prepared.map_err(|error| fail(&format!("can't be used: {error}")))?;
    Ok((address, Arc::new(OwnedFd::from(socket))))
}

impl Listener {
    /// Binds everything that `listen` stands for; a host name may stand for several addresses. An address that one of `kept` has is that one's.
    pub(crate) fn bind(
        listen: &Listen,
        threads: usize,
        inherited: &mut Inherited,
        kept: &[Arc<Self>],
    ) -> Result<Vec<Arc<Self>>, Error> {
        match listen {
            Listen::Tcp { host, port, backlog, single, only_v6, shared, .. } => {
                let tcp =
                    Tcp { backlog: backlog.unwrap_or(BACKLOG), only_v6: *only_v6, shared: *shared };
                bind_host(host, *port, *single, tcp, threads, inherited, kept)
            }
            Listen::Unix { path, mode, .. } => {
                let address = Address::Unix(path.clone());
                if let Some(own) = kept.iter().find(|own| own.address == address) {
                    return Ok(vec![Arc::clone(own)]);
                }
                match inherited.take(|own| *own == address) {
                    Some((address, sockets)) => Ok(vec![Arc::new(Self::new(address, sockets))]),
                    None => Ok(vec![Arc::new(bind_unix(path, *mode)?)]),
                }
            }
            Listen::Inherited { .. } => {
                let mut listeners = Vec::new();
                while let Some((address, sockets)) = inherited.take(|_| true) {
                    let listener = Self::new(address, sockets);
                    // It is the service manager's.
                    listener.leave_file();
                    listeners.push(Arc::new(listener));
                }
                if listeners.is_empty() {
                    let message = "No socket to listen on was passed.".to_owned();
                    return Err(Error::new(ErrorKind::Listen, message));
                }
                Ok(listeners)
            }
        }
    }

    fn new(address: Address, sockets: Vec<Arc<OwnedFd>>) -> Self {
        Self { address, sockets: Mutex::new(sockets), owns_file: AtomicBool::new(true) }
    }

    /// The sockets of one I/O thread of so many; none once they are forgotten. Threads share a socket where there are fewer.
    pub(crate) fn sockets(&self, thread: usize, threads: usize) -> Vec<Arc<OwnedFd>> {
        let sockets = self.lock();
        match sockets.len() {
            0 => Vec::new(),
            count if count <= threads => vec![Arc::clone(&sockets[thread % count])],
            _ => sockets.iter().skip(thread).step_by(threads).cloned().collect(),
        }
    }

    /// Gives every socket to `look`.
    pub(crate) fn each(&self, mut look: impl FnMut(BorrowedFd<'_>)) {
        self.lock().iter().for_each(|socket| look(socket.as_fd()));
    }

    /// A Unix socket's file stays at the end: somebody else listens.
    pub(crate) fn leave_file(&self) {
        self.owns_file.store(false, Ordering::Relaxed);
    }

    /// Leaves the sockets to the threads: they are closed when those have closed theirs.
    pub(crate) fn forget_sockets(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<OwnedFd>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address
            && self.owns_file.load(Ordering::Relaxed)
        {
            // Nobody is left to tell if it fails, and a stale file is cleared at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What is said of the sockets of an address.
#[derive(Clone, Copy)]
struct Tcp {
    backlog: i32,
    only_v6: bool,
    shared: bool,
}

fn bind_host(
    host: &str,
    mut port: u16,
    single: bool,
    tcp: Tcp,
    threads: usize,
    inherited: &mut Inherited,
    kept: &[Arc<Listener>],
) -> Result<Vec<Arc<Listener>>, Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|error| {
            Error::new(
                ErrorKind::Listen,
                format!("The host name {host:?} has no address to listen on: {error}."),
            )
        })?
        .collect();
    addresses.dedup();
    if single {
        addresses.truncate(1);
    }
    let mut listeners = Vec::new();
    for mut address in addresses {
        address.set_port(port);
        let is_it = |own: &Address| match own {
            Address::Tcp(own) if port == 0 => own.ip() == address.ip(),
            Address::Tcp(own) => *own == address,
            Address::Unix(_) => false,
        };
        let listener = match kept.iter().find(|own| own.address == Address::Tcp(address)) {
            Some(own) => Arc::clone(own),
            None => Arc::new(match inherited.take(is_it) {
                Some((address, sockets)) => Listener::new(address, sockets),
                None => bind_tcp(address, tcp, threads)?,
            }),
        };
        if let Address::Tcp(bound) = &listener.address {
            // Port 0 is chosen once; the other addresses of the same name share it.
            port = bound.port();
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn bind_tcp(address: SocketAddr, tcp: Tcp, threads: usize) -> Result<Listener, Error> {
    let fail = |error: io::Error| listen_error(&address.to_string(), &error);
    let first = tcp_socket(address, tcp.only_v6).map_err(fail)?;
    first.set_reuse_port(tcp.shared).map_err(fail)?;
    first.bind(&address.into()).map_err(fail)?;
    let bound = first.local_addr().ok().and_then(|address| address.as_socket()).unwrap_or(address);
    first.set_reuse_port(true).map_err(fail)?;
    first.listen(tcp.backlog).map_err(fail)?;
    let mut sockets = vec![Arc::new(OwnedFd::from(first))];
    for _ in 1..threads {
        let socket = tcp_socket(address, tcp.only_v6).map_err(fail)?;
        socket.set_reuse_port(true).map_err(fail)?;
        socket.bind(&bound.into()).map_err(fail)?;
        socket.listen(tcp.backlog).map_err(fail)?;
        sockets.push(Arc::new(OwnedFd::from(socket)));
    }
    Ok(Listener::new(Address::Tcp(bound), sockets))
}

fn tcp_socket(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // A restart must not wait for connections of its predecessor in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` means every address of the machine, as elsewhere; a specific IPv6 address means itself.
        socket.set_only_v6(only_v6 || !address.ip().is_unspecified())?;
    }
    Ok(socket)
}

fn bind_unix(path: &Path, mode: Option<u32>) -> Result<Listener, Error> {
    let name = format!("unix:{}", path.display());
    let fail = |error: io::Error| listen_error(&name, &error);
    if path.as_os_str().len() > MAX_UNIX_PATH {
        let message = format!(
            "The path of {name} is too long: it has {} bytes, and a Unix socket's has at most {MAX_UNIX_PATH}.",
            path.as_os_str().len()
        );
        return Err(Error::new(ErrorKind::Socket, message));
    }
    let address = SockAddr::unix(path).map_err(fail)?;
    clear_stale_socket(path, &address).map_err(fail)?;
    let socket =
        Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None).map_err(fail)?;
    socket.bind(&address).map_err(fail)?;
    if let Some(mode) = mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
    }
    socket.listen(BACKLOG).map_err(fail)?;
    let socket = Arc::new(OwnedFd::from(socket));
    Ok(Listener::new(Address::Unix(path.into()), vec![socket]))
}

/// Removes a socket file that nobody listens on any more; anything else at that path is left alone and makes bind fail.
fn clear_stale_socket(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !is_socket(path) {
        return Ok(());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

fn listen_error(address: &str, error: &io::Error) -> Error {
    let unix = address.strip_prefix("unix:");
    match error.kind() {
        io::ErrorKind::AddrInUse if unix.is_some_and(|path| !is_socket(Path::new(path))) => {
            Error::new(
                ErrorKind::Socket,
                format!("Can't listen on {address}: a file that is not a socket has this name."),
            )
        }
        io::ErrorKind::AddrInUse => {
            let what = match address.rsplit_once(':') {
                Some((host, port)) if unix.is_none() => format!("Port {port} on {host}"),
                _ => address.to_owned(),
            };
            Error::new(
                ErrorKind::AddressInUse,
                format!("{what} is already in use by another program."),
            )
        }
        io::ErrorKind::PermissionDenied if unix.is_none() => {
            let what = format!("This user may not listen on {address}");
            Error::io(ErrorKind::AddressDenied, &what, error)
        }
        _ => {
            let kind = if unix.is_some() { ErrorKind::Socket } else { ErrorKind::Listen };
            Error::io(kind, &format!("Can't listen on {address}"), error)
        }
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// What one thread listens on: its socket of each listener.
pub(crate) type Sockets = Vec<(Arc<OwnedFd>, Address, Secures)>;

/// Whether clients of a listener speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secures {
    No,
    Tls,
    /// They are told to, at this port.
    Redirect(u16),
}

impl Secures {
    /// What an entry of `listen` says of one of its addresses.
    fn of(listen: &Listen, address: &Address) -> Self {
        match listen {
            Listen::Tcp { tls: true, .. } | Listen::Unix { tls: true, .. } => Self::Tls,
            Listen::Tcp { redirect: Some(port), .. }
            | Listen::Unix { redirect: Some(port), .. } => Self::Redirect(*port),
            Listen::Tcp { .. } | Listen::Unix { .. } => Self::No,
            Listen::Inherited { like } => {
                let is_it = |other: &&Listen| match (other, address) {
                    (Listen::Tcp { port, .. }, Address::Tcp(address)) => *port == address.port(),
                    (Listen::Unix { path, .. }, Address::Unix(own)) => path == own,
                    _ => false,
                };
                let like = like.iter().find(is_it).or(like.first());
                like.map_or(Self::No, |like| Self::of(like, address))
            }
        }
    }
}

/// Whether TLS is spoken at one of an entry's addresses.
pub(crate) fn speaks_tls(listen: &Listen) -> bool {
    match listen {
        Listen::Tcp { tls, .. } | Listen::Unix { tls, .. } => *tls,
        Listen::Inherited { like } => like.iter().any(speaks_tls),
    }
}

/// Each address, with whether TLS is spoken there.
pub(crate) fn secured(
    listeners: &[(Listen, Vec<Arc<Listener>>)],
) -> impl Iterator<Item = (&Arc<Listener>, Secures)> {
    let all = || {
        listeners.iter().flat_map(|(listen, bound)| {
            bound.iter().map(move |own| (own, Secures::of(listen, &own.address)))
        })
    };
    let port = all().find_map(|(own, secures)| match own.address {
        Address::Tcp(address) if secures == Secures::Tls => Some(address.port()),
        _ => None,
    });
    all().map(move |(own, secures)| match secures {
        Secures::Redirect(0) => (own, Secures::Redirect(port.unwrap_or(443))),
        secures => (own, secures),
    })
}

/// The sockets of `listeners` that belong to thread number `thread` of so many.
pub(crate) fn sockets_of(
    listeners: &[(Listen, Vec<Arc<Listener>>)],
    thread: usize,
    threads: usize,
) -> Sockets {
    let own = |(listener, secures): (&Arc<Listener>, Secures)| {
        let address = listener.address.clone();
        let sockets = listener.sockets(thread, threads).into_iter();
        sockets.map(move |socket| (socket, address.clone(), secures))
    };
    secured(listeners).flat_map(own).collect()
}

/// An address as it stands in a URL: that of IPv6 in brackets (RFC 3986 §3.2.2, RFC 3875 §4.1.14).
pub(crate) fn in_url(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Listen {
        Listen::Tcp {
            host: host.into(),
            port,
            backlog: None,
            single: false,
            only_v6: false,
            shared: false,
            tls: false,
            redirect: None,
        }
    }

    fn bind(listen: &Listen, threads: usize) -> Result<Vec<Arc<Listener>>, Error> {
        Listener::bind(listen, threads, &mut Inherited::default(), &[])
    }

    fn port(listener: &Listener) -> u16 {
        match &listener.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }

    #[test]
    fn every_thread_gets_a_socket_on_the_same_port() {
        let listeners = bind(&tcp("127.0.0.1", 0), 3).unwrap();
        assert_eq!(listeners[0].lock().len(), 3);
        assert_ne!(port(&listeners[0]), 0);
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let first = bind(&tcp("127.0.0.1", 0), 2).unwrap();
        let error = bind(&tcp("127.0.0.1", port(&first[0])), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressInUse);
        assert!(error.to_string().contains(&port(&first[0]).to_string()), "{error}");
    }

    #[test]
    fn ipv6_addresses_are_listened_on() {
        let listeners = bind(&tcp("[::1]", 0), 1).unwrap();
        assert!(matches!(listeners[0].address, Address::Tcp(address) if address.is_ipv6()));
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let path =
            std::env::temp_dir().join(format!("gwanmun-listener-{}.sock", std::process::id()));
        let listen =
            Listen::Unix { path: path.clone(), mode: Some(0o600), tls: false, redirect: None };
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listeners = bind(&listen, 2).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(&listen, 2).unwrap_err().kind(), ErrorKind::AddressInUse);
        drop(listeners);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let path =
            std::env::temp_dir().join(format!("gwanmun-listener-{}.txt", std::process::id()));
        std::fs::write(&path, "mine").unwrap();
        let listen = Listen::Unix { path: path.clone(), mode: None, tls: false, redirect: None };
        assert_eq!(bind(&listen, 1).unwrap_err().kind(), ErrorKind::Socket);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        std::fs::remove_file(path).unwrap();
    }
}
