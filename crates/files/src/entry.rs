//! One file as it was found: what its responses need, computed once.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::residency::{PIECE, Residency, resident};
use super::rules::FileRules;
use crate::compression::{Accepted, Coding, LEAST};
use gwanmun_reactor::HeldFile;
use gwanmun_sys::descriptors;

/// Files up to this many bytes are kept in memory whole.
pub(crate) const INLINE_LIMIT: u64 = 32 * 1024;

/// Larger files are not compressed: what is made is kept in memory.
const MOST_PACKED: u64 = 8 * 1024 * 1024;

/// A file changed more recently than this may change again without its time stamps moving, because the kernel's clock for
/// them ticks (at worst every 10 ms); what was read from it is not kept.
const SETTLE_TIME: Duration = Duration::from_millis(50);

/// A regular file: its metadata, validators and header fields, and either its content or an open descriptor. All of it is
/// of one `fstat` (H82).
#[derive(Debug)]
pub struct FileEntry {
    /// Length in bytes when the file was looked at.
    pub size: u64,
    /// Last modification in whole seconds since the epoch, never later than the moment the file was looked at
    /// (RFC 9110 §8.8.2.1).
    pub modified: u64,
    /// Tells whether a file found later is this one, unchanged.
    pub identity: Identity,
    /// A strong entity tag, with its quotes.
    pub etag: Box<str>,
    /// [`modified`](Self::modified) as an HTTP date.
    pub last_modified: Box<str>,
    /// The Content-Type, ETag, Last-Modified and Accept-Ranges field lines and those of the rules, each ended by CRLF.
    pub headers: Arc<[u8]>,
    /// The whole content of a small file. `None` for large ones and for those that were changing; send these from
    /// [`fd`](Self::fd).
    pub content: Option<Arc<[u8]>>,
    validators: Range<usize>,
    file: Option<HeldFile>,
    /// The same in other codings, by [`Coding`].
    variants: [Mutex<Variant>; 3],
    /// It may be compressed; else only what lies beside it is offered.
    is_compressible: bool,
    /// A thread is compressing it.
    is_packing: AtomicBool,
    residency: Residency,
}

/// What is known of a file in another coding.
#[derive(Debug, Default)]
enum Variant {
    #[default]
    Unknown,
    /// It would be no smaller.
    Pointless,
    /// A file beside it.
    Beside(Arc<FileEntry>),
    /// Made of it. Who has made it holds it within a budget, and this must not outlast that.
    Packed(Weak<FileEntry>),
}

/// What makes a file the same file with the same content. The change time is in it, so that a file whose modification
/// time was set back by a copying tool, or whose permissions were taken away, counts as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The device the file is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub modified_ns: i128,
    /// Change time in nanoseconds since the epoch.
    pub changed_ns: i128,
}

impl FileEntry {
    /// Describes an open regular file and reads it if it is small. BLOCKING. `name`, which is relative, and the rules give its fields;
    /// `beside` are the files beside it that hold it in other codings.
    pub fn read(
        file: impl Into<HeldFile>,
        name: &[u8],
        rules: &FileRules,
        beside: Vec<(Coding, HeldFile)>,
    ) -> io::Result<FileEntry> {
        let file = file.into();
        let (identity, content) = read_consistently(&file)?;
        let now = SystemTime::now();
        let modified = clamp_to_past(identity.modified_ns, now);
        let etag = entity_tag(&identity, content.as_deref());
        let last_modified = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(modified));
        let content_type = rules.content_type(name);
        let type_line = format!("Content-Type: {content_type}\r\n");
        let validator_lines = format!("ETag: {etag}\r\nLast-Modified: {last_modified}\r\n");
        let mut headers = format!("{type_line}{validator_lines}").into_bytes();
        let rule_lines = rules.lines_of(name);
        headers.extend_from_slice(&rule_lines);
        let is_compressible = rules.may_be_coded(name)
            && (LEAST..=MOST_PACKED).contains(&identity.size)
            && !forbids_transform(&rule_lines);
        if is_compressible || !beside.is_empty() {
            headers.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        }
        // A 304 has all but the type and what is about the body.
        let validators = type_line.len()..headers.len();
        // Whoever asks gets it so: there is no other (RFC 9110 §12.5.3).
        if rules.is_svgz(name) {
            headers.extend_from_slice(b"Content-Encoding: gzip\r\n");
        }
        headers.extend_from_slice(b"Accept-Ranges: bytes\r\n");

