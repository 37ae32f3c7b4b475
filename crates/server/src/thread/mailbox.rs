//! Messages to an I/O thread from other threads: posted to a list, announced by an eventfd.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    messages: Mutex<Vec<T>>,
    eventfd: File,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { messages: Mutex::default(), eventfd: unsafe { File::from_raw_fd(fd) } })
    }

    pub(crate) fn post(&self, message: T) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        if messages.len() == 1 {
            // The counter can't overflow: it is only written when the list was empty.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }

    /// All messages that are there, in the order they were posted.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = (&self.eventfd).read(&mut [0; 8]);
        std::mem::take(&mut messages)
    }
}

impl<T> AsFd for Mailbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}
