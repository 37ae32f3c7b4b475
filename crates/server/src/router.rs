//! From a decoded path to the mount that answers for it: the longest prefix that ends on a segment boundary.

use crate::peer::Peer;
use gwanmun_http1::{RequestHead, Span};
use std::collections::HashMap;
use std::os::fd::BorrowedFd;

/// Prefixes of all mounts. The cost of a look-up grows with the depth of the deepest mount, not with their number.
#[derive(Debug)]
pub(crate) struct Router {
    prefixes: HashMap<Box<[u8]>, usize>,
    root: Option<usize>,
    longest: usize,
}

/// A mount and how many bytes of the path are its prefix (0 for the mount at `/`): SCRIPT_NAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) mount: usize,
    pub(crate) prefix: usize,
}

/// A request whose mount has been found.
pub(crate) struct Resolved<'a> {
    pub(crate) peer: &'a Peer,
    /// The client's socket, to ask for its address. None: it has none.
    pub(crate) socket: Option<BorrowedFd<'a>>,
    /// The head, and what of the body has come with it.
    pub(crate) bytes: &'a [u8],
    pub(crate) head: &'a RequestHead,
    /// Where `path` stands in `bytes`; none if it had to be decoded.
    pub(crate) path_span: Option<Span>,
    pub(crate) path: &'a [u8],
    /// The path as received has doubled slashes, which an application gets.
    pub(crate) doubled: bool,
    pub(crate) route: Route,
    /// A file may be meant by it.
    pub(crate) servable: bool,
}

