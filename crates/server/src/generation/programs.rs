//! Programs as a generation has them: what runs, and which files are never sent because they run.

use crate::config::{self, Config};
use crate::error::{Error, ErrorKind};
use crate::upstreams::Upstream;
use gwanmun_files::{FileRoot, FileRules, Symlinks};
use gwanmun_reactor::blocking::patiently;
use gwanmun_sys::process::Limits;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A program that speaks FastCGI, or programs that are started.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) scripts: Scripts,
    /// Names and values of the deployer's.
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) pass_authorization: bool,
}

/// What runs.
#[derive(Debug)]
pub(crate) enum Scripts {
    /// The program knows itself what a path means.
    None,
    /// Scripts, which the program that speaks FastCGI runs.
    Of { root: Arc<FileRoot>, rules: config::Scripts },
    /// Files that are started; all of a folder, or one.
    Started { root: Arc<FileRoot>, only: Option<Vec<u8>>, limits: Limits },
}

impl Scripts {
    pub(crate) fn root(&self) -> Option<&Arc<FileRoot>> {
        match self {
            Self::None => None,
            Self::Of { root, .. } | Self::Started { root, .. } => Some(root),
        }
    }
}

pub(super) fn fastcgi(
    own: &config::FastCgi,
    upstreams: &[Arc<Upstream>],
    index: usize,
) -> Result<Program, Error> {
    let scripts = match &own.scripts {
        Some(rules) => {
            let root =
                open_folder(&rules.root, rules.symlinks, &format!("mounts[{index}].fastcgi"))?;
            Scripts::Of { root, rules: rules.clone() }
        }
        None => Scripts::None,
    };
    Ok(Program {
        upstream: upstream(upstreams, own.upstream)?,
        scripts,
        env: pairs(&own.env),
        pass_authorization: own.pass_authorization,
    })
}

pub(super) fn cgi(
    own: &config::Cgi,
    upstreams: &[Arc<Upstream>],
    index: usize,
) -> Result<Program, Error> {
    let root = open_folder(&own.folder, Symlinks::Inside, &format!("mounts[{index}].cgi"))?;
    let config::CgiLimits { cpu, memory, file_size } = own.limits;
    let only = own.program.as_ref().map(|name| format!("/{name}").into_bytes());
    let limits = Limits { cpu, memory, file_size };
    Ok(Program {
        upstream: upstream(upstreams, own.upstream)?,
        scripts: Scripts::Started { root, only, limits },
        env: pairs(&own.env),
        pass_authorization: own.pass_authorization,
    })
}

fn upstream(upstreams: &[Arc<Upstream>], index: usize) -> Result<Arc<Upstream>, Error> {
    upstreams.get(index).map(Arc::clone).ok_or_else(|| {
        let message = "A mount names an upstream that does not exist.".to_owned();
        Error::new(ErrorKind::Config, message)
    })
}

fn open_folder(path: &Path, symlinks: Symlinks, part: &str) -> Result<Arc<FileRoot>, Error> {
    let root = FileRoot::open(path, symlinks).map_err(|error| {
        let what = format!("The folder {} can't be used", path.display());
        Error::io(ErrorKind::Files, &what, &error).at(part.to_owned())
    })?;
    Ok(Arc::new(root))
}

fn pairs(env: &BTreeMap<String, String>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |text: &String| text.as_bytes().to_vec();
    env.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}

/// A folder in which files are run, by its real path.
pub(super) struct ScriptFolder {
    path: PathBuf,
    /// What the names of scripts end in. None: every file is one.
    extensions: Option<Vec<String>>,
    /// The name of the only one.
    only: Option<String>,
}

pub(super) fn script_folders(config: &Config) -> Result<Vec<ScriptFolder>, Error> {
    let mut folders = Vec::new();
    for mount in &config.mounts {
        if let Some(own) = mount.fastcgi.as_ref().and_then(|own| own.scripts.as_ref()) {
            let extensions = Some(own.extensions.clone());
            folders.push(ScriptFolder { path: real_path(&own.root)?, extensions, only: None });
        }
        if let Some(own) = &mount.cgi {
            let (path, only) = (real_path(&own.folder)?, own.program.clone());
            folders.push(ScriptFolder { path, extensions: None, only });
        }
    }
    Ok(folders)
}

/// Whichever mount is about files where there are scripts, it never sends those (C63, F85).
pub(super) fn hide_scripts(
    rules: &mut FileRules,
    root: &Path,
    folders: &[ScriptFolder],
) -> Result<(), Error> {
    if folders.is_empty() {
        return Ok(());
    }
    let root = real_path(root)?;
    for ScriptFolder { path, extensions, only } in folders {
        // The program as it lies in the files' folder, or the other way round.
        let beneath = match only {
            Some(name) => path.join(name),
            None => path.clone(),
        };
        match extensions {
            Some(extensions) if root.starts_with(path) || path.starts_with(&root) => {
                rules.scripts.extend(extensions.iter().cloned());
            }
            Some(_) => {}
            None if root.starts_with(path) && only.is_none() => rules.hidden.push(b"/".to_vec()),
            None => {
                if let Ok(relative) = beneath.strip_prefix(&root) {
                    let relative = relative.as_os_str().as_encoded_bytes();
                    rules.hidden.push([b"/", relative].concat());
                }
            }
        }
    }
    Ok(())
}

fn real_path(path: &Path) -> Result<PathBuf, Error> {
    let own = path.to_owned();
    patiently(path, move || own.canonicalize()).map_err(|error| {
        let what = format!("The folder {} can't be used", path.display());
        Error::io(ErrorKind::Files, &what, &error)
    })
}
