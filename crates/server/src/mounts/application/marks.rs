//! The shared page in which a worker marks the requests that it has begun.

use crate::server::Pulse;
use gwanmun_gateway::{MARK_PAGE, MARK_STRIDE, PULSE_BEATS, PULSE_LAG};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Most links, and so I/O threads, that a page has room for.
pub(crate) const MAX_LINKS: usize = MARK_PAGE / MARK_STRIDE;

/// Our mapping of one worker's page. The worker writes to it at any time, so it is read as atomics and believed only as a
/// hint about that worker.
#[derive(Debug)]
pub(crate) struct Marks {
    page: NonNull<u8>,
}

// SAFETY: the mapping is only read, through atomics, and unmapped once by the owner.
unsafe impl Send for Marks {}
// SAFETY: as above.
unsafe impl Sync for Marks {}

impl Marks {
    /// A new page and the descriptor by which a worker maps it.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        // SAFETY: the name is a NUL-terminated literal; the result is checked.
        let fd = unsafe {
            libc::memfd_create(
                c"gwanmun-marks".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: no pointers. The seals keep a worker from shrinking the file, which would turn our reads into SIGBUS.
        let sized = unsafe {
            libc::ftruncate(fd.as_raw_fd(), MARK_PAGE as libc::off_t) == 0
                && libc::fcntl(
                    fd.as_raw_fd(),
                    libc::F_ADD_SEALS,
                    libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL,
                ) == 0
        };
        if !sized {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh shared mapping of a descriptor of that size; the result is checked.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                MARK_PAGE,
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(page.cast::<u8>()) {
            Some(page) if page.as_ptr().cast() != libc::MAP_FAILED => Ok((Self { page }, fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sequence number of the last request that the worker has begun on link number `link`.
    pub(crate) fn begun(&self, link: usize) -> u32 {
        self.load(link * MARK_STRIDE)
    }

    /// What the worker tells of its event loop.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse { beats: self.load(PULSE_BEATS), lag_ms: self.load(PULSE_LAG) }
    }

    fn load(&self, offset: usize) -> u32 {
        assert!(offset < MARK_PAGE && offset.is_multiple_of(4));
        // SAFETY: inside the page and aligned by the assertion, mapped until drop; the worker's stores are of aligned 32-bit
        // integers, and no other reference to this memory exists in this process.
        let word = unsafe { &*self.page.as_ptr().add(offset).cast::<AtomicU32>() };
        word.load(Ordering::Acquire)
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, not used after this.
        unsafe { libc::munmap(self.page.as_ptr().cast(), MARK_PAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_mark_written_through_the_descriptor_is_seen() {
        let (marks, fd) = Marks::new().unwrap();
        assert_eq!(marks.begun(1), 0);
        std::fs::File::from(fd.try_clone().unwrap()).write_at(&7u32.to_ne_bytes(), 64).unwrap();
        assert_eq!(marks.begun(1), 7);
        assert_eq!(marks.begun(0), 0);
    }

    #[test]
    fn a_worker_cannot_shrink_the_page() {
        let (_marks, fd) = Marks::new().unwrap();
        assert!(std::fs::File::from(fd).set_len(0).is_err());
    }
}
