//! Folders whose files an application may name by path.

use super::{FileRoot, FileRules, Found};
use crate::Files;
use crate::Symlinks;
use gwanmun_reactor::blocking::patiently;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folders of a mount's `sendfile`.
#[derive(Debug)]
pub struct AllowedFolders {
    folders: Vec<(Vec<PathBuf>, Arc<Files>)>,
}

impl AllowedFolders {
    /// Opens the folders. `compress`: their files are compressed for clients that take it; what is made of them stays in memory, for
    /// it is not for everyone. BLOCKING.
    ///
    /// # Errors
    /// With the folder that can't be opened.
    pub fn open(paths: &[PathBuf], compress: bool) -> Result<Self, (&Path, io::Error)> {
        let folders = paths.iter().map(|path| {
            let root =
                FileRoot::open(path, Symlinks::Inside).map_err(|error| (path.as_path(), error))?;
            // An application may know the folder by the name that it was given, or by its real one.
            let mut names = vec![path.clone()];
            let own = path.clone();
            let real = patiently(path, move || own.canonicalize());
            names.extend(real.ok().filter(|real| real != path));
            let rules = FileRules { compress, ..FileRules::default() };
            Ok((names, Arc::new(Files { root, rules, packed: None })))
        });
        Ok(Self { folders: folders.collect::<Result<_, _>>()? })
    }

    /// The folder that is looked in first. `None`: the path leads to none of them.
    pub fn first(&self, path: &[u8]) -> Option<&Arc<Files>> {
        if path.starts_with(b"/") {
            return self.beneath(path).map(|(files, _)| files);
        }
        self.folders.first().map(|(_, files)| files)
    }

    /// The folder that an absolute path leads to, and the rest of the path.
    fn beneath<'a>(&self, path: &'a [u8]) -> Option<(&Arc<Files>, &'a [u8])> {
        self.folders.iter().find_map(|(names, files)| {
            let beneath = names.iter().find_map(|name| {
                let rest = path.strip_prefix(name.as_os_str().as_bytes())?;
                rest.starts_with(b"/").then_some(rest)
            })?;
            Some((files, beneath))
        })
    }

    /// The file of an absolute path beneath one of the folders, or of a relative one beneath the first that has it; and its folder.
    /// `None`: the path leads to none of them. BLOCKING.
    pub fn find(&self, path: &[u8]) -> Option<(Found, Arc<Files>)> {
        let look = |files: &Arc<Files>, path: &[u8]| {
            (files.root.find(path, &files.rules), Arc::clone(files))
        };
        if !path.starts_with(b"/") {
            let relative = [b"/", path].concat();
            let mut last = None;
            for (_, files) in &self.folders {
                let found = look(files, &relative);
                if !matches!(found.0, Found::NotFound) {
                    return Some(found);
                }
                last = Some(found);
            }
            return last;
        }
        self.beneath(path).map(|(files, beneath)| look(files, beneath))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_is_beneath_a_folder_is_found() {
        let scratch = Scratch::new();
        for name in ["one/a", "two/a", "two/b", "onething/c"] {
            let path = scratch.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        symlink("../two/b", scratch.path().join("one/out")).unwrap();
        let paths = [scratch.path().join("one"), scratch.path().join("two")];
        let allowed = AllowedFolders::open(&paths, false).unwrap();
        let text = |path: &str| match allowed.find(path.as_bytes()).map(|(found, _)| found) {
            Some(Found::File(entry)) => entry.size.to_string(),
            Some(Found::NotFound) => "not found".to_owned(),
            Some(Found::Directory) => "a folder".to_owned(),
            Some(_) => "a failure".to_owned(),
            None => "nowhere".to_owned(),
        };
        let at = |name: &str| text(scratch.path().join(name).to_str().unwrap());
        assert_eq!((text("a"), text("b"), text("c")), ("5".into(), "5".into(), "not found".into()));
        assert_eq!((at("two/b"), at("one/c")), ("5".into(), "not found".into()));
        assert_eq!(at("onething/c"), "nowhere", "a name that only begins like the folder's");
        assert_eq!(at("one"), "nowhere");
        for path in ["../two/b", "out", "x/../a", "./a", "", "/etc/passwd", "a/"] {
            assert!(!matches!(allowed.find(path.as_bytes()), Some((Found::File(_), _))), "{path}");
        }
        assert_eq!(at("one/../two/b"), "not found");
    }
}
