//! Finding files beneath a directory and nowhere else.

use crate::compression::{Coding, compress_well};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::beneath::{READ, Resolution, STAT};
use super::entry::{FileEntry, Identity};
use super::listing::{Listing, list};
use super::packed::{Packed, PackedFolder, packed_key};
use super::residency::waits;
use super::rules::FileRules;
use crate::Symlinks;
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::blocking::{Lane, patiently};

/// A directory whose files are served. Holds the directory itself, and looks once in a while whether its name leads to another
/// one by now: a build that replaces the folder, or a link to a release that is switched.
#[derive(Debug)]
pub struct FileRoot {
    path: PathBuf,
    state: Mutex<State>,
    packed: Mutex<Packed>,
    /// Held by the one thread that compresses.
    packing: Mutex<()>,
    resolution: Resolution,
    /// The threads that may wait for it.
    lane: Arc<Lane>,
}

#[derive(Debug)]
struct State {
    directory: Arc<OwnedFd>,
    /// When its name was looked at.
    checked: Instant,
}

/// A folder that was replaced is served after so long.
const RECHECK: Duration = Duration::from_millis(500);

/// What is behind a path.
#[derive(Debug)]
pub enum Found {
    /// A regular file.
    File(Arc<FileEntry>),
    /// A directory, asked for without its trailing slash: redirect to the path with it.
    Directory,
    /// A directory without an index.
    Listing(Box<Listing>),
    /// Nothing that may be served.
    NotFound,
    /// A file that this process may not read.
    Forbidden,
    /// The lookup itself failed, e.g. for want of descriptors; tells nothing about the file.
    Failed(io::Error),
    /// Nobody could look, or whoever does has been at it for too long.
    Unavailable(io::Error),
}

/// A file that has been seen.
#[derive(Debug)]
pub struct Sighting {
    /// Of its path among those that were asked for.
    pub index: usize,
    /// The folder that all of them are beneath, with its links resolved.
    pub folder: PathBuf,
    /// Somebody may execute it.
    pub is_executable: bool,
}

/// Whether a file may have this path at all: absolute, in UTF-8, without NUL, backslash or empty segments (H70–H72), and
/// no segment hidden by a leading dot or marked as a backup by a trailing tilde (H77). A first segment `.well-known` is
/// meant to be seen (RFC 8615). Dot segments are hidden names too, so nothing climbs (H67).
pub fn is_servable(path: &[u8]) -> bool {
    let Some(relative) = path.strip_prefix(b"/") else { return false };
    if path.iter().any(|byte| matches!(byte, 0 | b'\\')) || str::from_utf8(path).is_err() {
        return false;
    }
    let relative = relative.strip_suffix(b"/").unwrap_or(relative);
    if relative.is_empty() {
        return path.len() == 1;
    }
    relative.split(|&byte| byte == b'/').enumerate().all(|(position, segment)| match segment {
        [] => false,
        b".well-known" => position == 0,
        _ => !segment.starts_with(b".") && !segment.ends_with(b"~"),
    })
}

impl FileRoot {
    /// Opens the directory at `path`; `symlinks` says which links are followed beneath it. BLOCKING, but not for ever.
    pub fn open(path: &Path, symlinks: Symlinks) -> io::Result<FileRoot> {
        let own = path.to_owned();
        let (directory, resolution) = patiently(path, move || {
            let directory = open_folder(&own)?;
            let resolution = Resolution::of(directory.as_fd(), symlinks);
            Ok((directory, resolution))
        })?;
        let state = State { directory: Arc::new(directory), checked: Instant::now() };
        Ok(FileRoot {
            path: path.into(),
            state: Mutex::new(state),
            packed: Mutex::default(),
            packing: Mutex::default(),
            resolution,
            lane: Lane::of_folder(format!("the folder {}", path.display())),
        })
    }

