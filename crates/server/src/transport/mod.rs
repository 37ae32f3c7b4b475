//! What lies below a client protocol: bytes of a socket, or of TLS over one.

mod tls;

use gwanmun_reactor::buffers::Buffers;
use gwanmun_sys::syscall::{self, Transfer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
pub(crate) use tls::{Records, SEALED_AT_ONCE, Tls};

/// A client's socket. It never waits.
#[derive(Debug)]
pub(crate) enum Transport {
    /// The protocol's bytes are the socket's.
    Plain(OwnedFd),
    Tls(Box<Tls>),
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
    /// The connection is broken, or the client does not keep to TLS.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        into: &mut [u8],
        records: &mut Records,
        buffers: &mut Buffers,
    ) -> io::Result<Transfer> {
        match self {
            Self::Plain(fd) => syscall::receive(fd.as_fd(), into),
            Self::Tls(tls) => tls.receive(into, records, buffers),
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

    /// Sends as much as a transport takes that has no records of its own. `more`: further bytes follow at once.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8], more: bool) -> io::Result<Transfer> {
        match self {
            Self::Plain(fd) => syscall::send(fd.as_fd(), bytes, more),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
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

    /// Sends a part of a file that is in memory, as it is.
    ///
    /// # Errors
    /// The connection is broken, or the file can't be read.
    pub(crate) fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> io::Result<Transfer> {
        match self.plain() {
            Some(socket) => syscall::send_file(socket, file, offset, length),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether there is nothing to receive until the socket has more, after so many bytes of so many at the most.
    #[inline]
    pub(crate) fn is_drained(&self, count: usize, most: usize) -> bool {
        match self {
            Self::Plain(_) => count < most,
            #[cfg(test)]
            Self::Memory(_) => count < most,
            Self::Tls(tls) => tls.is_drained(),
        }
    }

    /// The socket, if what it receives is what the protocol gets: then others may receive from it.
    pub(crate) fn plain(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Plain(fd) => Some(fd.as_fd()),
            Self::Tls(_) => None,
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }

    /// The socket, to ask it or to watch it.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Plain(fd) => Some(fd.as_fd()),
            Self::Tls(tls) => Some(tls.fd().as_fd()),
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }

    /// TLS, if that is what it is.
    #[inline]
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            _ => None,
        }
    }

    /// Whether it is not agreed yet how the bytes are protected.
    #[inline]
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls().is_some_and(Tls::is_handshaking)
    }

    /// Bytes that are on their way through it and have not reached the socket.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        self.tls().map_or(0, Tls::unsent)
    }

    /// Bytes that have been received and not passed on: of a record that is not whole.
    pub(crate) fn undelivered(&self) -> usize {
        self.tls().map_or(0, Tls::undelivered)
    }

    /// Bytes of memory that it takes beside the socket.
    pub(crate) fn holds(&self) -> usize {
        self.tls().map_or(0, Tls::holds)
    }

    /// Bytes that have come and were not received, or what they are wrapped in. None: nobody can tell.
    pub(crate) fn unread(&self) -> Option<usize> {
        #[cfg(test)]
        if let Self::Memory(memory) = self {
            return Some(memory.sent.len());
        }
        Some(syscall::unread(self.socket()?).ok()? + self.undelivered())
    }

    /// Bytes that were sent and that the client has not acknowledged.
    pub(crate) fn untaken(&self) -> u32 {
        let unsent = u32::try_from(self.unsent()).unwrap_or(u32::MAX);
        self.socket().map_or(0, syscall::unacknowledged).saturating_add(unsent)
    }

    /// Says that nothing more comes, where there is a word for that. Gives whether it has left.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn say_goodbye(
        &mut self,
        records: &mut Records,
        buffers: &mut Buffers,
    ) -> io::Result<bool> {
        match self {
            Self::Tls(tls) => tls.say_goodbye(records, buffers),
            _ => Ok(true),
        }
    }

    /// Ends our side.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn shutdown(&mut self) -> io::Result<()> {
        match self {
            #[cfg(test)]
            Self::Memory(memory) => {
                memory.is_shut = true;
                Ok(())
            }
            _ => self.socket().map_or(Ok(()), syscall::shutdown_write),
        }
    }

    /// Makes its closing a reset.
    pub(crate) fn reset_on_close(&self) {
        if let Some(socket) = self.socket() {
            syscall::reset_on_close(socket);
        }
    }

    /// Its buffers go back.
    pub(crate) fn give_back(&mut self, buffers: &mut Buffers) {
        if let Self::Tls(tls) = self {
            tls.give_back(buffers);
        }
    }
}
