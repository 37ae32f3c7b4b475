//! Messages to an I/O thread from other threads: posted to a list, announced by an eventfd.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub struct Mailbox<T> {
    messages: Mutex<Vec<T>>,
    eventfd: File,
}

impl<T> Mailbox<T> {
    #[inline]
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { messages: Mutex::default(), eventfd: unsafe { File::from_raw_fd(fd) } })
    }

    #[inline]
    pub fn post(&self, message: T) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        if messages.len() == 1 {
            // The counter can't overflow: it is only written when the list was empty.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }

    /// All messages that are there, in the order they were posted. Those that are not taken from it, because one before them panics,
    /// are there again.
    #[inline]
    pub fn take(&self) -> Batch<'_, T> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = (&self.eventfd).read(&mut [0; 8]);
        Batch { mailbox: self, messages: std::mem::take(&mut *messages).into_iter() }
    }

    fn put_back(&self, mut earlier: Vec<T>) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.append(&mut messages);
        *messages = earlier;
        let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
    }
}

/// Messages that a thread goes through.
pub struct Batch<'a, T> {
    mailbox: &'a Mailbox<T>,
    messages: std::vec::IntoIter<T>,
}

impl<T> Iterator for Batch<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.messages.next()
    }
}

impl<T> Drop for Batch<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.messages.len() > 0 {
            self.mailbox.put_back(self.messages.by_ref().collect());
        }
    }
}

impl<T> AsFd for Mailbox<T> {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_there_again_before_what_came_since() {
        let mailbox = Mailbox::new().unwrap();
        for message in 1..=3 {
            mailbox.post(message);
        }
        let mut batch = mailbox.take();
        assert_eq!(batch.next(), Some(1));
        mailbox.post(4);
        drop(batch);
        let mut count = [0; 8];
        assert_eq!((&mailbox.eventfd).read(&mut count).unwrap(), 8, "it is announced");
        assert_eq!(mailbox.take().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(mailbox.take().next(), None);
    }
}
