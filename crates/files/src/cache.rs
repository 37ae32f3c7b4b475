//! What an I/O thread remembers of file lookups, so that hot paths need neither a system call nor the blocking pool.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxBuildHasher;
use slab::Slab;

use super::entry::FileEntry;
use super::root::Found;

/// How long an answer is given without looking again.
const FRESH: Duration = Duration::from_secs(1);

/// How long it is enough to look at what the kernel has in memory. On a network file system that can be old.
const LOCAL: Duration = Duration::from_secs(10);

/// How long the old answer still serves the other requests after one was told to look again. If no answer has come by
/// then, the next one is told.
const GRACE: Duration = Duration::from_millis(100);

/// The kernel finds nothing behind longer paths, so remembering them would only give memory away.
const PATH_LIMIT: usize = 4096;

/// Bounds of one thread's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCacheLimits {
    /// Paths remembered, found or not.
    pub entries: usize,
    /// Bytes of paths and file contents held.
    pub bytes: usize,
    /// Files kept open. Only large files are.
    pub descriptors: usize,
}

impl Default for FileCacheLimits {
    fn default() -> FileCacheLimits {
        FileCacheLimits { entries: 10_000, bytes: 64 * 1024 * 1024, descriptors: 512 }
    }
}

/// One thread's lookups by mount and path, evicted by second chance. A new
/// generation, whose mounts have numbers of their own, begins with an empty one.
pub struct FileCache {
    limits: FileCacheLimits,
    /// Mount numbers are ours; paths are the client's choice, so their hash must be keyed (H59). SipHash with a random
    /// key it is: 22 ns a lookup of a 32-byte path, against 7 ns with FxHasher, whose seed does not keep colliding paths
    /// from being prepared.
    index: HashMap<u32, HashMap<Arc<[u8]>, usize, RandomState>, FxBuildHasher>,
    slots: Slab<Slot>,
    hand: usize,
    bytes: usize,
    descriptors: usize,
}

/// The answer to a lookup.
#[derive(Clone, Debug)]
pub enum Cached {
    /// Known well enough to answer with.
    Fresh(Known),
    /// A file that was there a moment ago: have the pool revalidate it. While this is under way, others get it as fresh.
    /// `recent`: a look at what the kernel has in memory does too, and then [`FileCache::renew`].
    Stale { entry: Arc<FileEntry>, recent: bool },
    /// Not known: have the pool look.
    Miss,
}

/// What is known of a path. A [`Found`] that is about the path and not about the lookup.
#[derive(Clone, Debug)]
pub enum Known {
    /// A regular file.
    File(Arc<FileEntry>),
    /// A directory, asked for without its trailing slash.
    Directory,
    /// Nothing that may be served.
    NotFound,
    /// A file that this process may not read.
    Forbidden,
}

struct Slot {
    mount: u32,
    path: Arc<[u8]>,
    known: Known,
    /// When the pool looked.
    found: Instant,
    fresh_until: Instant,
    referenced: bool,
}

/// The bound that an eviction is to help.
#[derive(Clone, Copy)]
enum Pressure {
    Memory,
    Descriptors,
}

impl FileCache {
    /// An empty cache.
    pub fn new(limits: FileCacheLimits) -> FileCache {
        FileCache {
            limits,
            index: HashMap::default(),
            slots: Slab::new(),
            hand: 0,
            bytes: 0,
            descriptors: 0,
        }
    }

    /// Looks a path up, without allocating.
    #[inline]
    pub fn get(&mut self, mount: u32, path: &[u8], now: Instant) -> Cached {
        let Some(slot) = self.key_of(mount, path).and_then(|key| self.slots.get_mut(key)) else {
            return Cached::Miss;
        };
        slot.referenced = true;
        if now < slot.fresh_until {
            return Cached::Fresh(slot.known.clone());
        }
        slot.fresh_until = now + GRACE;
        match &slot.known {
            Known::File(entry) => {
                Cached::Stale { entry: Arc::clone(entry), recent: now < slot.found + LOCAL }
            }
            Known::Directory | Known::NotFound | Known::Forbidden => Cached::Miss,
        }
    }

