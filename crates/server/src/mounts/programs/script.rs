//! Which script a request is for, and what its program is told.

use crate::config::Scripts as Rules;
use crate::exchange::Exchange;
use crate::generation::Program;
use gwanmun_cgi::variables::{Script, Settings, Variables};
use gwanmun_files::is_servable;
use gwanmun_files::scripts::{has_encoded_slash, is_source, split};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_http1::path;
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

/// What a path may mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The first of these that there is.
    Candidates(Vec<Candidate>),
    Refused(u16),
}

/// What the path of a request may mean, where it is no file (F91). `head`: as it is encoded.
pub(super) fn name(head: &[u8], rules: &Rules) -> Named {
    let view = HeadView::new(head);
    let path = view.piece(Piece::PathInfo);
    let target = view.piece(Piece::Target);
    let raw = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    names(path, raw, rules)
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
    let (Some(Found { candidate, root }), Some(scripts)) = (found, &program.scripts) else {
        // It gets all of them, and knows itself what its path means.
        let script =
            Script { name: prefix, path_info: view.piece(Piece::PathInfo), file: None, root: None };
        return Variables::new(&view, &script, &settings);
    };
    let root = match &scripts.rules.root_there {
        Some(there) => there.trim_end_matches('/').as_bytes(),
        None => root.as_os_str().as_encoded_bytes(),
    };
    // The folder that is the root of all.
    let base = if root == b"/" { b"" } else { root };
    let name = [prefix, &candidate.path].concat();
    let file = [base, &candidate.path].concat();
    let script =
        Script { name: &name, path_info: &candidate.info, file: Some(&file), root: Some(root) };
    Variables::new(&view, &script, &settings)
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
