//! Files that were compressed in the background: in memory, and in a folder that outlasts the process.

use super::entry::{FileEntry, Identity};
use crate::compression::{Coding, compress_well};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Files that were compressed, for all I/O threads.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// None: it would be no smaller.
    entries: HashMap<PackedKey, Option<Arc<FileEntry>>>,
    /// The oldest first.
    order: VecDeque<PackedKey>,
    bytes: usize,
}

/// A file, its coding, and its header lines: a file of two names has two types, and perhaps two rules.
pub(crate) type PackedKey = (Identity, Coding, Arc<[u8]>);

/// Memory for compressed files of one folder.
const PACKED_BYTES: usize = 64 * 1024 * 1024;
/// Files that are remembered as not worth it, too.
const PACKED_ENTRIES: usize = 20_000;

pub(crate) fn packed_key(entry: &FileEntry, coding: Coding) -> PackedKey {
    (entry.identity, coding, Arc::clone(&entry.headers))
}

impl Packed {
    /// `Some(None)`: it would be no smaller.
    pub(crate) fn get(&self, key: &PackedKey) -> Option<Option<Arc<FileEntry>>> {
        self.entries.get(key).cloned()
    }

    pub(crate) fn insert(&mut self, key: PackedKey, variant: Option<Arc<FileEntry>>) {
        self.bytes += variant.as_ref().map_or(0, |variant| variant.size as usize);
        if self.entries.insert(key.clone(), variant).is_none() {
            self.order.push_back(key);
        }
        self.shrink_to(PACKED_BYTES);
    }

    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        while (self.bytes > bytes || self.order.len() > PACKED_ENTRIES)
            && let Some(oldest) = self.order.pop_front()
        {
            let variant = self.entries.remove(&oldest).flatten();
            self.bytes -= variant.map_or(0, |variant| variant.size as usize);
        }
    }
}

/// What is in a [`PackedFolder`] at the most, in bytes.
const FOLDER_BYTES: u64 = 256 * 1024 * 1024;

/// What the name of a file begins with that is being written, and after which time nobody does any more.
const UNFINISHED: &str = ".unfinished-";
const ABANDONED: Duration = Duration::from_secs(3600);

/// Bytes of a SHA-256.
const DIGEST: usize = 32;

/// A folder with what was compressed, for later processes. A file's name is the SHA-256 of the content that it was made of, with
/// the coding as its extension; it holds the SHA-256 of what follows, for a file may be torn by a crash, and then that.
#[derive(Debug)]
pub struct PackedFolder {
    path: PathBuf,
    most_bytes: u64,
    has_complained: AtomicBool,
}

impl PackedFolder {
    /// The folder is made when it is needed.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), most_bytes: FOLDER_BYTES, has_complained: AtomicBool::new(false) }
    }

    /// What the operator is told of a failure, once.
    pub fn complaint(&self, error: &io::Error) -> Option<String> {
        let path = self.path.display();
        (!self.has_complained.swap(true, Ordering::Relaxed)).then(|| {
            format!(
                "compressionCache: {path} cannot be used, so compressed files are kept in memory alone: {error}."
            )
        })
    }

    /// What is kept for this content, or has been made now and is kept; with why it could not be. BLOCKING.
    pub fn pack(&self, coding: Coding, content: &[u8]) -> io::Result<(Vec<u8>, Option<io::Error>)> {
        let file = self.path.join(name_of(coding, content));
        if let Some(packed) = recall(&file) {
            return Ok((packed, None));
        }
        let packed = compress_well(coding, content)?;
        let kept = self.keep(&file, &packed).and_then(|()| self.shrink());
        Ok((packed, kept.err()))
    }

    fn keep(&self, file: &Path, packed: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        // Whoever reads sees all of it or nothing.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.path.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let written = write_new(&unfinished, packed).and_then(|()| fs::rename(&unfinished, file));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes what was not used for longest, while it is more than the folder may hold. Other files are none of its business.
    fn shrink(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            if is_name(name) {
                let used = (metadata.mtime(), metadata.mtime_nsec());
                kept.push((used, metadata.size(), entry.path()));
            } else if name.starts_with(UNFINISHED)
                && metadata.modified()?.elapsed().is_ok_and(|age| age > ABANDONED)
            {
                fs::remove_file(entry.path())?;
            }
        }
        kept.sort_unstable();
        let mut bytes: u64 = kept.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in kept {
            if bytes <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            bytes -= size;
        }
        Ok(())
    }
}