impl Router {
    /// `paths` are `/` or start with a slash and do not end with one; the index in it is the mount's number.
    pub(crate) fn new<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut router = Self { prefixes: HashMap::new(), root: None, longest: 0 };
        for (mount, path) in paths.enumerate() {
            if path == "/" {
                router.root = Some(mount);
            } else {
                router.longest = router.longest.max(path.len());
                router.prefixes.insert(path.as_bytes().into(), mount);
            }
        }
        router
    }

    /// `path` is in normal form and starts with a slash.
    pub(crate) fn find(&self, path: &[u8]) -> Option<Route> {
        if !self.prefixes.is_empty() {
            let mut end = path.len();
            loop {
                if end <= self.longest
                    && let Some(&mount) = self.prefixes.get(&path[..end])
                {
                    return Some(Route { mount, prefix: end });
                }
                // Nothing longer than the longest prefix needs to be looked up.
                let head = &path[..end.min(self.longest + 1)];
                match head.iter().rposition(|&byte| byte == b'/') {
                    Some(slash) if slash > 0 => end = slash,
                    _ => break,
                }
            }
        }
        self.root()
    }

    /// The mount at `/`.
    pub(crate) fn root(&self) -> Option<Route> {
        self.root.map(|mount| Route { mount, prefix: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gwanmun_http1::path::{self, Normal};

    fn find(paths: &[&str], path: &str) -> Option<(usize, usize)> {
        let route = Router::new(paths.iter().copied()).find(path.as_bytes());
        route.map(|route| (route.mount, route.prefix))
    }

    #[test]
    fn the_longest_prefix_on_a_segment_boundary_wins() {
        let paths = ["/", "/api", "/api/v2", "/static"];
        assert_eq!(find(&paths, "/"), Some((0, 0)));
        assert_eq!(find(&paths, "/index.html"), Some((0, 0)));
        assert_eq!(find(&paths, "/api"), Some((1, 4)));
        assert_eq!(find(&paths, "/api/"), Some((1, 4)));
        assert_eq!(find(&paths, "/api/users"), Some((1, 4)));
        assert_eq!(find(&paths, "/api/v2/users/3"), Some((2, 7)));
        assert_eq!(find(&paths, "/api/v22"), Some((1, 4)));
        assert_eq!(find(&paths, "/apiary"), Some((0, 0)));
        assert_eq!(find(&paths, "/static-not"), Some((0, 0)));
    }

    #[test]
    fn h74_a_prefix_never_ends_inside_a_segment() {
        assert_eq!(find(&["/img"], "/img../secret"), None);
        assert_eq!(find(&["/img"], "/imgx"), None);
        assert_eq!(find(&["/img"], "/img"), Some((0, 4)));
    }

    #[test]
    fn without_a_root_mount_other_paths_have_no_route() {
        assert_eq!(find(&["/api"], "/"), None);
        assert_eq!(find(&[], "/"), None);
    }

    /// What rules, files and an application are given of a raw path; none: it is refused, or no mount's.
    fn forms(router: &Router, raw: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        let mut out = Vec::new();
        let normalized = path::normalize(raw, &mut out).ok()?;
        let normal = if normalized.form == Normal::Same { raw.to_vec() } else { out };
        let Route { prefix, .. } = router.find(&normal)?;
        let path_info = if normalized.doubled {
            let mut rest = Vec::new();
            path::rest(raw, prefix, &mut rest);
            rest
        } else {
            normal[prefix..].to_vec()
        };
        Some((normal[..prefix].to_vec(), path_info, normal))
    }

    /// The normal form by another way: decoded, split, and read segment by segment. None: it has none.
    fn expected(raw: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < raw.len() {
            if raw[at] == b'%' {
                let digits = std::str::from_utf8(raw.get(at + 1..at + 3)?).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                decoded.push(u8::from_str_radix(digits, 16).ok()?);
                at += 3;
            } else {
                decoded.push(raw[at]);
                at += 1;
            }
        }
        if raw.first() != Some(&b'/') || decoded.contains(&0) {
            return None;
        }
        let segments: Vec<&[u8]> = decoded[1..].split(|&byte| byte == b'/').collect();
        let (last, inner) = segments.split_last()?;
        let is_dots = |segment: &&[u8]| matches!(*segment, b"." | b"..");
        if inner.iter().any(|segment| segment.is_empty()) && segments.iter().any(is_dots) {
            return None;
        }
        let mut kept: Vec<&[u8]> = Vec::new();
        for segment in inner.iter().chain([last]) {
            match *segment {
                b"" | b"." => {}
                b".." => {
                    kept.pop()?;
                }
                segment => kept.push(segment),
            }
        }
        let mut normal = Vec::new();
        for segment in &kept {
            normal.push(b'/');
            normal.extend_from_slice(segment);
        }
        if kept.is_empty() || last.is_empty() || is_dots(last) {
            normal.push(b'/');
        }
        Some(normal)
    }

    fn check_forms(router: &Router, raw: &[u8]) {
        let shown = raw.escape_ascii().to_string();
        let mut out = Vec::new();
        let normal = path::normalize(raw, &mut out).ok().map(|normalized| {
            if normalized.form == Normal::Same { raw.to_vec() } else { out.clone() }
        });
        assert_eq!(normal, expected(raw), "{shown}");
        let Some((script_name, path_info, normal)) = forms(router, raw) else { return };
        let merged = |mut path: Vec<u8>| {
            path::merge(&mut path);
            path
        };
        assert_eq!(merged(path_info.clone()), normal[script_name.len()..], "{shown}");
        assert!(path_info.is_empty() || path_info[0] == b'/', "{shown}");
        assert!(!path_info.starts_with(b"//"), "{shown}");
        assert_ne!(script_name, b"/", "{shown}");
        assert_eq!(merged([script_name, path_info].concat()), normal, "{shown}");
    }

    const MOUNTS: [&[&str]; 4] =
        [&["/"], &["/", "/a", "/a/b"], &["/a/b", "/b"], &["/", "/a", "/a/a/b", "/b/."]];

    #[test]
    fn a140_what_an_application_gets_merges_to_what_the_rules_saw() {
        const PARTS: [&str; 9] = ["/", "a", "b", ".", "..", "%2F", "%2e", "%61", "%5c"];
        let routers = MOUNTS.map(|mounts| Router::new(mounts.iter().copied()));
        let mut paths = vec![String::from("/")];
        for _ in 0..5 {
            for path in &paths {
                for router in &routers {
                    check_forms(router, path.as_bytes());
                }
            }
            paths = paths
                .iter()
                .flat_map(|path| PARTS.iter().map(move |part| format!("{path}{part}")))
                .collect();
        }
    }

    #[test]
    fn a140_so_it_does_of_any_bytes() {
        const BYTES: &[u8] = b"//////....%%%222FFeE5ab\\\0\xc3\xa9?;";
        let routers = MOUNTS.map(|mounts| Router::new(mounts.iter().copied()));
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |most: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % most
        };
        for _ in 0..100_000 {
            let mut raw = b"/".to_vec();
            for _ in 0..random(24) {
                raw.push(BYTES[random(BYTES.len())]);
            }
            for router in &routers {
                check_forms(router, &raw);
            }
        }
    }

    #[test]
    fn a_path_deeper_than_every_mount_is_found_cheaply() {
        let deep = format!("/a{}", "/b".repeat(4000));
        assert_eq!(find(&["/a", "/"], &deep), Some((0, 2)));
    }
}
