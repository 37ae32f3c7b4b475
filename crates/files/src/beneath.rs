//! Opening a file by a path that must not lead out of a directory, unless its links may.

use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};

/// Which symbolic links beneath a folder are followed.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Symlinks {
    /// Relative ones that stay in the folder.
    #[default]
    Inside,
    Never,
    /// Wherever they lead.
    Anywhere,
}

/// How a path is kept beneath the root, and where its links may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolution {
    pub way: Way,
    links: Symlinks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The kernel sees to it, in one `openat2`.
    Kernel,
    /// We walk segment by segment, where `openat2` is missing (macOS) or kept from us (older seccomp profiles).
    Walk,
}

/// Flags to read a file. Non-blocking, or opening a FIFO would wait for its writer (H76).
pub(crate) const READ: i32 = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
/// Flags for a descriptor that names a file and does not open it. `openat2` takes no others beside `O_PATH`.
#[cfg(target_os = "linux")]
pub(crate) const STAT: i32 = libc::O_PATH | libc::O_CLOEXEC;
/// Flags to look at a file; elsewhere there are none but those that read.
#[cfg(not(target_os = "linux"))]
pub const STAT: i32 = READ;

/// As the kernel's own limit for one lookup.
const MAX_SYMLINKS: u32 = 40;

impl Resolution {
    /// What works here. Asked once, as later a refusal could as well be about a file.
    pub(crate) fn of(directory: BorrowedFd<'_>, links: Symlinks) -> Resolution {
        let by_kernel = Resolution { way: Way::Kernel, links };
        match by_kernel.open(directory, b".", STAT | libc::O_DIRECTORY) {
            Ok(_) => by_kernel,
            Err(_) => Resolution { way: Way::Walk, links },
        }
    }

    /// Opens a relative path without `..`. A link that may not be followed is EXDEV or ELOOP.
    pub(crate) fn open(
        self,
        directory: BorrowedFd<'_>,
        relative: &[u8],
        flags: i32,
    ) -> io::Result<File> {
        match (self.way, self.links) {
            (Way::Kernel, links) => open_in_kernel(directory, relative, flags, links, Wait::Yes),
            (Way::Walk, Symlinks::Anywhere) => open_at(directory, relative, flags),
            (Way::Walk, links) => open_walking(directory, relative, flags, links),
        }
    }

