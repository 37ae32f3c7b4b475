//! Whether sending a piece of a file would wait for the disk, and making it so that it would not.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file is sent, and looked for in the page cache, in pieces of so many bytes from its start: so that one fast client does not
/// hold up the others of its thread, and little has to be read before something can be sent.
pub const PIECE: u64 = 2 * 1024 * 1024;

/// Reads of `load`, in bytes.
const READ: usize = 128 * 1024;

/// So long after a piece was found in the page cache it is taken to be there.
const TRUSTED_MS: u32 = 1000;

/// So many pieces of a file are remembered at most.
const REMEMBERED: u64 = 64;

/// Which pieces of a file were found in the page cache a moment ago. To ask costs a twentieth of sending them.
#[derive(Debug)]
pub(crate) struct Residency {
    /// A piece's number in the upper half; below it when it was found, in milliseconds of the thread's clock. A piece has the
    /// slot of its number modulo their count.
    slots: Box<[AtomicU64]>,
}

impl Residency {
    /// Nothing is known yet of a file of so many bytes.
    pub(crate) fn new(size: u64) -> Residency {
        let count = size.div_ceil(PIECE).min(REMEMBERED);
        Residency { slots: (0..count).map(|_| AtomicU64::new(u64::MAX)).collect() }
    }

    /// Whether the piece at `offset` was found a moment before `now_ms`, or after it: the clock of a thread that has begun anew
    /// can be behind.
    pub(crate) fn is_known(&self, offset: u64, now_ms: u64) -> bool {
        self.slot(offset).is_some_and(|(slot, piece)| {
            let known = slot.load(Ordering::Relaxed);
            let age = (now_ms as u32).wrapping_sub(known as u32);
            known >> 32 == piece && age.min(age.wrapping_neg()) < TRUSTED_MS
        })
    }

    /// All of the piece at `offset` was found.
    pub(crate) fn note(&self, offset: u64, now_ms: u64) {
        if let Some((slot, piece)) = self.slot(offset) {
            slot.store(piece << 32 | now_ms & u64::from(u32::MAX), Ordering::Relaxed);
        }
    }

    fn slot(&self, offset: u64) -> Option<(&AtomicU64, u64)> {
        let piece = offset / PIECE;
        let index = piece.checked_rem(self.slots.len() as u64)?;
        Some((self.slots.get(index as usize)?, piece))
    }
}

/// Whether these bytes of a regular file are in the page cache. Does not block. Where the system cannot tell, true: of
/// those that wait ([`waits`]) nobody asks, so it is a file system that lives in memory.
///
/// Not a promise: pages can be dropped again right away. So do not ask again after [`load`], but send.
pub fn resident(fd: BorrowedFd<'_>, offset: u64, len: usize) -> bool {
    if len == 0 {
        return true;
    }
    // Reads run ahead in order, so the last byte says the most, and unlike `cachestat` a read tells pages that are there
    // from pages still being filled.
    let last = offset.saturating_add(len as u64 - 1);
    match has_byte(fd, last) {
        Some(true) => {}
        Some(false) => return false,
        None => return true,
    }
    if offset / page_size() == last / page_size() {
        return true;
    }
    match pages_in_cache(fd, offset, len) {
        Some(count) => count > last / page_size() - offset / page_size(),
        None => has_byte(fd, offset) != Some(false),
    }
}

/// Whether reading an open regular file can wait without the kernel telling beforehand, as on a network file system: then nothing but what
/// has been measured not to wait (`statx` without asking the server, opening by what is in memory) is done with it on an I/O thread.
/// BLOCKING.
pub(crate) fn waits(file: &File) -> bool {
    has_byte(file.as_fd(), 0).is_none() && !is_in_memory(file.as_fd())
}

/// Whether a file's file system has no other place for it than memory.
#[cfg(target_os = "linux")]
fn is_in_memory(fd: BorrowedFd<'_>) -> bool {
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    let mut statistics = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `statistics` has room for what is written, and is zeroed, which is a value of its integers.
    let kind = unsafe {
        if libc::fstatfs(fd.as_raw_fd(), statistics.as_mut_ptr()) != 0 {
            return false;
        }
        statistics.assume_init().f_type as u64 & u64::from(u32::MAX)
    };
    kind == libc::TMPFS_MAGIC as u64 || kind == RAMFS_MAGIC
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: BorrowedFd<'_>) -> bool {
    true
}

/// Whether the kernel tells of this open file what a read would wait for. Does not block.
pub fn tells(file: &File) -> bool {
    has_byte(file.as_fd(), 0).is_some()
}

