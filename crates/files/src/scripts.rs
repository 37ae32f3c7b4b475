//! Which part of a path names a script, and which files are scripts: they are run or are nothing, and never sent as they are.

/// Where in a decoded path the name of a script ends: behind the first segment that ends in one of `extensions`, such as `.php` (F75). On bytes, and
/// with its case: whatever else looks like one is a file, and [hidden](is_source).
#[must_use]
pub fn split<E: AsRef<[u8]>>(path: &[u8], extensions: &[E]) -> Option<usize> {
    let mut start = 0;
    while start < path.len() {
        let slash = path[start..].iter().position(|&byte| byte == b'/');
        let end = slash.map_or(path.len(), |slash| start + slash);
        let segment = &path[start..end];
        let is_script = |extension: &E| {
            let extension = extension.as_ref();
            segment.len() > extension.len() && segment.ends_with(extension)
        };
        if extensions.iter().any(is_script) {
            return Some(end);
        }
        start = end + 1;
    }
    None
}

/// What PHP may be told to run, and what its projects keep code in.
const OF_PHP: [&[u8]; 5] = [b".phtml", b".phar", b".pht", b".phps", b".inc"];

/// Whether a file of this name may hold a script's source: its copies and backups too, in any case (F84, F85).
#[must_use]
pub fn is_source<E: AsRef<[u8]>>(path: &[u8], extensions: &[E]) -> bool {
    path.split(|&byte| byte == b'/').any(|segment| {
        let segment = segment.to_ascii_lowercase();
        extensions.iter().any(|extension| {
            let extension = extension.as_ref().to_ascii_lowercase();
            let is_php = extension == b".php";
            let has = (0..segment.len()).any(|at| {
                // `.php7`, `.php.bak`, `.php~`, `.php::$DATA`; not `.phpinfo-notes` nor `.plist`.
                segment[at..].strip_prefix(&*extension).is_some_and(|rest| {
                    rest.first().is_none_or(|next| {
                        !next.is_ascii_alphanumeric() || (is_php && next.is_ascii_digit())
                    })
                })
            });
            has || is_php && OF_PHP.iter().any(|other| segment.ends_with(other))
        })
    })
}

/// Whether a path has a control character, which no file's has that is meant, and some programs take for the end of one (C62, F81).
#[must_use]
pub fn has_control(path: &[u8]) -> bool {
    path.iter().any(u8::is_ascii_control)
}

/// Whether a raw path has an encoded slash or backslash before the end of a script's name: what it separates is a matter of opinion (H69). `extensions`:
/// those of scripts.
#[must_use]
pub fn has_encoded_slash<E: AsRef<[u8]>>(raw: &[u8], extensions: &[E]) -> bool {
    let end = split(raw, extensions).unwrap_or(raw.len());
    raw[..end].windows(3).any(|part| {
        part[0] == b'%'
            && (part[1..].eq_ignore_ascii_case(b"2f") || part[1..].eq_ignore_ascii_case(b"5c"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHP: &[&str] = &[".php"];

    #[test]
    fn f75_a_script_ends_with_a_segment() {
        for (path, expected) in [
            ("/index.php", Some("/index.php")),
            ("/a/index.php/b/c", Some("/a/index.php")),
            ("/index.php/", Some("/index.php")),
            ("/a.php/b.php", Some("/a.php")),
            ("/a.phpx/b", None),
            ("/a.PHP", None),
            ("/.php", None),
            ("/a.php.jpg", None),
            ("/uploads/evil.jpg/x.php", Some("/uploads/evil.jpg/x.php")),
            ("/", None),
            ("", None),
            // Characters whose length changes with their case (CVE-2026-27590).
            ("/ȺȺȺȺ.php/x", Some("/ȺȺȺȺ.php")),
        ] {
            let end = split(path.as_bytes(), PHP);
            assert_eq!(end.map(|end| &path[..end]), expected, "{path}");
        }
        assert_eq!(split(b"/a.pl/x", &[".cgi", ".pl"]), Some(5));
        assert_eq!(split::<&str>(b"/a.php", &[]), None);
    }

    #[test]
    fn f84_f85_what_may_hold_source_is_known_by_any_of_its_names() {
        for path in [
            "/a.php",
            "/a.PHP",
            "/a.phps",
            "/a.php5",
            "/a.php~",
            "/a.php.bak",
            "/a.php.",
            "/a.php::$DATA",
            "/a.phtml",
            "/a.phar",
            "/lib/db.inc",
            "/a.php/x.css",
            "/.a.php.swp",
            "/a.php_old",
            "/a.php-save",
        ] {
            assert!(is_source(path.as_bytes(), PHP), "{path}");
        }
        for path in ["/a.css", "/php", "/aphp", "/a.phpinfo", "/a.include", "/", "/php/logo.png"] {
            assert!(!is_source(path.as_bytes(), PHP), "{path}");
        }
        assert!(is_source(b"/a.pl.orig", &[".pl"]));
        assert!(!is_source(b"/a.plist", &[".pl"]));
        assert!(!is_source(b"/a.inc", &[".pl"]));
    }

    #[test]
    fn h69_an_encoded_slash_counts_before_the_scripts_end() {
        assert!(has_encoded_slash(b"/a%2Fb.php", PHP));
        assert!(has_encoded_slash(b"/a%5cb.php/x", PHP));
        assert!(has_encoded_slash(b"/a%2fb%2ephp", PHP));
        assert!(!has_encoded_slash(b"/index.php/a%2fb", PHP));
        assert!(!has_encoded_slash(b"/a%20b.php", PHP));
    }
}