        let content: Option<Arc<[u8]>> =
            content.filter(|_| identity.is_settled(now)).map(Arc::from);
        let entry = FileEntry {
            size: identity.size,
            modified,
            identity,
            etag: etag.into(),
            last_modified: last_modified.into(),
            headers: headers.into(),
            validators,
            file: if content.is_some() { None } else { Some(descriptors::checked(file)?) },
            content,
            variants: Default::default(),
            is_compressible,
            is_packing: AtomicBool::new(false),
            residency: Residency::new(identity.size),
        };
        for (coding, file) in beside {
            // One that cannot be read is as good as absent.
            if let Ok((identity, content)) = read_consistently(&file) {
                let content = content.filter(|_| identity.is_settled(now)).map(Arc::from);
                let file = if content.is_some() { None } else { Some(file) };
                let variant = Arc::new(entry.variant(coding, identity, content, file));
                *entry.lock_variant(coding) = Variant::Beside(variant);
            }
        }
        Ok(entry)
    }

    /// This file in another coding.
    fn variant(
        &self,
        coding: Coding,
        identity: Identity,
        content: Option<Arc<[u8]>>,
        file: Option<HeldFile>,
    ) -> FileEntry {
        let modified = clamp_to_past(identity.modified_ns, SystemTime::now());
        let last_modified = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(modified));
        let tag = entity_tag(&identity, content.as_deref());
        let etag = format!("{}-{}\"", tag.trim_end_matches('"'), coding.name());
        let type_line = &self.headers[..self.validators.start];
        let lines = self.validator_lines().split_inclusive(|&byte| byte == b'\n');
        // Behind ETag and Last-Modified: what the rules say, and Vary.
        let others = lines.skip(2).flatten().copied();
        let mut headers = type_line.to_vec();
        let start = headers.len();
        headers.extend(format!("ETag: {etag}\r\nLast-Modified: {last_modified}\r\n").bytes());
        headers.extend(others);
        let validators = start..headers.len();
        headers.extend(format!("Content-Encoding: {}\r\n", coding.name()).bytes());
        FileEntry {
            size: content.as_ref().map_or(identity.size, |content| content.len() as u64),
            modified,
            identity,
            etag: etag.into(),
            last_modified: last_modified.into(),
            headers: headers.into(),
            validators,
            file,
            content,
            variants: Default::default(),
            is_compressible: false,
            is_packing: AtomicBool::new(false),
            residency: Residency::new(identity.size),
        }
    }

    /// Whether a part of one piece of the file can be sent without waiting for the disk. `now_ms`: by the thread's clock.
    #[inline]
    pub fn is_resident(&self, offset: u64, length: usize, now_ms: u64) -> bool {
        if self.residency.is_known(offset, now_ms) {
            return true;
        }
        let Some(fd) = self.fd() else { return true };
        let is_resident = resident(fd, offset, length);
        let is_whole = offset.is_multiple_of(PIECE)
            && length as u64 == PIECE.min(self.size.saturating_sub(offset));
        if is_resident && is_whole {
            self.residency.note(offset, now_ms);
        }
        is_resident
    }

    /// What to send to a client that takes these codings: this, or itself in one of them. The coding: one that the client likes
    /// better and that could be made.
    #[inline]
    pub fn negotiate(self: &Arc<Self>, accepted: Accepted) -> (Arc<Self>, Option<Coding>) {
        let mut wanted = None;
        for coding in accepted.best() {
            match self.known_variant(coding) {
                Some(Some(variant)) => return (variant, wanted),
                Some(None) => {}
                None if self.is_compressible => {
                    wanted.get_or_insert(coding);
                }
                None => {}
            }
        }
        (Arc::clone(self), wanted)
    }

    /// Whether it is the caller who is to have it compressed.
    pub fn begin_packing(&self) -> bool {
        !self.is_packing.swap(true, Ordering::AcqRel)
    }

    /// Nobody compresses it any more.
    pub fn end_packing(&self) {
        self.is_packing.store(false, Ordering::Release);
    }

    /// Has it compressed by `make`, unless it has changed. None: it would be no smaller. BLOCKING.
    pub fn pack(
        &self,
        coding: Coding,
        make: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>,
    ) -> io::Result<Option<Arc<FileEntry>>> {
        let read;
        let content: &[u8] = match (&self.content, &self.file) {
            (Some(content), _) => content,
            (None, Some(file)) => {
                let mut bytes = vec![0; self.size as usize];
                file.read_exact_at(&mut bytes, 0)?;
                if !self.is_unchanged() {
                    return Err(io::Error::other("it has changed"));
                }
                read = bytes;
                &read
            }
            (None, None) => return Ok(None),
        };
        let packed = make(content)?;
        // A twentieth is not worth the client's work.
        if packed.len() >= content.len() / 20 * 19 {
            return Ok(None);
        }
        Ok(Some(Arc::new(self.variant(coding, self.identity, Some(packed.into()), None))))
    }

    /// Remembers what [`pack`](Self::pack) has made, for as long as someone holds it. A file beside this one stays.
    pub(crate) fn set_variant(&self, coding: Coding, variant: Option<&Arc<FileEntry>>) {
        let mut known = self.lock_variant(coding);
        if !matches!(*known, Variant::Beside(_)) {
            *known = match variant {
                Some(variant) => Variant::Packed(Arc::downgrade(variant)),
                None => Variant::Pointless,
            };
        }
    }

    /// None: not known, or not any more. `Some(None)`: there is none.
    fn known_variant(&self, coding: Coding) -> Option<Option<Arc<FileEntry>>> {
        match &*self.lock_variant(coding) {
            Variant::Unknown => None,
            Variant::Pointless => Some(None),
            Variant::Beside(variant) => Some(Some(Arc::clone(variant))),
            Variant::Packed(variant) => variant.upgrade().map(Some),
        }
    }

    fn lock_variant(&self, coding: Coding) -> MutexGuard<'_, Variant> {
        self.variants[coding as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether files beside this one belong to it: these can change while it does not.
    #[inline]
    pub(crate) fn has_files_beside(&self) -> bool {
        Coding::ALL.iter().any(|&coding| matches!(*self.lock_variant(coding), Variant::Beside(_)))
    }

    /// Bytes that are held in memory for it.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.sum(|entry| entry.content.as_ref().map_or(0, |content| content.len()))
    }

    /// Descriptors that are held open for it.
    #[inline]
    pub fn descriptors(&self) -> usize {
        self.sum(|entry| usize::from(entry.file.is_some()))
    }

    /// The sum over this and the files beside it, which it holds as long as it lives.
    fn sum(&self, cost: impl Fn(&FileEntry) -> usize) -> usize {
        let beside = Coding::ALL.iter().map(|&coding| match &*self.lock_variant(coding) {
            Variant::Beside(variant) => cost(variant),
            _ => 0,
        });
        cost(self) + beside.sum::<usize>()
    }

    /// The open file, for entries without [`content`](Self::content). Regular, read-only; read it at offsets, as its
    /// position is shared by all who hold the entry.
    #[inline]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|file| file.as_fd())
    }

    /// As [`fd`](Self::fd), with the threads that may wait for it.
    #[inline]
    pub fn held(&self) -> Option<&HeldFile> {
        self.file.as_ref()
    }

    /// Whether the open file still is what the headers say. One `statx`, no path lookup: worth asking before a large file
    /// is sent, so that a file rewritten in place within the cache's freshness does not go out under its old ETag (H82).
    /// True for entries with content, which nothing can change. Asks the kernel's memory: never waits.
    #[inline]
    pub fn is_unchanged(&self) -> bool {
        self.file.as_ref().is_none_or(|file| {
            Identity::at_once(file).is_ok_and(|identity| identity == Some(self.identity))
        })
    }

    /// The ETag and Last-Modified field lines, and those of the rules.
    #[inline]
    pub(crate) fn validator_lines(&self) -> &[u8] {
        &self.headers[self.validators.clone()]
    }

    /// Whether looking again may give an entry with content where this one has none.
    #[inline]
    pub(crate) fn is_worth_rereading(&self) -> bool {
        self.content.is_none() && self.size <= INLINE_LIMIT
    }
}