    /// What was found is still there.
    #[inline]
    pub fn renew(&mut self, mount: u32, path: &[u8], now: Instant) {
        if let Some(slot) = self.key_of(mount, path).and_then(|key| self.slots.get_mut(key)) {
            slot.fresh_until = now + FRESH;
        }
    }

    /// Remembers what the pool found. A failed lookup is not remembered; what was known before stays.
    #[inline]
    pub fn insert(&mut self, mount: u32, path: &[u8], found: &Found, now: Instant) {
        let known = match found {
            Found::File(entry) => Known::File(Arc::clone(entry)),
            Found::Directory => Known::Directory,
            Found::NotFound => Known::NotFound,
            Found::Forbidden => Known::Forbidden,
            // What is in a folder is looked at each time.
            Found::Listing(_) | Found::Failed(_) | Found::Unavailable(_) => return,
        };
        let fresh_until = now + FRESH;
        if let Some(slot) = self.key_of(mount, path).and_then(|key| self.slots.get_mut(key)) {
            slot.found = now;
            slot.fresh_until = fresh_until;
            self.bytes = self.bytes - slot.known.bytes() + known.bytes();
            self.descriptors = self.descriptors - slot.known.descriptors() + known.descriptors();
            slot.known = known;
        } else if path.len() <= PATH_LIMIT {
            let path: Arc<[u8]> = path.into();
            self.bytes += path.len() + known.bytes();
            self.descriptors += known.descriptors();
            // Not referenced yet: a flood of paths that are asked for once evicts itself first.
            let slot = Slot {
                mount,
                path: Arc::clone(&path),
                known,
                found: now,
                fresh_until,
                referenced: false,
            };
            let key = self.slots.insert(slot);
            self.index.entry(mount).or_default().insert(path, key);
        }
        self.shrink_to_limits();
    }

    fn key_of(&self, mount: u32, path: &[u8]) -> Option<usize> {
        self.index.get(&mount)?.get(path).copied()
    }

    /// Paths remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn shrink_to_limits(&mut self) {
        while self.slots.len() > self.limits.entries || self.bytes > self.limits.bytes {
            self.evict(Pressure::Memory);
        }
        while self.descriptors > self.limits.descriptors {
            self.evict(Pressure::Descriptors);
        }
    }

    /// Removes the next entry that helps and was not asked for since the hand last passed. Requires one that helps.
    fn evict(&mut self, pressure: Pressure) {
        loop {
            // The slab's keys are below its capacity; some are vacant.
            self.hand = if self.hand + 1 < self.slots.capacity() { self.hand + 1 } else { 0 };
            let Some(slot) = self.slots.get_mut(self.hand) else { continue };
            if matches!(pressure, Pressure::Descriptors) && slot.known.descriptors() == 0 {
                continue;
            }
            if std::mem::take(&mut slot.referenced) {
                continue;
            }
            let slot = self.slots.remove(self.hand);
            self.bytes -= slot.path.len() + slot.known.bytes();
            self.descriptors -= slot.known.descriptors();
            if let Some(paths) = self.index.get_mut(&slot.mount) {
                paths.remove(&slot.path);
            }
            return;
        }
    }
}

impl Known {
    fn bytes(&self) -> usize {
        match self {
            Known::File(entry) => entry.bytes(),
            Known::Directory | Known::NotFound | Known::Forbidden => 0,
        }
    }

