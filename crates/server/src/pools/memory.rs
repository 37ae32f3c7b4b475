//! The memory that is shared with a worker: a page in which it marks the requests that it has begun, and buffers in which it
//! is handed pieces of request bodies.

use gwanmun_gateway::frame::MAX_PAYLOAD;
use gwanmun_gateway::{
    MARK_PAGE, MARK_STRIDE, PULSE_BEATS, PULSE_LAG, SHARED_BUFFER, SHARED_BUFFERS, SHARED_BYTES,
};
use gwanmun_sys::syscall::{self, Transfer};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Most links, and so I/O threads, that a page has room for.
pub(crate) const MAX_LINKS: usize = MARK_PAGE / MARK_STRIDE;

/// What a worker tells of its event loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Counts its beats; 0: it does not tell.
    pub beats: u32,
    /// By how many milliseconds the last one was late.
    pub lag_ms: u32,
}

/// Our mapping of one worker's memory. The worker writes to it at any time, so what is read of it is read as atomics and
/// believed only as a hint about that worker.
#[derive(Debug)]
pub(crate) struct WorkerMemory {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: the mapping is used through atomics, but for the bytes of the buffers, which the kernel alone writes and nobody reads
// here; it is unmapped once by the owner.
unsafe impl Send for WorkerMemory {}
// SAFETY: as above.
unsafe impl Sync for WorkerMemory {}

impl WorkerMemory {
    /// Memory for so many links, and the descriptor by which a worker maps it. Buffers that are never used take none.
    pub(crate) fn new(links: usize) -> io::Result<(Self, OwnedFd)> {
        let size = MARK_PAGE + links * SHARED_BUFFERS * SHARED_BUFFER;
        // SAFETY: the name is a NUL-terminated literal; the result is checked.
        let fd = unsafe {
            libc::memfd_create(
                c"gwanmun-worker".as_ptr(),
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
            libc::ftruncate(fd.as_raw_fd(), size as libc::off_t) == 0
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
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok((Self { start, size }, fd))
            }
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

    /// The first of a link's shared buffers that the worker does not have.
    pub(crate) fn free_buffer(&self, link: usize) -> Option<usize> {
        (0..SHARED_BUFFERS)
            .find(|&buffer| self.word(buffer_at(link, buffer)).load(Ordering::Acquire) == 0)
    }

    /// Receives into a shared buffer, `most` bytes at the most, and gives it to the worker if something came.
    pub(crate) fn receive(
        &self,
        link: usize,
        buffer: usize,
        fd: BorrowedFd<'_>,
        most: usize,
    ) -> io::Result<Transfer> {
        let at = buffer_at(link, buffer);
        assert!(buffer < SHARED_BUFFERS && at + SHARED_BUFFER <= self.size);
        let state = self.word(at);
        // SAFETY: inside the mapping by the assertion. The kernel alone writes there, and nothing in this process reads it.
        let received = unsafe {
            syscall::receive_at(
                fd,
                self.start.as_ptr().add(at + SHARED_BYTES),
                most.min(MAX_PAYLOAD),
            )
        };
        if matches!(received, Ok(Transfer::Bytes(1..))) {
            state.store(1, Ordering::Release);
        }
        received
    }

    fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset < self.size && offset.is_multiple_of(4));
        // SAFETY: inside the mapping and aligned by the assertion, mapped until drop; what is at this place is used as an
        // aligned 32-bit integer alone, by both sides.
        unsafe { &*self.start.as_ptr().add(offset).cast::<AtomicU32>() }
    }
}

fn buffer_at(link: usize, buffer: usize) -> usize {
    MARK_PAGE + (link * SHARED_BUFFERS + buffer) * SHARED_BUFFER
}

impl Drop for WorkerMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, not used after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_mark_written_through_the_descriptor_is_seen() {
        let (memory, fd) = WorkerMemory::new(2).unwrap();
        assert_eq!(memory.begun(1), 0);
        std::fs::File::from(fd.try_clone().unwrap()).write_at(&7u32.to_ne_bytes(), 64).unwrap();
        assert_eq!(memory.begun(1), 7);
        assert_eq!(memory.begun(0), 0);
    }

    #[test]
    fn a_worker_cannot_shrink_it() {
        let (_memory, fd) = WorkerMemory::new(2).unwrap();
        assert!(std::fs::File::from(fd).set_len(0).is_err());
    }
}
