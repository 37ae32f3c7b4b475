//! From a decoded path to the mount that answers for it: the longest prefix that ends on a segment boundary.

use std::collections::HashMap;

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

    #[test]
    fn a_path_deeper_than_every_mount_is_found_cheaply() {
        let deep = format!("/a{}", "/b".repeat(4000));
        assert_eq!(find(&["/a", "/"], &deep), Some((0, 2)));
    }
}
