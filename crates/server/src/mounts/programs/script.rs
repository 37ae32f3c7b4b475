//! Which script a request is for, and what its program is told.

use crate::config::Scripts as Rules;
use crate::exchange::Exchange;
use crate::generation::{Program, Scripts};
use gwanmun_cgi::variables::{Script, Settings, Variables};
use gwanmun_files::is_servable;
use gwanmun_files::scripts::{has_encoded_slash, is_source, split};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_http1::path;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A script that may be meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Beneath the mount, from a slash on.
    pub(super) path: Vec<u8>,
    /// What is behind it.
    info: Vec<u8>,
}

/// The script that is meant.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) candidate: Candidate,
    /// Its folder, with its links resolved.
    pub(super) root: PathBuf,
}

impl Found {
    /// Its file.
    pub(super) fn file(&self) -> PathBuf {
        let relative = self.candidate.path.strip_prefix(b"/").unwrap_or_default();
        self.root.join(OsStr::from_bytes(relative))
    }
}

/// What a path may mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The first of these that there is.
    Candidates(Vec<Candidate>),
    Refused(u16),
}

/// What the path of a request may mean, where it is no file (F91). `head`: as it is encoded.
pub(super) fn name(head: &[u8], scripts: &Scripts) -> Named {
    let view = HeadView::new(head);
    let path = view.piece(Piece::PathInfo);
    let target = view.piece(Piece::Target);
    let raw = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    match scripts {
        Scripts::None => Named::Candidates(Vec::new()),
        Scripts::Of { rules, .. } => names(path, raw, rules),
        Scripts::Started { only: Some(only), .. } => {
            Named::Candidates(vec![Candidate { path: only.clone(), info: path.to_vec() }])
        }
        Scripts::Started { only: None, .. } => prefixes(path, raw),
    }
}

/// Folders above a program that are looked through.
const MOST_FOLDERS: usize = 16;

/// Every path that ends with a segment of this one: the first that is a file is a program, and what is behind it PATH_INFO.
fn prefixes(path: &[u8], raw: &[u8]) -> Named {
    // What it separates is a matter of opinion (H69). One behind the program is let go of with the others.
    let none: [&str; 0] = [];
    if has_encoded_slash(raw, &none) {
        return Named::Refused(404);
    }
    let mut candidates = Vec::new();
    let mut end = 0;
    while end < path.len() && candidates.len() < MOST_FOLDERS {
        let start = end + path[end..].iter().take_while(|&&byte| byte == b'/').count();
        let segment = path[start..].iter().position(|&byte| byte == b'/');
        end = segment.map_or(path.len(), |length| start + length);
        let mut program = path[..end].to_vec();
        path::merge(&mut program);
        if start == end || !is_servable(&program) {
            break;
        }
        candidates.push(Candidate { path: program, info: path[end..].to_vec() });
    }
    if candidates.is_empty() { Named::Refused(404) } else { Named::Candidates(candidates) }
}

/// `path`: behind the mount's, decoded, in which slashes may be doubled; `raw`: all of it as it came.
fn names(path: &[u8], raw: &[u8], rules: &Rules) -> Named {
    let may_run = |script: &[u8]| {
        rules.only.as_ref().is_none_or(|only| only.iter().any(|own| own.as_bytes() == script))
    };
    if let Some(end) = split(path, &rules.extensions) {
        let mut script = path[..end].to_vec();
        path::merge(&mut script);
        if has_encoded_slash(raw, &rules.extensions) || !is_servable(&script) || !may_run(&script) {
            return Named::Refused(404);
        }
        // F86.
        if is_beneath_any(&script, &rules.no_exec) {
            return Named::Refused(403);
        }
        return Named::Candidates(vec![Candidate { path: script, info: path[end..].to_vec() }]);
    }
    // F84.
    if is_source(path, &rules.extensions) {
        return Named::Refused(404);
    }
    let Some(index) = &rules.index else { return Named::Refused(404) };
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut folder = path.to_vec();
    path::merge(&mut folder);
    if folder.is_empty() {
        folder.push(b'/');
    }
    for folder in [folder.as_slice(), b"/"] {
        let script = [folder, index.as_bytes()].concat();
        if folder.ends_with(b"/")
            && is_servable(&script)
            && may_run(&script)
            && !is_beneath_any(&script, &rules.no_exec)
            && candidates.iter().all(|other| other.path != script)
        {
            candidates.push(Candidate { path: script, info: Vec::new() });
        }
    }
    if candidates.is_empty() { Named::Refused(404) } else { Named::Candidates(candidates) }
}

