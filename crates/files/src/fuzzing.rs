//! What the fuzz targets need of the parsers in here, in plain types. Only in their builds.

use crate::compression::{Accepted, Coding};
use crate::{Conditions, FileEntry, FileRules, Reply, evaluate};
use std::fs::File;
use std::io::{Error, Write};
use std::os::fd::FromRawFd;
use std::sync::OnceLock;

/// The sizes that [`file_reply`] has a file of.
pub const SIZES: [usize; 4] = [0, 1, 2, 1000];

/// The codings that an `Accept-Encoding` takes, the best first.
#[must_use]
pub fn accepted_codings(value: &[u8]) -> Vec<&'static str> {
    Accepted::parse(value).best().map(Coding::name).collect()
}

/// The status and the parts that a file of a size is answered with: If-Match, If-None-Match, If-Modified-Since, If-Range and Range.
///
/// # Panics
/// There is no file of that size.
#[must_use]
pub fn file_reply(size: usize, fields: [Option<&[u8]>; 5]) -> (u16, Vec<(u64, u64)>) {
    static ENTRIES: OnceLock<Vec<FileEntry>> = OnceLock::new();
    let entries = ENTRIES.get_or_init(|| SIZES.map(entry).into());
    let index = SIZES.iter().position(|&other| other == size).expect("one of SIZES");
    let [if_match, if_none_match, if_modified_since, if_range, range] = fields;
    let conditions = Conditions {
        if_match,
        if_none_match,
        if_modified_since,
        if_range,
        range,
        ..Conditions::default()
    };
    match evaluate(&entries[index], &conditions) {
        Reply::Full => (200, Vec::new()),
        Reply::NotModified => (304, Vec::new()),
        Reply::PreconditionFailed => (412, Vec::new()),
        Reply::NotSatisfiable => (416, Vec::new()),
        Reply::Partial { start, end } => (206, vec![(start, end)]),
        Reply::Parts(parts) => (206, parts.into()),
    }
}

fn entry(size: usize) -> FileEntry {
    // SAFETY: a literal that ends in NUL; a new descriptor that nobody else owns, or −1, which the assertion catches.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"gwanmun-fuzz".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "{}", Error::last_os_error());
        File::from_raw_fd(fd)
    };
    file.write_all(&vec![b'x'; size]).expect("memory");
    FileEntry::read(file, b"a.txt", &FileRules::default(), Vec::new()).expect("a regular file")
}
