//! Static files, in pure pieces: looking a path up beneath a root, remembering what was found, deciding the reply, and
//! telling whether sending it would block.
//!
//! [`FileRoot`], [`FileEntry::read`] and [`load`] block and belong in the blocking pool; everything else is for the I/O
//! thread. A request's way through here:
//!
//! 1. [`is_servable`] refuses names that are never served, without a system call.
//! 2. [`FileCache::get`] answers hot paths; a miss goes to [`FileRoot::find`], a stale entry to [`FileRoot::revalidate`] if
//!    [`FileRoot::is_unchanged`] cannot tell, and the answer goes back through [`FileCache::insert`].
//! 3. [`evaluate`] turns the request's conditions and range into a [`Reply`]; [`write_headers`] writes its header fields.
//! 4. The body is [`FileEntry::content`], or is sent from [`FileEntry::fd`] as far as it is [resident](FileEntry::is_resident).

use std::sync::Arc;

mod allowed;
mod beneath;
mod cache;
pub mod compression;
mod conditional;
mod content_type;
mod entry;
#[cfg(fuzzing)]
pub mod fuzzing;
mod listing;
mod packed;
mod residency;
mod root;
mod rules;
pub mod scripts;

#[cfg(test)]
mod scratch;

pub use allowed::AllowedFolders;
pub use beneath::Symlinks;
pub use cache::{Cached, FileCache, FileCacheLimits, Known};
pub use conditional::{Conditions, PARTS_END, Reply, evaluate, part_head, write_headers};
pub use entry::{FileEntry, Identity, forbids_transform};
pub use packed::PackedFolder;
pub use residency::{PIECE, fetch, load, read_at_once, read_resident, resident, tells};
pub use root::{FileRoot, Found, Sighting, is_servable};
pub use rules::{FileRules, Pattern};

/// The files of a mount: where they are, and how they are served.
#[derive(Debug)]
pub struct Files {
    pub root: FileRoot,
    pub rules: FileRules,
    /// Where what was compressed of them is kept.
    pub packed: Option<Arc<PackedFolder>>,
}