fn is_beneath_any(path: &[u8], folders: &[String]) -> bool {
    folders.iter().any(|folder| {
        let folder = folder.trim_end_matches('/').as_bytes();
        path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
    })
}

/// What a program is told of a request.
pub(super) fn variables(
    exchange: &Exchange,
    program: &Program,
    found: Option<&Found>,
) -> Variables {
    let view = HeadView::new(&exchange.head);
    let settings = Settings {
        software: &exchange.generation.software,
        env: &program.env,
        pass_authorization: program.pass_authorization,
    };
    let prefix = view.piece(Piece::ScriptName);
    let Some(found) = found else {
        // It gets all of them, and knows itself what its path means.
        let info = view.piece(Piece::PathInfo);
        let script = Script { name: prefix, path_info: info, file: None, root: None };
        return Variables::new(&view, &script, &settings);
    };
    let Found { candidate, root } = found;
    let there = match &program.scripts {
        Scripts::Of { rules, .. } => rules.root_there.as_deref(),
        Scripts::None | Scripts::Started { .. } => None,
    };
    let root = match there {
        Some(there) => there.trim_end_matches('/').as_bytes(),
        None => root.as_os_str().as_encoded_bytes(),
    };
    // The folder that is the root of all.
    let base = if root == b"/" { b"" } else { root };
    let name = match &program.scripts {
        Scripts::Started { only: Some(_), .. } => prefix.to_vec(),
        _ => [prefix, &candidate.path].concat(),
    };
    let file = [base, &candidate.path].concat();
    let script =
        Script { name: &name, path_info: &candidate.info, file: Some(&file), root: Some(root) };
    Variables::new(&view, &script, &settings)
}

/// Where programs are looked for that a program starts, if its mount does not say it.
const PATH: &[u8] = b"PATH=/usr/local/bin:/usr/bin:/bin";
/// Bytes of one variable, and of all: what every kernel takes (C66).
const MOST_BYTES: usize = 128 * 1024 - 1;
const MOST_BYTES_IN_ALL: usize = 512 * 1024;

