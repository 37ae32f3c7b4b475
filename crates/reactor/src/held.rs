//! Open files whose closing is nobody's business on an I/O thread.

use crate::blocking::Lane;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// An open file. Where closing it may wait, a thread of its lane does that: on a network file system, and for a file without a name, whose
/// blocks are given back then.
#[derive(Debug)]
pub struct HeldFile {
    file: ManuallyDrop<File>,
    lane: Arc<Lane>,
    waits: bool,
}

impl HeldFile {
    /// `waits`: nothing may be done with the file on an I/O thread, for it can wait, and nobody can tell whether it would.
    #[inline]
    pub fn new(file: File, lane: &Arc<Lane>, waits: bool) -> Self {
        Self { file: ManuallyDrop::new(file), lane: Arc::clone(lane), waits }
    }

    /// The threads that may wait for it.
    #[inline]
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    #[inline]
    pub fn waits(&self) -> bool {
        self.waits
    }
}

impl Deref for HeldFile {
    type Target = File;

    #[inline]
    fn deref(&self) -> &File {
        &self.file
    }
}

impl AsFd for HeldFile {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for HeldFile {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is the only place that takes it, and nobody uses it after a drop.
        let file = unsafe { ManuallyDrop::take(&mut self.file) };
        if self.waits {
            self.lane.close(file);
        }
    }
}

/// A file that nothing waits for, with a lane of its own: for tests and fuzz targets, of other crates too.
impl From<File> for HeldFile {
    fn from(file: File) -> Self {
        Self::new(file, &Lane::of_folder("a test".to_owned()), false)
    }
}
