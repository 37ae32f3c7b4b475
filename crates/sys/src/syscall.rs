//! The system calls of the hot path, each wrapped once.

use socket2::SockRef;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What a non-blocking transfer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// So many bytes; 0 is the end when reading.
    Bytes(usize),
    /// The kernel has nothing, or takes nothing, now.
    WouldBlock,
}

fn transfer(result: isize) -> io::Result<Transfer> {
    if result >= 0 {
        return Ok(Transfer::Bytes(result as usize));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(Transfer::WouldBlock),
        _ => Err(error),
    }
}

/// A result in which having nothing to do now is no error.
#[inline]
pub fn would_block(result: io::Result<usize>) -> io::Result<Transfer> {
    match result {
        Ok(count) => Ok(Transfer::Bytes(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Transfer::WouldBlock),
        Err(error) => Err(error),
    }
}

fn retry(mut call: impl FnMut() -> isize) -> io::Result<Transfer> {
    loop {
        match transfer(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[inline]
pub fn receive(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<Transfer> {
    // SAFETY: the pointer and length are one live, writable slice.
    unsafe { receive_at(fd, into.as_mut_ptr(), into.len()) }
}

/// Receives to a place that need not be Rust's alone.
///
/// # Safety
/// `length` bytes at `into` may be written.
#[inline]
pub unsafe fn receive_at(fd: BorrowedFd<'_>, into: *mut u8, length: usize) -> io::Result<Transfer> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as the caller says; the address pointers may be null. Not `libc::recv`, which is a cancellation point and costs
    // more than the rest of this function.
    retry(|| unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            fd.as_raw_fd(),
            into,
            length,
            libc::MSG_DONTWAIT,
            none,
            none,
        ) as isize
    })
}

/// Reads from what is no socket, and does not wait by itself: a pipe.
pub fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<Transfer> {
    // SAFETY: the pointer and length are one live, writable slice.
    retry(|| unsafe { libc::read(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) })
}

#[inline]
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<Transfer> {
    let more = if more { libc::MSG_MORE } else { 0 };
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | more;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: the pointer and length are one live slice; without an address its length is 0. Not `libc::send`, as above.
    retry(|| unsafe {
        libc::syscall(libc::SYS_sendto, fd.as_raw_fd(), bytes.as_ptr(), bytes.len(), flags, none, 0)
            as isize
    })
}

/// Sends what stands in several places as one.
#[inline]
pub fn send_parts<const N: usize>(fd: BorrowedFd<'_>, parts: [&[u8]; N]) -> io::Result<Transfer> {
    let parts = parts.map(IoSlice::new);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    would_block(SockRef::from(&fd).send_vectored_with_flags(&parts, flags))
}

/// Sends up to `length` bytes of `file` from `offset` without a copy through user space.
#[inline]
pub fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
) -> io::Result<Transfer> {
    let mut position = offset as libc::off_t;
    // SAFETY: `position` outlives the call; both descriptors are open.
    retry(|| unsafe { libc::sendfile(fd.as_raw_fd(), file.as_raw_fd(), &raw mut position, length) })
}

/// A file's position.
#[inline]
pub fn position(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: no pointers.
    let position = unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR) };
    u64::try_from(position).map_err(|_| io::Error::last_os_error())
}

/// Makes closing send a reset instead of an end. A failure leaves the end.
#[inline]
pub fn reset_on_close(fd: BorrowedFd<'_>) {
    let _ = SockRef::from(&fd).set_linger(Some(std::time::Duration::ZERO));
}

/// Bytes that have arrived and were not received.
#[inline]
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, which outlives the call.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Accepts one connection, non-blocking and close-on-exec. `None`: no connection is waiting.
#[inline]
pub fn accept(fd: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null address pointers are allowed; the address is asked for afterwards.
    let result = retry(|| unsafe {
        libc::accept4(fd.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), flags) as isize
    })?;
    Ok(match result {
        // SAFETY: accept4 gave a new descriptor that nobody else owns.
        Transfer::Bytes(new) => Some(unsafe { OwnedFd::from_raw_fd(new as i32) }),
        Transfer::WouldBlock => None,
    })
}

/// Ends our side of a connection: the peer reads an end after what was sent.
#[inline]
pub fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    shutdown(fd, libc::SHUT_WR)
}

/// Ends both sides of a connection: reading gives what had arrived before, and then an end.
#[inline]
pub fn shutdown_both(fd: BorrowedFd<'_>) -> io::Result<()> {
    shutdown(fd, libc::SHUT_RDWR)
}

fn shutdown(fd: BorrowedFd<'_>, how: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    if unsafe { libc::shutdown(fd.as_raw_fd(), how) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// How many descriptors the process may have. The kernel always gives the lowest number that is free.
#[inline]
pub fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a struct of the type that the kernel fills in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
        return u64::MAX;
    }
    limit.rlim_cur
}

/// The address of a connection's other end; none for a Unix socket.
#[inline]
pub fn peer_of(fd: BorrowedFd<'_>) -> Option<std::net::SocketAddr> {
    let address = SockRef::from(&fd).peer_addr().ok()?.as_socket()?;
    // A listener on `::` sees IPv4 clients as ::ffff:a.b.c.d; what is logged and passed on is the address they have.
    Some(std::net::SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// The address of a connection's own end; none for a Unix socket.
#[inline]
pub fn local_of(fd: BorrowedFd<'_>) -> Option<std::net::IpAddr> {
    // As the client has it, as with `peer_of`.
    Some(SockRef::from(&fd).local_addr().ok()?.as_socket()?.ip().to_canonical())
}

/// Bytes that the kernel has taken and the other side has not acknowledged yet; 0 where it does not say.
#[inline]
pub fn unacknowledged(fd: BorrowedFd<'_>) -> u32 {
    let mut count: libc::c_int = 0;
    // SAFETY: an open descriptor, and an integer that outlives the call. SIOCOUTQ has the number of TIOCOUTQ.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result == 0 { u32::try_from(count).unwrap_or(0) } else { 0 }
}

/// Small responses leave at once (no Nagle). A failure costs latency only.
#[inline]
pub fn set_no_delay(fd: BorrowedFd<'_>) {
    let _ = SockRef::from(&fd).set_tcp_nodelay(true);
}

/// From now on this thread runs when hardly anybody else wants to. On Linux the niceness is a thread's own.
pub fn yield_to_all() {
    // SAFETY: no pointers. A failure costs nothing but its effect.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}