    /// The same to look at a file, if all of the path is in the kernel's memory; else `WouldBlock`, or what the kernel says that
    /// cannot do so (before Linux 5.12).
    pub(crate) fn open_at_once(
        self,
        directory: BorrowedFd<'_>,
        relative: &[u8],
    ) -> io::Result<File> {
        match self.way {
            Way::Kernel => open_in_kernel(directory, relative, STAT, self.links, Wait::No),
            Way::Walk => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Whether a look-up may wait for a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

#[cfg(target_os = "linux")]
fn open_in_kernel(
    directory: BorrowedFd<'_>,
    relative: &[u8],
    flags: i32,
    links: Symlinks,
    wait: Wait,
) -> io::Result<File> {
    /// A rename elsewhere on the system can make the kernel unsure about a `..` in a link; it asks to try again.
    const ATTEMPTS: u32 = 16;

    let path = terminated(relative)?;
    // SAFETY: `open_how` is three integers, for which zero is a value; the struct cannot be written out in full because
    // the kernel may extend it.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags as u64;
    how.resolve = match links {
        Symlinks::Inside => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS,
        Symlinks::Never => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
        Symlinks::Anywhere => libc::RESOLVE_NO_MAGICLINKS,
    };
    if wait == Wait::No {
        how.resolve |= libc::RESOLVE_CACHED;
    }
    let mut attempt = 0;
    loop {
        // SAFETY: `path` is NUL-terminated and `how` is an initialised `open_how` whose size is passed; both outlive the
        // call, which only reads them.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                directory.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        if fd >= 0 {
            // SAFETY: the kernel has just given us this descriptor, nobody else knows it.
            return Ok(unsafe { File::from_raw_fd(fd as i32) });
        }
        let error = io::Error::last_os_error();
        attempt += 1;
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) if wait == Wait::Yes && attempt < ATTEMPTS => {}
            _ => return Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn open_in_kernel(
    _directory: BorrowedFd<'_>,
    _relative: &[u8],
    _flags: i32,
    _links: Symlinks,
    _wait: Wait,
) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What `RESOLVE_BENEATH` does, by hand: never lets the kernel follow a link, reads links itself, and answers `..` from
/// the directories that it holds open, so that renaming one meanwhile leads nowhere else (H75).
fn open_walking(
    root: BorrowedFd<'_>,
    relative: &[u8],
    flags: i32,
    symlinks: Symlinks,
) -> io::Result<File> {
    const ENTER: i32 = STAT | libc::O_DIRECTORY | libc::O_NOFOLLOW;

    let mut inner: Vec<File> = Vec::new();
    let mut ahead: Vec<Vec<u8>> = segments(relative).collect();
    let mut links = 0;
    while let Some(segment) = ahead.pop() {
        match &segment[..] {
            b"" | b"." => continue,
            b".." => {
                inner.pop().ok_or_else(|| io::Error::from_raw_os_error(libc::EXDEV))?;
                continue;
            }
            _ => {}
        }
        let here = inner.last().map_or(root, AsFd::as_fd);
        if let Some(target) = read_link(here, &segment)? {
            links += 1;
            if links > MAX_SYMLINKS || symlinks == Symlinks::Never {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            if target.starts_with(b"/") {
                return Err(io::Error::from_raw_os_error(libc::EXDEV));
            }
            ahead.extend(segments(&target));
        } else if ahead.is_empty() {
            return open_at(here, &segment, flags | libc::O_NOFOLLOW);
        } else {
            let next = open_at(here, &segment, ENTER)?;
            inner.push(next);
        }
    }
    // The path ended in `.`, `..` or a slash: the directory reached.
    open_at(inner.last().map_or(root, AsFd::as_fd), b".", flags)
}

/// The segments of a path, last one first.
fn segments(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec)
}

fn open_at(directory: BorrowedFd<'_>, name: &[u8], flags: i32) -> io::Result<File> {
    let name = terminated(name)?;
    loop {
        // SAFETY: `name` is NUL-terminated and outlives the call, which only reads it.
        let fd = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr().cast(), flags) };
        if fd >= 0 {
            // SAFETY: the kernel has just given us this descriptor, nobody else knows it.
            return Ok(unsafe { File::from_raw_fd(fd) });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Where a link leads, or `None` if the name is of something else.
fn read_link(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let name = terminated(name)?;
    let mut target = vec![0; libc::PATH_MAX as usize];
    // SAFETY: `name` is NUL-terminated, and `target` is writable for the length that is passed.
    let length = unsafe {
        libc::readlinkat(
            directory.as_raw_fd(),
            name.as_ptr().cast(),
            target.as_mut_ptr().cast(),
            target.len(),
        )
    };
    if let Ok(length) = usize::try_from(length) {
        target.truncate(length);
        return Ok(Some(target));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL) => Ok(None),
        _ => Err(error),
    }
}

/// The path as C wants it. Refuses an inner NUL, which would cut it (H71).
fn terminated(path: &[u8]) -> io::Result<Vec<u8>> {
    if path.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    Ok([path, b"\0"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_confines_where_it_can() {
        let scratch = Scratch::new();
        let folder = File::open(scratch.path()).unwrap();
        for links in [Symlinks::Inside, Symlinks::Never, Symlinks::Anywhere] {
            let can = open_in_kernel(folder.as_fd(), b".", READ, links, Wait::Yes).is_ok();
            let expected = if can { Way::Kernel } else { Way::Walk };
            assert_eq!(Resolution::of(folder.as_fd(), links).way, expected, "{links:?}");
        }
    }
}
