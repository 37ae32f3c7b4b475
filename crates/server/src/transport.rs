//! What lies below a client protocol: bytes of a socket.

use gwanmun_sys::syscall::{self, Transfer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A client's socket. It never waits.
#[derive(Debug)]
pub(crate) enum Transport {
    /// The protocol's bytes are the socket's.
    Plain(OwnedFd),
}

impl Transport {
    /// Receives what is there; no bytes are the end.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub(crate) fn receive(&mut self, into: &mut [u8]) -> io::Result<Transfer> {
        let Self::Plain(fd) = self;
        syscall::receive(fd.as_fd(), into)
    }

    /// Sends as much as the socket takes. `more`: further bytes follow at once.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8], more: bool) -> io::Result<Transfer> {
        let Self::Plain(fd) = self;
        syscall::send(fd.as_fd(), bytes, more)
    }

    /// Sends a part of a file that is in memory.
    ///
    /// # Errors
    /// The connection is broken, or the file can't be read.
    pub(crate) fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> io::Result<Transfer> {
        let Self::Plain(fd) = self;
        syscall::send_file(fd.as_fd(), file, offset, length)
    }

    /// The socket, if what it receives is what the protocol gets: then others may receive from it.
    pub(crate) fn plain(&self) -> Option<BorrowedFd<'_>> {
        let Self::Plain(fd) = self;
        Some(fd.as_fd())
    }

    /// Bytes that have come and were not received.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(crate) fn unread(&self) -> io::Result<usize> {
        syscall::unread(self.as_fd())
    }

    /// Bytes that were sent and that the client has not acknowledged.
    pub(crate) fn untaken(&self) -> u32 {
        syscall::unacknowledged(self.as_fd())
    }

    /// Ends our side.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn shutdown(&mut self) -> io::Result<()> {
        syscall::shutdown_write(self.as_fd())
    }

    /// Makes its closing a reset.
    pub(crate) fn reset_on_close(&self) {
        syscall::reset_on_close(self.as_fd());
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let Self::Plain(fd) = self;
        fd.as_fd()
    }
}
