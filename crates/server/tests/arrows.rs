//! Imports run down: a folder of this crate may use those below it in [`FLOORS`], and of a file's neighbours no circle has more than three.
//! Between crates Cargo sees to it.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top. What stands in one line may not use each other.
const FLOORS: &[&[&str]] = &[
    &["server"],
    &["thread"],
    &["clients", "mounts"],
    &["exchange"],
    &["transport", "shared"],
    &["generation"],
    &["filters"],
    &["router", "pools", "upstreams"],
    &["listener", "request_id", "spool", "usage", "trusted", "peer"],
    &["config"],
    &["error"],
];

#[test]
fn imports_between_folders_run_down() {
    let mut wrong = Vec::new();
    for (file, uses) in imports() {
        let own = module_of(&file)[0].clone();
        let floor = floor_of(&own).unwrap_or_else(|| panic!("{own} stands on no floor"));
        for target in uses.iter().map(|path| &path[0]).filter(|target| **target != own) {
            let below = floor_of(target).unwrap_or_else(|| panic!("{target} stands on no floor"));
            if below <= floor {
                wrong.push(format!("{} uses {target}", file.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_circle_of_files_is_larger_than_three() {
    let imports = imports();
    let modules: BTreeMap<Vec<String>, PathBuf> =
        imports.keys().map(|file| (module_of(file), file.clone())).collect();
    let edges: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = imports
        .iter()
        .map(|(file, uses)| {
            let target = |path: &Vec<String>| {
                (1..=path.len()).rev().find_map(|length| modules.get(&path[..length]))
            };
            (file, uses.iter().filter_map(target).filter(|target| *target != file).collect())
        })
        .collect();
    let reachable = |from: &PathBuf| {
        let mut seen: BTreeSet<&PathBuf> = BTreeSet::new();
        let mut next: Vec<&PathBuf> = edges[from].iter().copied().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(&edges[file]);
            }
        }
        seen
    };
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reachable(file))).collect();
    for (file, seen) in &reached {
        let circle: Vec<_> = seen.iter().filter(|other| reached[*other].contains(file)).collect();
        assert!(circle.len() <= 3, "a circle: {circle:?}");
    }
}

/// The number of a module's floor, from the top.
fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Of each file, the modules that it uses, from the crate's root.
fn imports() -> BTreeMap<PathBuf, Vec<Vec<String>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    // A test may use what it likes.
    let files = files.into_iter().filter(|file| !is_test(file)).map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        let name = file.strip_prefix(&root).unwrap().to_owned();
        let uses = uses_in(&text, &module_of(&name));
        (name, uses)
    });
    files.filter(|(name, _)| name != Path::new("lib.rs")).collect()
}

/// Whether a file is one of tests, which its folder says.
fn is_test(file: &Path) -> bool {
    let name = file.file_stem().unwrap().to_string_lossy();
    let folder = fs::read_to_string(file.with_file_name("mod.rs")).unwrap_or_default();
    ["mod", "pub(crate) mod"]
        .iter()
        .any(|word| folder.contains(&format!("#[cfg(test)]\n{word} {name};")))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn module_of(file: &Path) -> Vec<String> {
    let name = file.with_extension("");
    let mut parts: Vec<_> = name.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Paths that begin with `crate` or `super`, in `use` and elsewhere.
fn uses_in(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut paths = Vec::new();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].bytes().last().unwrap_or(b' ');
            // Part of a longer path or name, such as `pub(in crate::mounts)`.
            if word(before) || before == b':' || code[..at].ends_with("in ") {
                continue;
            }
            expand(&code[at..], &mut Vec::new(), &mut paths);
        }
    }
    paths.into_iter().filter_map(|path| from_root(path, module)).collect()
}

/// Takes one path, with what is in braces, apart. Gives what follows it.
fn expand<'a>(
    mut text: &'a str,
    before: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> &'a str {
    let depth = before.len();
    loop {
        text = text.trim_start();
        if let Some(inner) = text.strip_prefix('{') {
            text = inner.trim_start();
            while !text.starts_with('}') {
                text = expand(text, before, paths).trim_start();
                text = text.strip_prefix(',').unwrap_or(text).trim_start();
            }
            text = &text[1..];
            break;
        }
        let end = text.find(|other: char| !other.is_alphanumeric() && other != '_');
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        if name.is_empty() {
            // A glob.
            text = rest.get(1..).unwrap_or_default();
            paths.push(before.clone());
            break;
        }
        before.push(name.to_owned());
        match rest.strip_prefix("::") {
            Some(further) => text = further,
            None => {
                paths.push(before.clone());
                let renamed = rest.trim_start().strip_prefix("as ");
                text = renamed.map_or(rest, |rest| {
                    rest.trim_start_matches(|other: char| other.is_alphanumeric() || other == '_')
                });
                break;
            }
        }
    }
    before.truncate(depth);
    text
}

fn from_root(path: Vec<String>, module: &[String]) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path.as_slice();
    if rest.first().is_some_and(|first| first == "crate") {
        base.clear();
        rest = &rest[1..];
    }
    while rest.first().is_some_and(|first| first == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend(rest.iter().filter(|part| *part != "self").cloned());
    (!base.is_empty()).then_some(base)
}