impl Identity {
    /// The identity that this metadata tells.
    #[inline]
    pub fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The identity of a regular file as it is in the kernel's memory: asks no other machine, as `fstat` may on a network file
    /// system. None: it is something else.
    #[cfg(target_os = "linux")]
    #[inline]
    pub fn at_once(file: &File) -> io::Result<Option<Identity>> {
        let mut known = std::mem::MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: the path is an empty string, and `known` has room for what is written; both outlive the call.
        let result = unsafe {
            libc::statx(
                file.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
                libc::STATX_BASIC_STATS,
                known.as_mut_ptr(),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: zeroed, which is a value of its integers, and then written by the kernel.
        let known = unsafe { known.assume_init() };
        if u32::from(known.stx_mode) & libc::S_IFMT != libc::S_IFREG {
            return Ok(None);
        }
        let nanoseconds =
            |time: libc::statx_timestamp| nanoseconds(time.tv_sec, time.tv_nsec.into());
        Ok(Some(Identity {
            device: libc::makedev(known.stx_dev_major, known.stx_dev_minor),
            inode: known.stx_ino,
            size: known.stx_size,
            modified_ns: nanoseconds(known.stx_mtime),
            changed_ns: nanoseconds(known.stx_ctime),
        }))
    }

    /// Elsewhere nothing but `fstat` tells.
    #[cfg(not(target_os = "linux"))]
    #[inline]
    pub fn at_once(file: &File) -> io::Result<Option<Identity>> {
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then(|| Identity::of(&metadata)))
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_nanos().cast_signed() - self.changed_ns > SETTLE_TIME.as_nanos().cast_signed()
    }
}

/// The identity of the file, and its bytes if it is small and held still while they were read.
fn read_consistently(file: &File) -> io::Result<(Identity, Option<Vec<u8>>)> {
    for _ in 0..2 {
        let before = Identity::of(&file.metadata()?);
        if before.size > INLINE_LIMIT {
            return Ok((before, None));
        }
        let mut content = vec![0; before.size as usize];
        match file.read_exact_at(&mut content, 0) {
            Ok(()) if Identity::of(&file.metadata()?) == before => {
                return Ok((before, Some(content)));
            }
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok((Identity::of(&file.metadata()?), None))
}

/// Size and modification time with separators (without them `1`+`23` and `12`+`3` are one tag), and a third part for
/// files that share both, as those of reproducible builds do: the content's hash, or the inode's where hashing the
/// content would cost too much. The inode itself would tell outsiders about the file system.
fn entity_tag(identity: &Identity, content: Option<&[u8]>) -> String {
    // The hash need not resist collisions on purpose: whoever writes the files decides what is served anyway.
    let mut hasher = DefaultHasher::new();
    match content {
        Some(bytes) => bytes.hash(&mut hasher),
        None => identity.inode.hash(&mut hasher),
    }
    format!("\"{:x}-{:x}-{:x}\"", identity.size, identity.modified_ns, hasher.finish())
}

/// Whether a Cache-Control forbids other codings (RFC 9111 §5.2.2.6).
#[inline]
pub fn forbids_transform(lines: &[u8]) -> bool {
    lines.to_ascii_lowercase().windows(12).any(|part| part == b"no-transform")
}

/// Whole seconds since the epoch, neither before it nor after `now`: HTTP dates have no room for the first, and
/// RFC 9110 §8.8.2.1 forbids the second.
fn clamp_to_past(modified_ns: i128, now: SystemTime) -> u64 {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u64::try_from(modified_ns.div_euclid(1_000_000_000)).unwrap_or(0).min(now)
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::scratch::Scratch;

    fn read(path: &std::path::Path) -> FileEntry {
        let name = path.as_os_str().as_encoded_bytes();
        FileEntry::read(File::open(path).unwrap(), name, &FileRules::default(), Vec::new()).unwrap()
    }

    /// As [`read`], once the file's time stamps have settled.
    fn read_settled(path: &std::path::Path) -> FileEntry {
        loop {
            let entry = read(path);
            if entry.identity.is_settled(SystemTime::now()) {
                return read(path);
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_end_of_a_piece_says_nothing_of_its_beginning() {
        let scratch = Scratch::new();
        let path = scratch.write("a", vec![b'x'; 3 << 20]);
        let file = File::open(path).unwrap();
        let entry = FileEntry::read(file, b"a", &FileRules::default(), Vec::new()).unwrap();
        assert!(entry.is_resident(PIECE + 10, (1 << 20) - 10, 0));
        assert!(!entry.residency.is_known(PIECE, 0));
        assert!(entry.is_resident(PIECE, 1 << 19, 0));
        assert!(!entry.residency.is_known(PIECE, 0));
        assert!(entry.is_resident(PIECE, 1 << 20, 0));
        assert!(entry.residency.is_known(PIECE, 0) && !entry.residency.is_known(0, 0));
        assert!(entry.is_resident(0, PIECE as usize, 0) && entry.residency.is_known(0, 0));
    }

    #[test]
    fn a_small_file_is_kept_whole_and_closed() {
        let scratch = Scratch::new();
        let entry = read_settled(&scratch.write("a.css", "body{}"));
        assert_eq!(entry.content.as_deref(), Some(&b"body{}"[..]));
        assert!(entry.fd().is_none());
        assert!(entry.is_unchanged());
        let headers = String::from_utf8(entry.headers.to_vec()).unwrap();
        assert_eq!(
            headers,
            format!(
                "Content-Type: text/css; charset=utf-8\r\nETag: {}\r\nLast-Modified: {}\r\nAccept-Ranges: bytes\r\n",
                entry.etag, entry.last_modified
            )
        );
        assert_eq!(
            entry.validator_lines(),
            format!("ETag: {}\r\nLast-Modified: {}\r\n", entry.etag, entry.last_modified)
                .as_bytes()
        );
    }

    #[test]
    fn a_large_file_stays_open_and_is_not_read() {
        let scratch = Scratch::new();
        let entry = read(&scratch.write("a.bin", vec![0; INLINE_LIMIT as usize + 1]));
        assert!(entry.content.is_none());
        assert!(entry.fd().is_some());
        assert!(!entry.is_worth_rereading());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_the_same_identity_either_way() {
        let scratch = Scratch::new();
        let file = File::open(scratch.write("a.txt", "x")).unwrap();
        let identity = Identity::of(&file.metadata().unwrap());
        assert_eq!(Identity::at_once(&file).unwrap(), Some(identity));
        let folder = File::open(scratch.path()).unwrap();
        assert_eq!(Identity::at_once(&folder).unwrap(), None);
    }

    // H82: a write within the tick of the file system's clock would go unnoticed.
    #[test]
    fn a_file_changed_a_moment_ago_is_not_kept() {
        let scratch = Scratch::new();
        let path = scratch.write("a.txt", "x");
        let entry = read(&path);
        if entry.content.is_none() {
            assert!(entry.fd().is_some());
            assert!(entry.is_worth_rereading());
        }
        let settled = read_settled(&path);
        assert!(settled.content.is_some());
        assert_eq!(settled.etag, entry.etag);
    }

    // H82
    #[test]
    fn rewriting_an_open_file_in_place_is_noticed() {
        let scratch = Scratch::new();
        let path = scratch.write("a.bin", vec![0; 100_000]);
        let entry = read(&path);
        assert!(entry.is_unchanged());
        // H81: the same for a file that shrinks.
        fs::write(&path, "short").unwrap();
        assert!(!entry.is_unchanged());
    }

    #[test]
    fn equal_size_and_time_do_not_make_equal_tags() {
        let scratch = Scratch::new();
        for (name, length) in [("small", 10), ("large", 100_000)] {
            let one = scratch.write(&format!("{name}-1"), vec![b'a'; length]);
            let two = scratch.write(&format!("{name}-2"), vec![b'b'; length]);
            for path in [&one, &two] {
                File::options().write(true).open(path).unwrap().set_modified(UNIX_EPOCH).unwrap();
            }
            let (one, two) = (read_settled(&one), read_settled(&two));
            assert_eq!(one.identity.modified_ns, two.identity.modified_ns);
            assert_ne!(one.etag, two.etag);
            assert!(one.etag.starts_with('"') && one.etag.ends_with('"'));
        }
    }

    #[test]
    fn dates_outside_what_http_can_say_are_clamped() {
        let scratch = Scratch::new();
        let path = scratch.write("a.txt", "x");
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH - Duration::from_secs(86_400)).unwrap();
        assert_eq!(&*read(&path).last_modified, "Thu, 01 Jan 1970 00:00:00 GMT");
        file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(read(&path).modified <= now + 1);
    }

    #[test]
    fn the_type_is_that_of_the_name_asked_for() {
        let scratch = Scratch::new();
        scratch.write("data", "{}");
        let link = scratch.path().join("data.json");
        symlink("data", &link).unwrap();
        assert!(
            read(&link).headers.starts_with(b"Content-Type: application/json; charset=utf-8\r\n")
        );
    }
}
