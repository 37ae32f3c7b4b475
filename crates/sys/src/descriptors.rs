//! Who may have the last file descriptors of the process (H43, H62).
//!
//! The kernel always gives the lowest number that is free, so a new descriptor's number tells how many there are. Of the process's limit, a part is
//! for what keeps the server going: a worker that is started needs some for each I/O thread, a reload needs them for all workers at
//! once, and the control socket has to answer. Beneath that, a part is for files that are opened whoever is connected. Clients' connections have the rest.

use crate::syscall;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// What keeps the server going has so many; the process's, since the table of descriptors is.
static FOR_WORKERS: AtomicU64 = AtomicU64::new(0);

/// What a client causes to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Connection,
    /// A file that is served, or that a body is buffered in.
    File,
}

/// Keeps so many for what keeps the server going. Of several servers in a process, the one that wants most decides.
pub fn keep_for_workers(count: u64) {
    FOR_WORKERS.fetch_max(count, Ordering::Relaxed);
}

/// What an operator is told if the limit is so low that clients get half of it and the rest is too little; nothing if it is not.
pub fn complaint(for_workers: u64) -> Option<String> {
    let limit = syscall::descriptor_limit();
    (for_workers > limit / 2).then(|| {
        format!(
            "The limit of {limit} file descriptors is low: a reload of these workers may need {for_workers}, and clients leave it {}. \
             Raise it (ulimit -n, or LimitNOFILE= of systemd), or have fewer workers or threads.",
            limit / 2
        )
    })
}

/// Whether a new descriptor belongs to those that are kept for others.
#[inline]
pub fn is_kept(fd: BorrowedFd<'_>, purpose: Purpose) -> bool {
    let most = most(syscall::descriptor_limit(), FOR_WORKERS.load(Ordering::Relaxed), purpose);
    fd.as_raw_fd() as u64 >= most
}

/// A file's descriptor, unless it belongs to those that are kept.
///
/// # Errors
/// It does: as if there were none.
#[inline]
pub fn checked<T: AsFd>(file: T) -> io::Result<T> {
    if is_kept(file.as_fd(), Purpose::File) {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    Ok(file)
}

/// How many files a thread may keep open for later, of so many threads.
pub fn files_to_keep(threads: usize) -> usize {
    let share = syscall::descriptor_limit() / 16 / threads.max(1) as u64;
    usize::try_from(share).unwrap_or(usize::MAX).clamp(1, 512)
}

/// Whether an error says that there are no more descriptors, no memory for one, or too many on their way to other processes.
#[inline]
pub fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ETOOMANYREFS)
    )
}

fn most(limit: u64, for_workers: u64, purpose: Purpose) -> u64 {
    // Who has set so low a limit has been told at the start.
    let rest = limit - for_workers.min(limit / 2);
    match purpose {
        Purpose::File => rest,
        Purpose::Connection => rest - (limit / 16).min(128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h62_clients_leave_what_files_and_workers_need() {
        let most_of = |limit, for_workers| {
            [Purpose::Connection, Purpose::File].map(|purpose| most(limit, for_workers, purpose))
        };
        assert_eq!(most_of(32, 0), [30, 32]);
        assert_eq!(most_of(256, 40), [200, 216]);
        assert_eq!(most_of(1024, 88), [872, 936]);
        assert_eq!(most_of(1024, 5000), [448, 512]);
        assert_eq!(most_of(1 << 20, 100), [(1 << 20) - 228, (1 << 20) - 100]);
    }
}
