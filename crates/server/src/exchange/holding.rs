//! Counts of what is held for a client, in bytes and in descriptors.

use std::ops::{AddAssign, SubAssign};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) bytes: u32,
    /// Open files.
    pub(crate) files: u32,
}

impl Holding {
    /// Beyond 4 GiB it counts as that.
    pub(crate) fn new(bytes: usize, files: usize) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { bytes: count(bytes), files: count(files) }
    }
}

impl AddAssign for Holding {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.files = self.files.saturating_add(other.files);
    }
}

impl SubAssign for Holding {
    fn sub_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.files = self.files.saturating_sub(other.files);
    }
}
