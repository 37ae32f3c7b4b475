//! Request bodies in temporary files, and how much of them there may be together.

use gwanmun_reactor::HeldFile;
use gwanmun_sys::descriptors;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of all bodies that are in files, or are going to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spooled(Arc<AtomicU64>);

impl Spooled {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The share of a body that has none yet.
    pub(crate) fn share(&self) -> Share {
        Share { all: self.clone(), bytes: 0 }
    }
}

/// What one body has of all that is spooled. It is given back with this.
#[derive(Debug)]
pub(crate) struct Share {
    all: Spooled,
    bytes: u64,
}

impl Share {
    /// Takes so many bytes more. `false`: all bodies together would have more than `limit`.
    pub(crate) fn grow(&mut self, bytes: u64, limit: u64) -> bool {
        let before = self.all.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > limit {
            self.all.0.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file without a name: it is gone when the last descriptor is, whatever happens to the process. BLOCKING.
///
/// # Errors
/// As open; EMFILE if only descriptors that are kept are left.
pub(crate) fn temporary_file(directory: &Path) -> io::Result<File> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let file = match options.clone().custom_flags(libc::O_TMPFILE).open(directory) {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
            ) =>
        {
            // A file system without nameless files: a name that is taken away at once.
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!(".gwanmun-body-{}-{serial}", std::process::id()));
            let file = options.create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            file
        }
        result => result?,
    };
    descriptors::checked(file)
}

/// A body that has been written to its file.
#[derive(Debug)]
pub(crate) struct SpooledBody {
    pub(crate) file: Arc<HeldFile>,
    pub(crate) length: u64,
    /// Held for as long as the body is.
    pub(crate) _share: Share,
}