/// The environment of a program that is started: these variables, and nothing of the server's (C48). None: it is too much.
pub(super) fn environment(variables: &Variables) -> Option<Vec<CString>> {
    if variables.size() > MOST_BYTES_IN_ALL {
        return None;
    }
    let has_path = variables.iter().any(|(name, _)| name == b"PATH");
    let mut all = if has_path { Vec::new() } else { vec![CString::new(PATH).ok()?] };
    for (name, value) in variables.iter().filter(|(name, _)| !name.is_empty()) {
        let text = [name, b"=", value].concat();
        if text.len() > MOST_BYTES {
            return None;
        }
        all.push(CString::new(text).ok()?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            root: PathBuf::from("/srv"),
            root_there: None,
            index: Some("index.php".to_owned()),
            extensions: vec![".php".to_owned()],
            only: None,
            no_exec: vec!["/uploads".to_owned()],
            symlinks: Default::default(),
        }
    }

    /// Each script with what is behind it.
    fn found(path: &str, rules: &Rules) -> Result<Vec<(String, String)>, u16> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        match names(path.as_bytes(), path.as_bytes(), rules) {
            Named::Refused(status) => Err(status),
            Named::Candidates(all) => {
                Ok(all.into_iter().map(|own| (text(own.path), text(own.info))).collect())
            }
        }
    }

    fn only(path: &str, info: &str) -> Result<Vec<(String, String)>, u16> {
        Ok(vec![(path.to_owned(), info.to_owned())])
    }

    #[test]
    fn f75_to_f77_a_path_is_split_at_its_script() {
        assert_eq!(found("/a.php", &rules()), only("/a.php", ""));
        assert_eq!(found("/a.php/b//c", &rules()), only("/a.php", "/b//c"));
        assert_eq!(found("/d//a.php/", &rules()), only("/d/a.php", "/"));
        // F80: the image is no script, whatever stands behind it.
        assert_eq!(found("/i/evil.jpg/x.php", &rules()), only("/i/evil.jpg/x.php", ""));
    }

    #[test]
    fn f91_what_is_no_script_is_a_folder_or_the_front_controllers() {
        let both = Ok(vec![
            ("/wp-admin/index.php".to_owned(), String::new()),
            ("/index.php".to_owned(), String::new()),
        ]);
        assert_eq!(found("/wp-admin/", &rules()), both);
        assert_eq!(found("/hello-world", &rules()), only("/index.php", ""));
        assert_eq!(found("/", &rules()), only("/index.php", ""));
        assert_eq!(found("", &rules()), only("/index.php", ""));
        assert_eq!(found("/.well-known/acme", &rules()), only("/index.php", ""));
        assert_eq!(found("/a", &Rules { index: None, ..rules() }), Err(404));
    }

    #[test]
    fn c02_c14_c62_a_program_is_a_prefix_that_ends_with_a_segment() {
        let found = |path: &str| match prefixes(path.as_bytes(), path.as_bytes()) {
            Named::Refused(status) => Err(status),
            Named::Candidates(all) => Ok(all
                .iter()
                .map(|own| {
                    [&own.path, &own.info].map(|text| String::from_utf8_lossy(text).into_owned())
                })
                .collect::<Vec<_>>()),
        };
        let pairs = |all: &[[&str; 2]]| Ok(all.iter().map(|own| own.map(str::to_owned)).collect());
        assert_eq!(found("/a.pl"), pairs(&[["/a.pl", ""]]));
        assert_eq!(
            found("/d//a/b//c"),
            pairs(&[["/d", "//a/b//c"], ["/d/a", "/b//c"], ["/d/a/b", "//c"], ["/d/a/b/c", ""]])
        );
        assert_eq!(found("/a/"), pairs(&[["/a", "/"]]));
        assert_eq!(found("/a/.hidden"), pairs(&[["/a", "/.hidden"]]));
        for path in ["", "/", "/.a", "/a~/b", "/a%2fb"] {
            assert_eq!(found(path), Err(404), "{path}");
        }
        let deep = "/a".repeat(100);
        assert_eq!(found(&deep).map(|all| all.len()), Ok(MOST_FOLDERS));
    }

    #[test]
    fn f84_f86_f93_what_must_not_run_does_not() {
        for path in
            ["/a.PHP", "/a.phps", "/a.php.", "/a.php~", "/.git/a.php", "/..a.php/x", "/a~/b.php"]
        {
            assert_eq!(found(path, &rules()), Err(404), "{path}");
        }
        assert_eq!(found("/uploads/a.php", &rules()), Err(403));
        assert_eq!(found("/uploads//x/a.php/b", &rules()), Err(403));
        assert_eq!(found("/uploads/", &rules()), only("/index.php", ""));
        assert_eq!(found("/uploadsx/a.php", &rules()), only("/uploadsx/a.php", ""));
        let front = Rules { only: Some(vec!["/index.php".to_owned()]), ..rules() };
        assert_eq!(found("/other.php", &front), Err(404));
        assert_eq!(found("/index.php/a", &front), only("/index.php", "/a"));
        assert_eq!(found("/x/", &front), only("/index.php", ""));
        assert_eq!(names(b"/a/b.php", b"/a%2fb.php", &rules()), Named::Refused(404));
    }
}
