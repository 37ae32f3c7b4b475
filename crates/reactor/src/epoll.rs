//! The I/O thread's epoll instance and the tokens that say what an event is about.

use crate::arena::Key;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What a descriptor in the epoll instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Listener(u32),
    Mailbox,
    Connection(Key),
    Link(Key),
    /// To another server, or a program.
    Upstream(Key),
}

/// What became possible on a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
    /// The peer has closed its writing side; whatever arrives after this event brings no new one.
    pub read_closed: bool,
    /// The connection is gone both ways.
    pub gone: bool,
}

#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

/// Events that one wait may give.
pub const BATCH: usize = 256;

const INPUT_EDGES: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;

pub type Events = [libc::epoll_event; BATCH];

#[inline]
pub fn no_events() -> Events {
    [libc::epoll_event { events: 0, u64: 0 }; BATCH]
}

impl Epoll {
    #[inline]
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Reports every change of a descriptor in both directions, once each.
    #[inline]
    pub fn add_edges(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, INPUT_EDGES | libc::EPOLLOUT)
    }

    /// Reports new input once each. A Unix socket would report room for output each time the peer reads, which wakes
    /// for nothing; [`watch_output`](Self::watch_output) asks for that when it is needed.
    #[inline]
    pub fn add_input_edges(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, INPUT_EDGES)
    }

    /// Switches reports of room for output on or off for a descriptor added by `add_input_edges`.
    #[inline]
    pub fn watch_output(&self, fd: BorrowedFd<'_>, token: Token, on: bool) -> io::Result<()> {
        let interest = if on { INPUT_EDGES | libc::EPOLLOUT } else { INPUT_EDGES };
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Reports that a descriptor is readable for as long as it is.
    #[inline]
    pub fn add_readable(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, libc::EPOLLIN)
    }

    #[inline]
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // SAFETY: EPOLL_CTL_DEL ignores the event pointer. A failure means that the descriptor was not there.
        unsafe {
            libc::epoll_ctl(
                self.fd.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd.as_raw_fd(),
                std::ptr::null_mut(),
            )
        };
    }

    /// Waits until something happens, `wait_ms` at the most; puts it into `events` and gives how much it is.
    #[inline]
    pub fn wait(&self, events: &mut Events, wait_ms: u64) -> io::Result<usize> {
        let wait_ms = wait_ms.min(60_000) as i32;
        // SAFETY: pointer and length are one live array.
        let count = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), events.as_mut_ptr(), BATCH as i32, wait_ms)
        };
        if count >= 0 {
            return Ok(count as usize);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        }
    }

    fn control(
        &self,
        operation: i32,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: i32,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: token.pack() };
        // SAFETY: `event` is live for the call, which copies it.
        let result = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Takes an event apart.
#[inline]
pub fn unpack(event: &libc::epoll_event) -> (Token, Readiness) {
    let bits = event.events as i32;
    let readiness = Readiness {
        readable: bits & libc::EPOLLIN != 0,
        writable: bits & libc::EPOLLOUT != 0,
        read_closed: bits & libc::EPOLLRDHUP != 0,
        gone: bits & (libc::EPOLLHUP | libc::EPOLLERR) != 0,
    };
    (Token::unpack(event.u64), readiness)
}

/// Beyond the number of any listener.
const MAILBOX: u64 = 1 << 32;

impl Token {
    fn pack(self) -> u64 {
        let key = |kind: u64, key: Key| {
            kind << 62 | u64::from(key.generation) << 32 | u64::from(key.index)
        };
        match self {
            Self::Listener(index) => u64::from(index),
            Self::Mailbox => MAILBOX,
            Self::Upstream(name) => key(1, name),
            Self::Connection(name) => key(2, name),
            Self::Link(name) => key(3, name),
        }
    }

    fn unpack(bits: u64) -> Self {
        let key = Key { index: bits as u32, generation: (bits >> 32) as u32 & ((1 << 30) - 1) };
        match bits >> 62 {
            0 if bits == MAILBOX => Self::Mailbox,
            0 => Self::Listener(bits as u32),
            1 => Self::Upstream(key),
            2 => Self::Connection(key),
            _ => Self::Link(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        let key = Key { index: u32::MAX, generation: (1 << 30) - 1 };
        let none = Key { index: 0, generation: 0 };
        for token in [
            Token::Listener(0),
            Token::Listener(u32::MAX),
            Token::Mailbox,
            Token::Connection(key),
            Token::Link(key),
            Token::Upstream(key),
            Token::Upstream(none),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