    fn descriptors(&self) -> usize {
        match self {
            Known::File(entry) => entry.descriptors(),
            Known::Directory | Known::NotFound | Known::Forbidden => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;

    use super::*;
    use crate::entry::INLINE_LIMIT;
    use crate::scratch::Scratch;

    const MOUNT: u32 = 7;

    fn limits(entries: usize, bytes: usize, descriptors: usize) -> FileCacheLimits {
        FileCacheLimits { entries, bytes, descriptors }
    }

    #[test]
    fn h59_a_path_hashes_otherwise_in_every_cache() {
        use std::hash::BuildHasher;
        let hash = |_| {
            let mut cache = FileCache::new(limits(10, 1000, 10));
            cache.insert(MOUNT, b"/a", &Found::NotFound, Instant::now());
            cache.index[&MOUNT].hasher().hash_one(b"/a")
        };
        let hashes: Vec<u64> = (0..2).map(hash).collect();
        assert_ne!(hashes[0], hashes[1]);
    }

    fn file(scratch: &Scratch, name: &str, length: usize) -> Found {
        let path = scratch.write(name, vec![b'x'; length]);
        loop {
            let entry = FileEntry::read(
                File::open(&path).unwrap(),
                name.as_bytes(),
                &crate::rules::FileRules::default(),
                Vec::new(),
            )
            .unwrap();
            if entry.content.is_some() || length as u64 > INLINE_LIMIT {
                return Found::File(Arc::new(entry));
            }
            std::thread::yield_now();
        }
    }

    fn name(cached: &Cached) -> &'static str {
        match cached {
            Cached::Fresh(Known::File(_)) => "file",
            Cached::Fresh(Known::Directory) => "directory",
            Cached::Fresh(Known::NotFound) => "not found",
            Cached::Fresh(Known::Forbidden) => "forbidden",
            Cached::Stale { recent: true, .. } => "stale",
            Cached::Stale { recent: false, .. } => "old",
            Cached::Miss => "miss",
        }
    }

    #[test]
    fn answers_are_per_mount_and_path() {
        let scratch = Scratch::new();
        let now = Instant::now();
        let mut cache = FileCache::new(FileCacheLimits::default());
        cache.insert(1, b"/a", &file(&scratch, "a", 1), now);
        cache.insert(2, b"/a", &Found::NotFound, now);
        cache.insert(2, b"/d", &Found::Directory, now);
        cache.insert(2, b"/f", &Found::Forbidden, now);
        cache.insert(2, b"/e", &Found::Failed(io::Error::from_raw_os_error(libc::EMFILE)), now);
        assert_eq!(name(&cache.get(1, b"/a", now)), "file");
        assert_eq!(name(&cache.get(2, b"/a", now)), "not found");
        assert_eq!(name(&cache.get(2, b"/d", now)), "directory");
        assert_eq!(name(&cache.get(2, b"/f", now)), "forbidden");
        assert_eq!(name(&cache.get(2, b"/e", now)), "miss");
        assert_eq!(name(&cache.get(3, b"/a", now)), "miss");
    }

    #[test]
    fn a_stale_file_is_revalidated_by_one_request_while_the_others_are_served() {
        let scratch = Scratch::new();
        let start = Instant::now();
        let mut cache = FileCache::new(FileCacheLimits::default());
        let found = file(&scratch, "a", 1);
        cache.insert(MOUNT, b"/a", &found, start);
        assert_eq!(name(&cache.get(MOUNT, b"/a", start + Duration::from_millis(999))), "file");
        let later = start + FRESH;
        assert_eq!(name(&cache.get(MOUNT, b"/a", later)), "stale");
        assert_eq!(name(&cache.get(MOUNT, b"/a", later)), "file");
        assert_eq!(name(&cache.get(MOUNT, b"/a", later + GRACE)), "stale");
        cache.insert(MOUNT, b"/a", &found, later);
        assert_eq!(name(&cache.get(MOUNT, b"/a", later + Duration::from_millis(999))), "file");
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn a_renewed_file_is_looked_for_by_the_pool_from_time_to_time() {
        let scratch = Scratch::new();
        let start = Instant::now();
        let mut cache = FileCache::new(FileCacheLimits::default());
        let found = file(&scratch, "a", 1);
        cache.insert(MOUNT, b"/a", &found, start);
        let mut now = start + FRESH;
        while now < start + LOCAL {
            assert_eq!(name(&cache.get(MOUNT, b"/a", now)), "stale");
            cache.renew(MOUNT, b"/a", now);
            assert_eq!(name(&cache.get(MOUNT, b"/a", now + FRESH / 2)), "file");
            now += FRESH;
        }
        assert_eq!(name(&cache.get(MOUNT, b"/a", now)), "old");
        cache.insert(MOUNT, b"/a", &found, now);
        assert_eq!(name(&cache.get(MOUNT, b"/a", now + FRESH)), "stale");
        cache.renew(MOUNT, b"/b", now);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn a_stale_negative_answer_is_a_miss() {
        let start = Instant::now();
        let mut cache = FileCache::new(FileCacheLimits::default());
        cache.insert(MOUNT, b"/a", &Found::NotFound, start);
        assert_eq!(name(&cache.get(MOUNT, b"/a", start + FRESH)), "miss");
    }

    // H82
    #[test]
    fn a_new_answer_replaces_the_old_and_its_costs() {
        let scratch = Scratch::new();
        let now = Instant::now();
        let mut cache = FileCache::new(FileCacheLimits::default());
        cache.insert(MOUNT, b"/a", &file(&scratch, "large", 100_000), now);
        assert_eq!((cache.bytes, cache.descriptors), (2, 1));
        cache.insert(MOUNT, b"/a", &file(&scratch, "small", 10), now);
        assert_eq!((cache.bytes, cache.descriptors), (12, 0));
        cache.insert(MOUNT, b"/a", &Found::NotFound, now);
        assert_eq!((cache.bytes, cache.descriptors), (2, 0));
    }

    #[test]
    fn a_flood_of_missing_paths_leaves_hot_files_in_place() {
        let scratch = Scratch::new();
        let now = Instant::now();
        let mut cache = FileCache::new(limits(100, 1 << 20, 10));
        cache.insert(MOUNT, b"/hot", &file(&scratch, "hot", 10), now);
        for number in 0..10_000 {
            assert_eq!(name(&cache.get(MOUNT, b"/hot", now)), "file");
            cache.insert(MOUNT, format!("/missing/{number}").as_bytes(), &Found::NotFound, now);
            assert!(cache.len() <= 100);
        }
        let in_index: usize = cache.index.values().map(HashMap::len).sum();
        assert_eq!(in_index, cache.len());
    }

    #[test]
    fn contents_and_long_paths_stay_within_the_bytes_allowed() {
        let scratch = Scratch::new();
        let now = Instant::now();
        let mut cache = FileCache::new(limits(1000, 20_000, 10));
        let found = file(&scratch, "a", 8000);
        for number in 0..10 {
            cache.insert(MOUNT, format!("/{number}").as_bytes(), &found, now);
            assert!(cache.bytes <= 20_000);
        }
        assert_eq!(cache.len(), 2);
        for number in 0..10 {
            cache.insert(
                MOUNT,
                format!("/{number}{}", "n".repeat(4000)).as_bytes(),
                &Found::NotFound,
                now,
            );
            assert!(cache.bytes <= 20_000);
        }
        cache.insert(MOUNT, &[b'/'; PATH_LIMIT + 1], &Found::NotFound, now);
        assert_eq!(name(&cache.get(MOUNT, &[b'/'; PATH_LIMIT + 1], now)), "miss");
        // One that can never fit evicts all, itself too, and does no harm.
        cache.insert(MOUNT, b"/big", &file(&scratch, "b", 30_000), now);
        assert_eq!((cache.len(), cache.bytes), (0, 0));
    }

    #[test]
    fn open_files_are_bounded_without_evicting_others() {
        let scratch = Scratch::new();
        let now = Instant::now();
        let mut cache = FileCache::new(limits(1000, 1 << 20, 3));
        cache.insert(MOUNT, b"/small", &file(&scratch, "small", 10), now);
        for number in 0..10 {
            let path = format!("/{number}");
            cache.insert(
                MOUNT,
                path.as_bytes(),
                &file(&scratch, &format!("large-{number}"), 70_000),
                now,
            );
            assert!(cache.descriptors <= 3);
        }
        assert_eq!(cache.len(), 4);
        assert_eq!(name(&cache.get(MOUNT, b"/small", now)), "file");
    }
}
