//! Where an upstream is, and connecting to it without waiting.

use crate::config::UpstreamAddress;
use gwanmun_sys::descriptors;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// One place to connect to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// How connecting has begun.
#[derive(Debug)]
pub(crate) enum Attempt {
    Connected(OwnedFd),
    /// The descriptor becomes writable when it is known.
    Pending(OwnedFd),
    /// Too many wait there already, and nothing tells when that changes (F46).
    Full,
}

impl Target {
    /// A name has to be looked up.
    pub(super) fn of(address: &UpstreamAddress) -> Option<Self> {
        match address {
            UpstreamAddress::Unix { path } => Some(Self::Unix(path.clone())),
            UpstreamAddress::Processes { .. } => None,
            UpstreamAddress::Tcp { host, port } => {
                let ip: IpAddr = host.parse().ok()?;
                Some(Self::Tcp(SocketAddr::new(ip, *port)))
            }
        }
    }

    fn address(&self) -> io::Result<(Domain, SockAddr)> {
        match self {
            Self::Tcp(address) => Ok((Domain::for_address(*address), SockAddr::from(*address))),
            // `@name` is one of the abstract namespace.
            Self::Unix(path) => match path.as_os_str().as_encoded_bytes().strip_prefix(b"@") {
                Some(name) => {
                    let name = [b"\0", name].concat();
                    // SAFETY: a NUL and bytes that were an `OsStr`'s behind an ASCII character are one's as well.
                    let name = unsafe { std::ffi::OsStr::from_encoded_bytes_unchecked(&name) };
                    Ok((Domain::UNIX, SockAddr::unix(Path::new(name))?))
                }
                None => Ok((Domain::UNIX, SockAddr::unix(path)?)),
            },
        }
    }
}

pub(super) fn look_up(address: &UpstreamAddress) -> io::Result<Vec<Target>> {
    match address {
        UpstreamAddress::Unix { path } => Ok(vec![Target::Unix(path.clone())]),
        UpstreamAddress::Processes { .. } => Ok(Vec::new()),
        UpstreamAddress::Tcp { host, port } => {
            let found: Vec<_> =
                (host.as_str(), *port).to_socket_addrs()?.map(Target::Tcp).collect();
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
            }
            Ok(found)
        }
    }
}

/// Begins to connect. Does not block.
///
/// # Errors
/// It can't be; EMFILE if only descriptors that are kept are left.
pub(crate) fn attempt(target: &Target) -> io::Result<Attempt> {
    let (domain, address) = target.address()?;
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    let socket = descriptors::checked(socket)?;
    if let Target::Tcp(_) = target {
        // A failure costs latency only.
        let _ = socket.set_tcp_nodelay(true);
    }
    match socket.connect(&address) {
        Ok(()) => Ok(Attempt::Connected(socket.into())),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINPROGRESS) => Ok(Attempt::Pending(socket.into())),
            // Of a Unix socket alone.
            Some(libc::EAGAIN) => Ok(Attempt::Full),
            _ => Err(error),
        },
    }
}

/// What has come of an attempt whose descriptor is writable.
///
/// # Errors
/// It has failed.
pub(crate) fn finish(fd: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&fd).take_error()?.map_or(Ok(()), Err)
}