/// The packed bytes of a file, if all of them are there. It counts as used.
fn recall(path: &Path) -> Option<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let mut kept = Vec::new();
    (&file).read_to_end(&mut kept).ok()?;
    let (digest, packed) = kept.split_at_checked(DIGEST)?;
    if *digest != *Sha256::digest(packed) {
        return None;
    }
    // Where that is not allowed, it is removed earlier.
    let _ = file.set_modified(SystemTime::now());
    kept.drain(..DIGEST);
    Some(kept)
}

fn write_new(path: &Path, packed: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&Sha256::digest(packed))?;
    file.write_all(packed)
}

fn name_of(coding: Coding, content: &[u8]) -> String {
    let mut name = String::new();
    for byte in Sha256::digest(content) {
        let _ = write!(name, "{byte:02x}");
    }
    name + coding.extension()
}

fn is_name(name: &str) -> bool {
    name.split_at_checked(2 * DIGEST).is_some_and(|(digest, extension)| {
        digest.bytes().all(|byte| byte.is_ascii_hexdigit())
            && Coding::ALL.iter().any(|coding| coding.extension() == extension)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::time::UNIX_EPOCH;

    const CONTENT: [&[u8]; 3] = [&[b'a'; 5000], &[b'b'; 5000], &[b'c'; 5000]];

    fn names(folder: &PackedFolder) -> Vec<String> {
        let entries = fs::read_dir(&folder.path).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Packs, and tells whether it was there by what cannot be made: bytes of its own.
    fn plant(folder: &PackedFolder, coding: Coding, content: &[u8], packed: &[u8]) -> PathBuf {
        let file = folder.path.join(name_of(coding, content));
        folder.keep(&file, packed).unwrap();
        file
    }

    #[test]
    fn what_is_kept_is_not_made_again() {
        let scratch = Scratch::new();
        let folder = PackedFolder::new(&scratch.path().join("a/b"));
        let (packed, error) = folder.pack(Coding::Gzip, CONTENT[0]).unwrap();
        assert!(error.is_none() && packed.len() < 100);
        assert_eq!(names(&folder), [name_of(Coding::Gzip, CONTENT[0])]);
        plant(&folder, Coding::Gzip, CONTENT[0], b"planted");
        assert_eq!(folder.pack(Coding::Gzip, CONTENT[0]).unwrap().0, b"planted");
        assert_ne!(folder.pack(Coding::Brotli, CONTENT[0]).unwrap().0, b"planted");
        assert_ne!(folder.pack(Coding::Gzip, CONTENT[1]).unwrap().0, b"planted");
    }

    #[test]
    fn what_is_torn_is_made_again() {
        let scratch = Scratch::new();
        let folder = PackedFolder::new(scratch.path());
        let (packed, _) = folder.pack(Coding::Zstd, CONTENT[0]).unwrap();
        let file = folder.path.join(name_of(Coding::Zstd, CONTENT[0]));
        let whole = fs::read(&file).unwrap();
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            assert_eq!(recall(&file), None);
        }
        fs::write(&file, vec![0; whole.len()]).unwrap();
        assert_eq!(folder.pack(Coding::Zstd, CONTENT[0]).unwrap().0, packed);
        assert_eq!(recall(&file), Some(packed));
    }

    #[test]
    fn what_was_not_used_for_longest_goes_and_what_is_not_ours_stays() {
        let scratch = Scratch::new();
        let folder = PackedFolder { most_bytes: 2500, ..PackedFolder::new(scratch.path()) };
        scratch.write("notes.gz", vec![0; 5000]);
        let left = scratch.write(".unfinished-1-1", "left by a crash");
        File::options().write(true).open(left).unwrap().set_modified(UNIX_EPOCH).unwrap();
        scratch.write(".unfinished-2-1", "being written");
        for (age, content) in CONTENT[..2].iter().enumerate() {
            let file = plant(&folder, Coding::Gzip, content, &[0; 1000]);
            let file = File::options().write(true).open(file).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(age as u64)).unwrap();
        }
        // The older one is used.
        folder.pack(Coding::Gzip, CONTENT[0]).unwrap();
        plant(&folder, Coding::Gzip, CONTENT[2], &[0; 1000]);
        folder.shrink().unwrap();
        let mut expected = vec![
            ".unfinished-2-1".to_owned(),
            name_of(Coding::Gzip, CONTENT[0]),
            name_of(Coding::Gzip, CONTENT[2]),
            "notes.gz".to_owned(),
        ];
        expected.sort();
        assert_eq!(names(&folder), expected);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_of_and_nothing_is_lost() {
        let scratch = Scratch::new();
        let folder = PackedFolder::new(&scratch.write("file", "x").join("folder"));
        let (packed, error) = folder.pack(Coding::Gzip, CONTENT[0]).unwrap();
        assert!(!packed.is_empty());
        assert_eq!(error.unwrap().raw_os_error(), Some(libc::ENOTDIR));
    }
}
