//! Bytes over a Unix socket with descriptors among them, for both ends of a link.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Most descriptors that one receive takes; the kernel closes what is beyond.
const MOST: usize = 4;

/// Room and alignment for a control message with `MOST` descriptors: 16 bytes of header and 4 for each.
type Control = [u64; 2 + MOST / 2];

/// Sends `bytes` (at least one) with a descriptor attached to the first of them. Does not block.
///
/// # Errors
/// As `sendmsg`; `WouldBlock` if the kernel takes nothing now.
#[inline]
pub fn send_with_fd(fd: BorrowedFd<'_>, bytes: &[u8], passed: BorrowedFd<'_>) -> io::Result<usize> {
    let mut vector =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control: Control = [0; _];
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE and CMSG_LEN only compute; CMSG_FIRSTHDR gives a pointer into `control`, which has room for
    // the header and one int; `message` points at live memory for the whole call.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size_of::<libc::c_int>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as _;
        libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(passed.as_raw_fd());
        retry(|| {
            libc::sendmsg(
                fd.as_raw_fd(),
                &raw const message,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        })
    }
}

/// A descriptor that was sent.
#[derive(Debug)]
pub enum Received {
    Descriptor(OwnedFd),
    /// It came when this process could have no more, and the kernel has dropped it.
    Lost,
}

/// Receives once, without blocking. Descriptors that come along are close-on-exec and are appended to `descriptors`, in order.
/// A receive ends behind bytes that brought some: a short one then does not mean that the socket is empty.
///
/// # Errors
/// As `recvmsg`; `WouldBlock` if nothing is there.
#[inline]
pub fn receive_with_fds(
    fd: BorrowedFd<'_>,
    into: &mut [u8],
    descriptors: &mut VecDeque<Received>,
) -> io::Result<usize> {
    let mut vector = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut control: Control = [0; _];
    // SAFETY: all-zero is a valid msghdr; it points at live memory for the call. The control messages that the kernel wrote
    // are walked with the kernel's own macros, and each descriptor in them is new and ours. Not `libc::recvmsg`, which is a
    // cancellation point.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let count = retry(|| {
            libc::syscall(
                libc::SYS_recvmsg,
                fd.as_raw_fd(),
                &raw mut message,
                libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT,
            ) as isize
        })?;
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<libc::c_int>();
                for index in 0..bytes / size_of::<libc::c_int>() {
                    let fd = OwnedFd::from_raw_fd(data.add(index).read_unaligned());
                    descriptors.push_back(Received::Descriptor(fd));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        // There was room for what one message brings: what is missing, the table of descriptors had no place for.
        if message.msg_flags & libc::MSG_CTRUNC != 0 {
            descriptors.push_back(Received::Lost);
        }
        Ok(count)
    }
}

fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_come_with_their_bytes_and_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let zero = File::open("/dev/zero").unwrap();
        assert_eq!(send_with_fd(ours.as_fd(), b"ab", null.as_fd()).unwrap(), 2);
        assert_eq!(send_with_fd(ours.as_fd(), b"cd", zero.as_fd()).unwrap(), 2);
        let mut descriptors = VecDeque::new();
        let mut buffer = [0; 16];
        assert_eq!(receive_with_fds(theirs.as_fd(), &mut buffer, &mut descriptors).unwrap(), 2);
        assert_eq!(descriptors.len(), 1, "a receive ends behind the bytes that brought one");
        assert_eq!(receive_with_fds(theirs.as_fd(), &mut buffer, &mut descriptors).unwrap(), 2);
        let mut byte = [7];
        let Some(Received::Descriptor(second)) = descriptors.pop_back() else { unreachable!() };
        let second = File::from(second);
        io::Read::read_exact(&mut &second, &mut byte).unwrap();
        assert_eq!((byte, descriptors.len()), ([0], 1));
        let error = receive_with_fds(theirs.as_fd(), &mut buffer, &mut descriptors).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(ours);
        assert_eq!(receive_with_fds(theirs.as_fd(), &mut buffer, &mut descriptors).unwrap(), 0);
    }
}
