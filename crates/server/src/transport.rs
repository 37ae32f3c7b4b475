//! What lies below a client protocol: bytes of a socket.

use gwanmun_sys::syscall::{self, Transfer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A client's socket. It never waits.
#[derive(Debug)]
pub(crate) enum Transport {
    /// The protocol's bytes are the socket's.
    Plain(OwnedFd),
    /// Bytes that a test gives and takes.
    #[cfg(test)]
    Memory(Box<Memory>),
}

/// Both ends of a connection without a socket.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What the client has sent.
    pub(crate) sent: std::collections::VecDeque<u8>,
    /// The client has ended its side.
    pub(crate) is_ended: bool,
    /// What it has been sent.
    pub(crate) received: Vec<u8>,
    /// How many bytes it takes now.
    pub(crate) room: usize,
    pub(crate) is_shut: bool,
}

impl Transport {
    /// Receives what is there; no bytes are the end.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub(crate) fn receive(&mut self, into: &mut [u8]) -> io::Result<Transfer> {
        match self {
            Self::Plain(fd) => syscall::receive(fd.as_fd(), into),
            #[cfg(test)]
            Self::Memory(memory) => {
                if memory.sent.is_empty() && !memory.is_ended {
                    return Ok(Transfer::WouldBlock);
                }
                // A short receive means that nothing is left.
                let count = into.len().min(memory.sent.len());
                into.iter_mut().zip(memory.sent.drain(..count)).for_each(|(to, byte)| *to = byte);
                Ok(Transfer::Bytes(count))
            }
        }
    }

    /// Sends as much as the socket takes. `more`: further bytes follow at once.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8], more: bool) -> io::Result<Transfer> {
        match self {
            Self::Plain(fd) => syscall::send(fd.as_fd(), bytes, more),
            #[cfg(test)]
            Self::Memory(memory) => {
                if memory.room == 0 {
                    return Ok(Transfer::WouldBlock);
                }
                let count = bytes.len().min(memory.room);
                memory.room -= count;
                memory.received.extend_from_slice(&bytes[..count]);
                Ok(Transfer::Bytes(count))
            }
        }
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
        match self {
            Self::Plain(fd) => syscall::send_file(fd.as_fd(), file, offset, length),
            #[cfg(test)]
            Self::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The socket, if what it receives is what the protocol gets: then others may receive from it.
    pub(crate) fn plain(&self) -> Option<BorrowedFd<'_>> {
        self.socket()
    }

    /// The socket, to ask it or to watch it.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Plain(fd) => Some(fd.as_fd()),
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }

    /// Bytes that have come and were not received. None: nobody can tell.
    pub(crate) fn unread(&self) -> Option<usize> {
        match self {
            Self::Plain(fd) => syscall::unread(fd.as_fd()).ok(),
            #[cfg(test)]
            Self::Memory(memory) => Some(memory.sent.len()),
        }
    }

    /// Bytes that were sent and that the client has not acknowledged.
    pub(crate) fn untaken(&self) -> u32 {
        self.socket().map_or(0, syscall::unacknowledged)
    }

    /// Ends our side.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(fd) => syscall::shutdown_write(fd.as_fd()),
            #[cfg(test)]
            Self::Memory(memory) => {
                memory.is_shut = true;
                Ok(())
            }
        }
    }

    /// Makes its closing a reset.
    pub(crate) fn reset_on_close(&self) {
        if let Some(socket) = self.socket() {
            syscall::reset_on_close(socket);
        }
    }
}