    /// The threads that may wait for it.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// The directory as its name leads to it now, or a moment ago; the last one, if there is none now.
    fn directory(&self) -> Arc<OwnedFd> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.checked.elapsed() >= RECHECK {
            state.checked = Instant::now();
            if let Ok(current) = open_folder(&self.path)
                && identify(&current) != identify(&state.directory)
            {
                state.directory = Arc::new(current);
            }
        }
        Arc::clone(&state.directory)
    }

    /// The directory, if its name was looked at a moment ago.
    fn directory_at_once(&self) -> Option<Arc<OwnedFd>> {
        let state = self.state.try_lock().ok()?;
        (state.checked.elapsed() < RECHECK).then(|| Arc::clone(&state.directory))
    }

    /// Looks up a normal absolute path (decoded once, dot segments removed). A path with a trailing slash stands for the
    /// first of the index files in that directory, or for what is in it. BLOCKING.
    pub fn find(&self, path: &[u8], rules: &FileRules) -> Found {
        if !is_servable(path) {
            return Found::NotFound;
        }
        let root = self.directory();
        let found = each_candidate(path, rules, |candidate| {
            match self.resolution.open(root.as_fd(), candidate, READ) {
                Ok(file) => self.describe(&root, file, candidate, rules),
                Err(error) => self.explain(&root, &error, candidate),
            }
        });
        match found {
            Found::NotFound if rules.listing && path.ends_with(b"/") => {
                let relative =
                    if path == b"/" { b".".as_slice() } else { &path[1..path.len() - 1] };
                let folder = self.resolution.open(root.as_fd(), relative, READ | libc::O_DIRECTORY);
                match folder.and_then(|folder| list(&folder, path)) {
                    Ok(listing) => Found::Listing(Box::new(listing)),
                    Err(error) => found_from(&error),
                }
            }
            found => found,
        }
    }

    /// Looks which of these normal absolute paths is the first that leads to a regular file. Gives its number, and the folder with its links resolved, so
    /// that whoever opens the file by its name gets the release that is served here (F79, F87). `None`: none of them does. BLOCKING.
    ///
    /// # Errors
    /// Nobody can tell.
    pub fn first_file(&self, paths: &[&[u8]]) -> io::Result<Option<Sighting>> {
        let root = self.directory();
        for (index, path) in paths.iter().enumerate() {
            if !is_servable(path) || path.ends_with(b"/") {
                continue;
            }
            let looked = self
                .resolution
                .open(root.as_fd(), &path[1..], STAT)
                .and_then(|file| file.metadata());
            match looked {
                Ok(metadata) if metadata.is_file() => {
                    let link = format!("/proc/self/fd/{}", root.as_raw_fd());
                    let folder = std::fs::read_link(link).or_else(|_| self.path.canonicalize())?;
                    let is_executable = metadata.mode() & 0o111 != 0;
                    return Ok(Some(Sighting { index, folder, is_executable }));
                }
                Ok(_) => {}
                Err(error) => match found_from(&error) {
                    Found::NotFound => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(None)
    }

    /// Where the folder is, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks the path of a stale entry up again: the same entry if the file is unchanged, which costs no reading. BLOCKING.
    pub fn revalidate(&self, entry: &Arc<FileEntry>, path: &[u8], rules: &FileRules) -> Found {
        if !is_servable(path) {
            return Found::NotFound;
        }
        let root = self.directory();
        let is_unchanged = is_behind(entry, path, rules, |candidate| {
            let metadata = self.resolution.open(root.as_fd(), candidate, STAT)?.metadata()?;
            let is_alone = self.files_beside(&root, candidate, rules).is_empty();
            Ok((metadata.is_file() && is_alone).then(|| Identity::of(&metadata)))
        });
        if is_unchanged { Found::File(Arc::clone(entry)) } else { self.find(path, rules) }
    }

    /// Whether the path of an entry leads to the same file, unchanged, by what the kernel has in memory. `false`: it does not, or
    /// only [`revalidate`](Self::revalidate) can tell.
    pub fn is_unchanged(&self, entry: &FileEntry, path: &[u8], rules: &FileRules) -> bool {
        let Some(root) = self.directory_at_once() else { return false };
        is_behind(entry, path, rules, |candidate| {
            Identity::at_once(&self.resolution.open_at_once(root.as_fd(), candidate)?)
        })
    }

    /// Compresses a file in the background, unless `folder` has it. BLOCKING. One file at a time: who comes meanwhile is sent the file
    /// as it is. Gives what is wrong with `folder`.
    pub fn pack(
        &self,
        entry: &FileEntry,
        coding: Coding,
        folder: Option<&PackedFolder>,
    ) -> Option<io::Error> {
        let mut trouble = None;
        if let Ok(_held) = self.packing.try_lock().or_else(|error| match error {
            // Whoever panicked left nothing behind.
            TryLockError::Poisoned(held) => Ok(held.into_inner()),
            TryLockError::WouldBlock => Err(()),
        }) {
            let key = packed_key(entry, coding);
            let known = self.lock_packed().get(&key);
            let variant = known.or_else(|| {
                let make = |content: &[u8]| match folder {
                    None => compress_well(coding, content),
                    Some(folder) => {
                        let (packed, error) = folder.pack(coding, content)?;
                        trouble = error;
                        Ok(packed)
                    }
                };
                let variant = entry.pack(coding, make).ok()?;
                self.lock_packed().insert(key, variant.clone());
                Some(variant)
            });
            if let Some(variant) = variant {
                entry.set_variant(coding, variant.as_ref());
            }
        }
        trouble
    }

    /// Gives an entry what another thread has made of the same file. `false`: there is nothing.
    pub fn recall(&self, entry: &FileEntry, coding: Coding) -> bool {
        let known = self.lock_packed().get(&packed_key(entry, coding));
        known.map(|variant| entry.set_variant(coding, variant.as_ref())).is_some()
    }

    fn lock_packed(&self) -> MutexGuard<'_, Packed> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an open file is, with the files beside it that hold it in other codings.
    fn describe(&self, root: &OwnedFd, file: File, name: &[u8], rules: &FileRules) -> Found {
        let kind = match file.metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return found_from(&error),
        };
        if kind.is_dir() {
            return Found::Directory;
        }
        if !kind.is_file() {
            return Found::NotFound; // FIFOs, sockets, devices (H76)
        }
        let file = self.hold(file);
        match FileEntry::read(file, name, rules, self.files_beside(root, name, rules)) {
            Ok(entry) => {
                for coding in Coding::ALL {
                    self.recall(&entry, coding);
                }
                Found::File(Arc::new(entry))
            }
            Err(error) => Found::Failed(error),
        }
    }

    /// The files that hold a file in other codings.
    fn files_beside(
        &self,
        root: &OwnedFd,
        name: &[u8],
        rules: &FileRules,
    ) -> Vec<(Coding, HeldFile)> {
        let mut beside = Vec::new();
        if rules.may_be_coded(name) {
            for coding in Coding::ALL {
                let other = [name, coding.extension().as_bytes()].concat();
                if let Ok(file) = self.resolution.open(root.as_fd(), &other, READ)
                    && file.metadata().is_ok_and(|metadata| metadata.is_file())
                {
                    beside.push((coding, self.hold(file)));
                }
            }
        }
        beside
    }

    fn hold(&self, file: File) -> HeldFile {
        let waits = waits(&file);
        HeldFile::new(file, &self.lane, waits)
    }

    fn explain(&self, root: &OwnedFd, error: &io::Error, candidate: &[u8]) -> Found {
        match found_from(error) {
            // A directory that may be entered but not listed still has files.
            Found::Forbidden
                if self
                    .resolution
                    .open(root.as_fd(), candidate, STAT | libc::O_DIRECTORY)
                    .is_ok() =>
            {
                Found::Directory
            }
            found => found,
        }
    }
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = STAT | libc::O_DIRECTORY;
    Ok(File::options().read(true).custom_flags(flags).open(path)?.into())
}

/// Device and inode of an open folder.
fn identify(folder: &OwnedFd) -> Option<(u64, u64)> {
    let metadata = File::from(folder.try_clone().ok()?).metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Tries, for each path that the rules name, the relative path, or each index file in it, until one is found.
fn each_candidate(
    path: &[u8],
    rules: &FileRules,
    mut attempt: impl FnMut(&[u8]) -> Found,
) -> Found {
    for candidate in rules.candidates(path) {
        if !is_servable(&candidate) {
            continue;
        }
        // F85.
        if rules.hides(&candidate) {
            continue;
        }
        let relative = &candidate[1..];
        if !candidate.ends_with(b"/") {
            match attempt(relative) {
                Found::NotFound => continue,
                // Only the path that was asked for can get its slash.
                Found::Directory if *candidate != *path => continue,
                found => return found,
            }
        }
        for name in &rules.index {
            if rules.hides(&[&*candidate, name.as_bytes()].concat()) {
                continue;
            }
            match attempt(&[relative, name.as_bytes()].concat()) {
                // An index that is a directory is no index.
                Found::NotFound | Found::Directory => {}
                found => return found,
            }
        }
    }
    Found::NotFound
}

/// Whether `identify`, which gives the identity of a regular file, finds an entry behind a path.
fn is_behind(
    entry: &FileEntry,
    path: &[u8],
    rules: &FileRules,
    identify: impl Fn(&[u8]) -> io::Result<Option<Identity>>,
) -> bool {
    if entry.is_worth_rereading() || entry.has_files_beside() {
        return false;
    }
    let mut is_same = false;
    each_candidate(path, rules, |candidate| match identify(candidate) {
        Ok(Some(identity)) => {
            is_same = identity == entry.identity;
            Found::Forbidden // Any answer but "not found" ends the search: only the first file there counts.
        }
        Ok(None) => Found::Directory,
        Err(error) => found_from(&error),
    });
    is_same
}

fn found_from(error: &io::Error) -> Found {
    match error.raw_os_error() {
        // EXDEV: the path or a link on it leaves the root (H75). ENXIO, ENODEV: sockets, devices without a driver (H76).
        Some(
            libc::ENOENT
            | libc::ENOTDIR
            | libc::ELOOP
            | libc::EXDEV
            | libc::ENAMETOOLONG
            | libc::EINVAL
            | libc::ENXIO
            | libc::ENODEV,
        ) => Found::NotFound,
        Some(libc::EACCES | libc::EPERM) => Found::Forbidden,
        Some(code) => Found::Failed(io::Error::from_raw_os_error(code)),
        None => Found::Failed(io::Error::new(error.kind(), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::beneath::Way;
    use crate::compression::Accepted;
    use crate::entry::INLINE_LIMIT;
    use crate::scratch::Scratch;

    /// The root as the kernel resolves it and as we do, for what must hold of both.
    fn roots(scratch: &Scratch) -> [FileRoot; 2] {
        let kernel = FileRoot::open(scratch.path(), Symlinks::Inside).unwrap();
        let mut walk = FileRoot::open(scratch.path(), Symlinks::Inside).unwrap();
        walk.resolution.way = Way::Walk;
        [kernel, walk]
    }

    fn index() -> FileRules {
        let index = vec!["index.html".to_owned(), "index.htm".to_owned()];
        FileRules { index, ..FileRules::default() }
    }

    fn kind(found: &Found) -> &'static str {
        match found {
            Found::File(_) => "file",
            Found::Directory => "directory",
            Found::Listing(_) => "listing",
            Found::NotFound => "not found",
            Found::Forbidden => "forbidden",
            Found::Failed(_) => "failed",
            Found::Unavailable(_) => "unavailable",
        }
    }

    #[track_caller]
    fn expect(scratch: &Scratch, path: impl AsRef<[u8]>, expected: &str) {
        let path = path.as_ref();
        for root in roots(scratch) {
            let found = root.find(path, &index());
            assert_eq!(
                kind(&found),
                expected,
                "{} by {:?}: {found:?}",
                path.escape_ascii(),
                root.resolution
            );
        }
    }

    #[test]
    fn finds_files_directories_and_index_files() {
        let scratch = Scratch::new();
        scratch.write("a/b.css", "body{}");
        scratch.write("index.html", "<p>");
        scratch.write("old/index.htm", "<p>");
        scratch.write("odd/index.html/x", "");
        scratch.write("odd/index.htm", "<p>");
        fs::create_dir(scratch.path().join("bare")).unwrap();
        expect(&scratch, "/a/b.css", "file");
        expect(&scratch, "/", "file");
        expect(&scratch, "/old/", "file");
        expect(&scratch, "/odd/", "file");
        expect(&scratch, "/a", "directory");
        expect(&scratch, "/bare/", "not found");
        expect(&scratch, "/a/b.css/", "not found");
        expect(&scratch, "/a/b.css/c", "not found");
        expect(&scratch, "/missing", "not found");
        expect(&scratch, "/missing/", "not found");
        expect(&scratch, format!("/{}", "n".repeat(300)), "not found");
        expect(&scratch, format!("/{}", "n/".repeat(5000)), "not found");
    }

    #[test]
    fn an_index_file_has_its_own_type() {
        let scratch = Scratch::new();
        scratch.write("index.html", "<p>");
        let Found::File(entry) = roots(&scratch)[0].find(b"/", &index()) else { panic!() };
        assert!(entry.headers.starts_with(b"Content-Type: text/html; charset=utf-8\r\n"));
    }

    // H67, H68, H70, H71, H72, H73, H77
    #[test]
    fn names_that_are_never_served() {
        let scratch = Scratch::new();
        for name in
            [".git/config", ".env", "a/.env", "page.html~", "a~/b", "a/.well-known/x", "a\\b", "ok"]
        {
            scratch.write(name, "secret");
        }
        let refused: [&[u8]; 20] = [
            b"",
            b"ok",
            b"//ok",
            b"/a//b",
            b"/ok\0",
            b"/ok\0.html",
            b"/..",
            b"/../ok",
            b"/a/../ok",
            b"/./ok",
            b"/a\\b",
            b"/\xc0\xafok",
            b"/\xff",
            b"/.git/config",
            b"/.env",
            b"/a/.env",
            b"/page.html~",
            b"/a~/b",
            b"/a/.well-known/x",
            b"//",
        ];
        for path in refused {
            assert!(!is_servable(path), "{}", path.escape_ascii());
            expect(&scratch, path, "not found");
        }
        // Decoded once already: what is left is a name.
        scratch.write("%2e%2e", "x");
        expect(&scratch, "/%2e%2e", "file");
        scratch.write("a;v=1", "x");
        expect(&scratch, "/a;v=1", "file");
    }

    // H77
    #[test]
    fn well_known_is_served_but_nothing_hidden_in_it() {
        let scratch = Scratch::new();
        scratch.write(".well-known/acme-challenge/token", "x");
        scratch.write(".well-known/.hidden", "x");
        expect(&scratch, "/.well-known/acme-challenge/token", "file");
        expect(&scratch, "/.well-known", "directory");
        expect(&scratch, "/.well-known/.hidden", "not found");
    }

    // H75
    #[test]
    fn links_are_followed_as_far_as_is_configured() {
        let scratch = Scratch::new();
        scratch.write("outside.txt", "outside");
        scratch.write("site/a.txt", "a");
        symlink("a.txt", scratch.path().join("site/inner.txt")).unwrap();
        symlink("../outside.txt", scratch.path().join("site/out.txt")).unwrap();
        let absolute = scratch.path().join("outside.txt");
        symlink(absolute, scratch.path().join("site/absolute.txt")).unwrap();
        for (symlinks, expected) in [
            (Symlinks::Inside, ["file", "file", "not found", "not found"]),
            (Symlinks::Never, ["file", "not found", "not found", "not found"]),
            (Symlinks::Anywhere, ["file", "file", "file", "file"]),
        ] {
            for way in [Way::Kernel, Way::Walk] {
                let mut root = FileRoot::open(&scratch.path().join("site"), symlinks).unwrap();
                root.resolution.way = way;
                let paths: [&[u8]; 4] = [b"/a.txt", b"/inner.txt", b"/out.txt", b"/absolute.txt"];
                let found = paths.map(|path| kind(&root.find(path, &index())));
                assert_eq!(found, expected, "{symlinks:?} by {way:?}");
            }
        }
    }

    #[test]
    fn links_are_followed_beneath_the_root_and_not_out_of_it() {
        let outside = Scratch::new();
        outside.write("secret", "secret");
        let scratch = Scratch::new();
        scratch.write("..data/page.html", "<p>");
        scratch.write("a/b/file", "x");
        let link = |target: &Path, name: &str| symlink(target, scratch.path().join(name)).unwrap();
        link(Path::new("..data/page.html"), "page.html");
        link(Path::new("..data"), "current");
        link(Path::new("../../..data/page.html"), "a/b/up");
        link(Path::new("b/"), "a/slash");
        link(Path::new("b/.."), "a/self");
        link(outside.path(), "out");
        link(&outside.path().join("secret"), "out-file");
        link(
            &Path::new("..").join(outside.path().file_name().unwrap()).join("secret"),
            "out-relative",
        );
        link(&scratch.path().join("a/b/file"), "absolute-inside");
        link(Path::new("loop"), "loop");
        link(Path::new("/proc/self/root"), "magic");
        link(Path::new("gone"), "dangling");

        expect(&scratch, "/page.html", "file");
        expect(&scratch, "/current/page.html", "file");
        expect(&scratch, "/a/b/up", "file");
        expect(&scratch, "/a/slash/file", "file");
        expect(&scratch, "/a/slash", "directory");
        expect(&scratch, "/a/self", "directory");
        expect(&scratch, "/a/self/b/file", "file");
        expect(&scratch, "/out/secret", "not found");
        expect(&scratch, "/out-file", "not found");
        expect(&scratch, "/out-relative", "not found");
        expect(&scratch, "/absolute-inside", "not found");
        expect(&scratch, "/loop", "not found");
        expect(&scratch, "/magic/etc/passwd", "not found");
        expect(&scratch, "/dangling", "not found");
    }

    // H75: a directory swapped for a link between check and use.
    #[test]
    fn a_swapped_link_never_leads_out() {
        let outside = Scratch::new();
        outside.write("file", "secret");
        let scratch = Scratch::new();
        scratch.write("a/file", "public");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let at = |name: &str| scratch.path().join(name);
                symlink(outside.path(), at("link")).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    fs::rename(at("a"), at("kept")).unwrap();
                    fs::rename(at("link"), at("a")).unwrap();
                    fs::rename(at("a"), at("link")).unwrap();
                    fs::rename(at("kept"), at("a")).unwrap();
                }
            });
            for root in roots(&scratch) {
                for _ in 0..2000 {
                    if let Found::File(entry) = root.find(b"/a/file", &FileRules::default()) {
                        let mut bytes = [0; 6];
                        match (&entry.content, entry.fd()) {
                            (Some(content), _) => bytes.copy_from_slice(content),
                            (None, Some(fd)) => {
                                let file = File::from(fd.try_clone_to_owned().unwrap());
                                std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0)
                                    .unwrap();
                            }
                            (None, None) => panic!("neither content nor file"),
                        }
                        assert_eq!(&bytes, b"public");
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn f85_what_is_run_is_never_sent() {
        let scratch = Scratch::new();
        for name in ["a.php", "A.PHP", "a.php.bak", "b/index.php", "c.phtml", "c.txt"] {
            scratch.write(name, "<?php secret");
        }
        let rules = FileRules {
            scripts: vec![".php".to_owned()],
            index: vec!["index.php".to_owned()],
            try_files: vec!["$path".to_owned(), "$path.php".to_owned()],
            ..FileRules::default()
        };
        for root in roots(&scratch) {
            for path in ["/a.php", "/A.PHP", "/a.php.bak", "/b/", "/c.phtml", "/a"] {
                assert_eq!(kind(&root.find(path.as_bytes(), &rules)), "not found", "{path}");
            }
            assert_eq!(kind(&root.find(b"/c.txt", &rules)), "file");
        }
    }

    #[test]
    fn f79_f87_a_script_is_a_regular_file_beneath_the_folder_as_it_is_now() {
        let scratch = Scratch::new();
        scratch.write("releases/1/index.php", "");
        scratch.write("releases/1/dir.php/x", "");
        scratch.write("outside.php", "");
        symlink("releases/1", scratch.path().join("current")).unwrap();
        symlink("../../outside.php", scratch.path().join("releases/1/out.php")).unwrap();
        let root = FileRoot::open(&scratch.path().join("current"), Symlinks::Inside).unwrap();
        let paths: [&[u8]; 5] =
            [b"/none.php", b"/dir.php", b"/out.php", b"/index.php", b"/index.php"];
        let Sighting { index, folder, is_executable } = root.first_file(&paths).unwrap().unwrap();
        assert_eq!((index, is_executable), (3, false));
        assert_eq!(folder, scratch.path().canonicalize().unwrap().join("releases/1"));
        assert!(root.first_file(&paths[..3]).unwrap().is_none());
        assert!(root.first_file(&[b"/.hidden.php", b"/index.php/x"]).unwrap().is_none());
    }

    // H76
    #[test]
    fn special_files_are_not_found_and_do_not_block() {
        let scratch = Scratch::new();
        let fifo = [scratch.path().join("fifo").as_os_str().as_encoded_bytes(), b"\0"].concat();
        // SAFETY: the path is NUL-terminated.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr().cast(), 0o644) }, 0);
        let _listener = UnixListener::bind(scratch.path().join("socket")).unwrap();
        expect(&scratch, "/fifo", "not found");
        expect(&scratch, "/socket", "not found");
        let dev = FileRoot::open(Path::new("/dev"), Symlinks::Inside).unwrap();
        assert_eq!(kind(&dev.find(b"/null", &FileRules::default())), "not found");
    }

    #[test]
    fn errors_tell_missing_from_forbidden_from_failed() {
        for (code, expected) in [
            (libc::ENOENT, "not found"),
            (libc::ENAMETOOLONG, "not found"),
            (libc::EXDEV, "not found"),
            (libc::EACCES, "forbidden"),
            (libc::EMFILE, "failed"),
            (libc::ENFILE, "failed"),
            (libc::EIO, "failed"),
        ] {
            assert_eq!(kind(&found_from(&io::Error::from_raw_os_error(code))), expected);
        }
    }

    #[test]
    fn unreadable_files_are_forbidden() {
        let scratch = Scratch::new();
        let path = scratch.write("a", "x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // Root reads everything.
        let expected = if File::open(&path).is_ok() { "file" } else { "forbidden" };
        expect(&scratch, "/a", expected);
    }

    // H82
    #[test]
    fn revalidation_keeps_an_unchanged_entry_and_notices_any_change() {
        let scratch = Scratch::new();
        let large = INLINE_LIMIT as usize + 1;
        let path = scratch.write("a", vec![b'a'; large]);
        scratch.write("d/index.htm", vec![b'a'; large]);
        for root in roots(&scratch) {
            let Found::File(entry) = root.find(b"/a", &FileRules::default()) else { panic!() };
            let Found::File(again) = root.revalidate(&entry, b"/a", &FileRules::default()) else {
                panic!()
            };
            assert!(Arc::ptr_eq(&entry, &again));

            // Replaced by one of equal size and modification time.
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let other = scratch.write("b", vec![b'b'; large]);
            File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
            fs::rename(&other, &path).unwrap();
            let Found::File(replaced) = root.revalidate(&entry, b"/a", &FileRules::default())
            else {
                panic!()
            };
            assert!(!Arc::ptr_eq(&entry, &replaced));
            assert_ne!(entry.etag, replaced.etag);

            // An index file that comes before the one that was found.
            let Found::File(entry) = root.find(b"/d/", &index()) else { panic!() };
            let Found::File(again) = root.revalidate(&entry, b"/d/", &index()) else { panic!() };
            assert!(Arc::ptr_eq(&entry, &again));
            let first = scratch.write("d/index.html", "<p>");
            let Found::File(again) = root.revalidate(&entry, b"/d/", &index()) else { panic!() };
            assert_eq!(again.size, 3);
            fs::remove_file(first).unwrap();

            // Gone, and no longer a file.
            fs::remove_file(&path).unwrap();
            assert_eq!(
                kind(&root.revalidate(&replaced, b"/a", &FileRules::default())),
                "not found"
            );
            fs::create_dir(&path).unwrap();
            assert_eq!(
                kind(&root.revalidate(&replaced, b"/a", &FileRules::default())),
                "directory"
            );
            fs::remove_dir(&path).unwrap();
            scratch.write("a", vec![b'a'; large]);
        }
    }

    // H82
    #[test]
    fn what_the_kernel_has_in_memory_tells_an_unchanged_file_from_any_other() {
        let scratch = Scratch::new();
        let outside = Scratch::new();
        let large = vec![b'a'; INLINE_LIMIT as usize + 1];
        let path = scratch.write("a", &large);
        let secret = outside.write("secret", &large);
        let rules = FileRules { try_files: vec!["$path".into(), "/d/".into()], ..index() };
        let [kernel, walk] = roots(&scratch);
        let folder = kernel.directory();
        // A file system of another machine may refuse.
        let can = kernel.resolution.open_at_once(folder.as_fd(), b"a").is_ok();
        let is_unchanged = |path: &[u8], entry: &FileEntry| {
            assert!(!walk.is_unchanged(entry, path, &rules), "only the kernel can");
            kernel.is_unchanged(entry, path, &rules)
        };
        let find = |path: &[u8]| match kernel.find(path, &rules) {
            Found::File(entry) => entry,
            found => panic!("{found:?}"),
        };

        let entry = find(b"/a");
        assert_eq!(is_unchanged(b"/a", &entry), can);
        fs::remove_file(&path).unwrap();
        assert!(!is_unchanged(b"/a", &entry), "gone");
        symlink(&secret, &path).unwrap();
        assert!(!is_unchanged(b"/a", &entry), "a link out");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!is_unchanged(b"/a", &entry), "a folder");
        fs::remove_dir(&path).unwrap();
        scratch.write("a", &large);
        assert!(!is_unchanged(b"/a", &entry), "another file");

        // The second path that is tried, and the second index file.
        scratch.write("d/index.htm", &large);
        let entry = find(b"/b");
        assert_eq!(is_unchanged(b"/b", &entry), can);
        let first = scratch.write("d/index.html", "<p>");
        assert!(!is_unchanged(b"/b", &entry), "an index file before it");
        fs::remove_file(first).unwrap();
        assert_eq!(is_unchanged(b"/b", &entry), can);
        fs::create_dir(scratch.path().join("b")).unwrap();
        assert!(!is_unchanged(b"/b", &entry), "a folder before it, which gets its slash");
        assert_eq!(kind(&kernel.revalidate(&entry, b"/b", &rules)), "directory");
        fs::remove_dir(scratch.path().join("b")).unwrap();

        // The folder's own name is looked at by who may wait.
        kernel.state.lock().unwrap().checked = Instant::now().checked_sub(RECHECK).unwrap();
        assert!(!is_unchanged(b"/b", &entry));
        kernel.directory();
        assert_eq!(is_unchanged(b"/b", &entry), can);
    }

    #[test]
    fn revalidation_takes_in_a_small_file_once_it_has_settled() {
        let scratch = Scratch::new();
        scratch.write("a", "x");
        let root = &roots(&scratch)[0];
        let Found::File(mut entry) = root.find(b"/a", &FileRules::default()) else { panic!() };
        while entry.content.is_none() {
            let Found::File(again) = root.revalidate(&entry, b"/a", &FileRules::default()) else {
                panic!()
            };
            entry = again;
            std::thread::yield_now();
        }
        let Found::File(again) = root.revalidate(&entry, b"/a", &FileRules::default()) else {
            panic!()
        };
        assert!(Arc::ptr_eq(&entry, &again));
    }

    fn packing() -> FileRules {
        FileRules { compress: true, ..FileRules::default() }
    }

    fn only_gzip() -> Accepted {
        Accepted::parse(b"gzip")
    }

    #[test]
    fn what_was_compressed_is_held_within_the_budget_and_no_longer() {
        let scratch = Scratch::new();
        scratch.write("a.txt", b"gateway ".repeat(8192));
        let root = FileRoot::open(scratch.path(), Symlinks::Inside).unwrap();
        let Found::File(entry) = root.find(b"/a.txt", &packing()) else { panic!() };
        assert_eq!(entry.negotiate(only_gzip()).1, Some(Coding::Gzip));
        root.pack(&entry, Coding::Gzip, None);
        let (packed, wanted) = entry.negotiate(only_gzip());
        assert!(packed.size < entry.size && wanted.is_none());
        let held = Arc::downgrade(&packed);
        drop(packed);
        assert!(held.upgrade().is_some());

        root.lock_packed().shrink_to(0);
        assert!(held.upgrade().is_none());
        let (plain, wanted) = entry.negotiate(only_gzip());
        assert!(Arc::ptr_eq(&plain, &entry));
        assert_eq!(wanted, Some(Coding::Gzip));
        root.pack(&entry, Coding::Gzip, None);
        assert!(entry.negotiate(only_gzip()).0.size < entry.size);
    }

    #[test]
    fn a_file_of_two_names_has_the_header_lines_of_each() {
        let scratch = Scratch::new();
        let path = scratch.write("a.txt", b"gateway ".repeat(8192));
        fs::hard_link(path, scratch.path().join("a.html")).unwrap();
        let root = FileRoot::open(scratch.path(), Symlinks::Inside).unwrap();
        for (path, content_type) in [("/a.txt", "text/plain"), ("/a.html", "text/html")] {
            let Found::File(entry) = root.find(path.as_bytes(), &packing()) else { panic!() };
            root.pack(&entry, Coding::Gzip, None);
            let headers = entry.negotiate(only_gzip()).0.headers.to_vec();
            let headers = String::from_utf8(headers).unwrap();
            assert!(headers.starts_with(&format!("Content-Type: {content_type};")), "{headers}");
            assert!(headers.contains("Content-Encoding: gzip\r\n"), "{headers}");
        }
    }

    #[test]
    fn files_beside_a_file_count_as_open_too() {
        let scratch = Scratch::new();
        scratch.write("a.js", vec![b'a'; 100_000]);
        scratch.write("a.js.gz", vec![b'g'; 50_000]);
        scratch.write("a.js.br", vec![b'b'; 50_000]);
        let root = FileRoot::open(scratch.path(), Symlinks::Inside).unwrap();
        let Found::File(entry) = root.find(b"/a.js", &packing()) else { panic!() };
        assert_eq!(entry.descriptors(), 3);
    }

    #[test]
    fn revalidation_notices_a_file_beside_that_was_not_there() {
        let scratch = Scratch::new();
        scratch.write("a.js", vec![b'a'; 100_000]);
        let root = FileRoot::open(scratch.path(), Symlinks::Inside).unwrap();
        let Found::File(entry) = root.find(b"/a.js", &packing()) else { panic!() };
        let again = |entry| match root.revalidate(entry, b"/a.js", &packing()) {
            Found::File(entry) => entry,
            found => panic!("{found:?}"),
        };
        assert!(Arc::ptr_eq(&entry, &again(&entry)));
        scratch.write("a.js.gz", vec![b'g'; 50_000]);
        let entry = again(&entry);
        assert_eq!(entry.negotiate(only_gzip()).0.size, 50_000);
        fs::remove_file(scratch.path().join("a.js.gz")).unwrap();
        assert_eq!(again(&entry).negotiate(only_gzip()).0.size, 100_000);
    }

    #[test]
    fn a_root_must_be_a_directory() {
        let scratch = Scratch::new();
        let file = scratch.write("a", "x");
        assert_eq!(
            FileRoot::open(&file, Symlinks::Inside).unwrap_err().raw_os_error(),
            Some(libc::ENOTDIR)
        );
        assert!(FileRoot::open(scratch.path(), Symlinks::Inside).is_ok());
    }
}