/// Reads these bytes. BLOCKING.
pub fn fetch(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Appends up to so many bytes of a regular file that can be read without waiting, and gives how many; none are its end. `None`: they have to be
/// [loaded](load). Of files that [wait](waits) nobody asks, so where the kernel can't tell, the file system lives in memory.
///
/// # Errors
/// The file can't be read.
#[cfg(target_os = "linux")]
pub fn read_at_once(
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    out: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    let Ok(offset) = libc::off_t::try_from(offset) else { return Ok(Some(0)) };
    let start = out.len();
    out.resize(start + len, 0);
    let mut flags = libc::RWF_NOWAIT;
    loop {
        let piece = libc::iovec { iov_base: out[start..].as_mut_ptr().cast(), iov_len: len };
        // SAFETY: one iovec is passed, which points at `len` writable bytes of `out` that outlive the call.
        let count = unsafe { libc::preadv2(file.as_raw_fd(), &raw const piece, 1, offset, flags) };
        if let Ok(count) = usize::try_from(count) {
            out.truncate(start + count);
            return Ok(Some(count));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP) if flags != 0 => flags = 0,
            Some(libc::EAGAIN) => {
                out.truncate(start);
                return Ok(None);
            }
            _ => {
                out.truncate(start);
                return Err(error);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn read_at_once(
    _: BorrowedFd<'_>,
    _: u64,
    _: usize,
    _: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    Ok(None)
}

/// Appends these bytes of a regular file, if all of them can be read without waiting. `false`: nothing was appended.
#[cfg(target_os = "linux")]
pub fn read_resident(fd: BorrowedFd<'_>, offset: u64, len: usize, out: &mut Vec<u8>) -> bool {
    let Ok(offset) = libc::off_t::try_from(offset) else { return false };
    let start = out.len();
    out.resize(start + len, 0);
    let piece = libc::iovec { iov_base: out[start..].as_mut_ptr().cast(), iov_len: len };
    // SAFETY: one iovec is passed, which points at `len` writable bytes of `out` that outlive the call.
    let count =
        unsafe { libc::preadv2(fd.as_raw_fd(), &raw const piece, 1, offset, libc::RWF_NOWAIT) };
    let is_whole = usize::try_from(count) == Ok(len);
    if !is_whole {
        out.truncate(start);
    }
    is_whole
}

#[cfg(not(target_os = "linux"))]
pub fn read_resident(_: BorrowedFd<'_>, _: u64, _: usize, _: &mut Vec<u8>) -> bool {
    false
}

/// Reads these bytes into the page cache. BLOCKING. Stops early without an error at the end of the file.
pub fn load(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<()> {
    advise(fd, offset, len);
    let mut scratch = vec![0u8; len.min(READ)];
    let mut done = 0;
    while done < len {
        let piece = scratch.len().min(len - done);
        let Ok(position) = libc::off_t::try_from(offset.saturating_add(done as u64)) else { break };
        // SAFETY: `scratch` is writable for `piece` bytes, which are no more than its length.
        let count =
            unsafe { libc::pread(fd.as_raw_fd(), scratch.as_mut_ptr().cast(), piece, position) };
        match usize::try_from(count) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Whether the byte can be read without waiting; `None` if the file system cannot say. True past the end.
#[cfg(target_os = "linux")]
fn has_byte(fd: BorrowedFd<'_>, offset: u64) -> Option<bool> {
    let mut byte = 0u8;
    let piece = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let offset = libc::off_t::try_from(offset).ok()?;
    // SAFETY: one iovec is passed, which points at one writable byte that outlives the call.
    let count =
        unsafe { libc::preadv2(fd.as_raw_fd(), &raw const piece, 1, offset, libc::RWF_NOWAIT) };
    if count >= 0 {
        return Some(true);
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Some(false),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn has_byte(_fd: BorrowedFd<'_>, _offset: u64) -> Option<bool> {
    None
}

/// How many pages of a range whose end is there are in the page cache; `None` if the system cannot say (`cachestat`, Linux 6.5).
#[cfg(target_os = "linux")]
fn pages_in_cache(fd: BorrowedFd<'_>, offset: u64, len: usize) -> Option<u64> {
    /// Younger than libc's tables; the same on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;

    #[repr(C)]
    struct Range {
        offset: u64,
        length: u64,
    }

    #[repr(C)]
    #[derive(Default)]
    struct Statistics {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }

    let range = Range { offset, length: len as u64 };
    let mut statistics = Statistics::default();
    // SAFETY: both structs have the kernel's layout and outlive the call, which reads the first and writes the second.
    let result = unsafe {
        libc::syscall(SYS_CACHESTAT, fd.as_raw_fd(), &raw const range, &raw mut statistics, 0)
    };
    // The end is there, so none at all means that the pages are another file's (overlayfs), not that they are missing.
    (result == 0 && statistics.cached != 0).then_some(statistics.cached)
}

#[cfg(not(target_os = "linux"))]
fn pages_in_cache(_fd: BorrowedFd<'_>, _offset: u64, _len: usize) -> Option<u64> {
    None
}

/// Has the kernel fetch the whole range at once, not piece by piece as we come to it.
#[cfg(target_os = "linux")]
fn advise(fd: BorrowedFd<'_>, offset: u64, len: usize) {
    if let (Ok(offset), Ok(len)) = (libc::off_t::try_from(offset), libc::off_t::try_from(len)) {
        // SAFETY: takes no pointers. It is advice: failure changes nothing.
        unsafe { libc::posix_fadvise(fd.as_raw_fd(), offset, len, libc::POSIX_FADV_WILLNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_fd: BorrowedFd<'_>, _offset: u64, _len: usize) {}

fn page_size() -> u64 {
    // SAFETY: takes no pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096).max(1)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::scratch::Scratch;

    const SIZE: usize = 1 << 20;

    /// A file whose pages the kernel was asked to drop, which it may decline.
    fn dropped(scratch: &Scratch) -> File {
        let path = scratch.write("a", vec![1; SIZE]);
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        #[cfg(target_os = "linux")]
        // SAFETY: takes no pointers.
        unsafe {
            libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED)
        };
        file
    }

    #[test]
    fn a_piece_is_known_for_a_moment() {
        let residency = Residency::new(3 * PIECE);
        assert!(!residency.is_known(0, 0));
        for (noted, asked, expected) in [
            (2000, 2000, true),
            (2000, 2999, true),
            (2000, 3000, false),
            (2000, 1950, true),
            (2000, 1000, false),
            (u64::from(u32::MAX), u64::from(u32::MAX) + 50, true),
        ] {
            residency.note(PIECE, noted);
            assert_eq!(residency.is_known(PIECE, asked), expected, "{noted} {asked}");
            assert_eq!(residency.is_known(2 * PIECE - 1, asked), expected);
            assert!(!residency.is_known(0, asked) && !residency.is_known(2 * PIECE, asked));
        }
    }

    #[test]
    fn of_a_huge_file_the_last_pieces_are_known() {
        let residency = Residency::new(1 << 50);
        assert_eq!(residency.slots.len() as u64, REMEMBERED);
        for piece in [0, 1, REMEMBERED] {
            residency.note(piece * PIECE, 5);
        }
        let known = [0, 1, REMEMBERED].map(|piece| residency.is_known(piece * PIECE, 5));
        assert_eq!(known, [false, true, true]);
        // One that has no open file is never asked about.
        assert!(!Residency::new(0).is_known(0, 5));
    }

    #[test]
    fn loading_makes_resident() {
        let scratch = Scratch::new();
        let file = dropped(&scratch);
        load(file.as_fd(), 0, SIZE).unwrap();
        assert!(resident(file.as_fd(), 0, SIZE));
        assert!(resident(file.as_fd(), 4095, 2));
        assert!(resident(file.as_fd(), SIZE as u64 - 1, 1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn dropped_pages_are_not_resident_even_between_loaded_ones() {
        let scratch = Scratch::new();
        let file = dropped(&scratch);
        if has_byte(file.as_fd(), SIZE as u64 / 2) != Some(false) {
            return; // A file system in memory, or one that does not tell.
        }
        // The probe itself may have started reading.
        let file = dropped(&scratch);
        assert!(!resident(file.as_fd(), 0, SIZE));
        let file = dropped(&scratch);
        // Random access turns read-ahead off, so that the middle stays missing.
        // SAFETY: takes no pointers.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
        let mut page = [0; 4096];
        file.read_exact_at(&mut page, 0).unwrap();
        file.read_exact_at(&mut page, SIZE as u64 - 4096).unwrap();
        assert!(!resident(file.as_fd(), 0, SIZE));
        assert!(resident(file.as_fd(), 0, 4096));
    }

    #[test]
    fn nothing_and_past_the_end_wait_for_nothing() {
        let scratch = Scratch::new();
        let file = dropped(&scratch);
        assert!(resident(file.as_fd(), 0, 0));
        assert!(resident(file.as_fd(), 10 * SIZE as u64, 100));
        load(file.as_fd(), 10 * SIZE as u64, 100).unwrap();
        load(file.as_fd(), SIZE as u64 - 10, 100).unwrap();
        load(file.as_fd(), u64::MAX - 5, 100).unwrap();
    }
}
