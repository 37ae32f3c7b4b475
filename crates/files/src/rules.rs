//! What a mount says of its files: which file answers for a path, and the header fields that go with it.

use super::content_type::{content_type, extension};
use super::scripts::is_source;
use crate::compression::is_compressible;
use std::borrow::Cow;

/// The rules of one mount. Fields are checked by who makes them: names are tokens, values visible ASCII.
#[derive(Debug, Default)]
pub struct FileRules {
    /// Names that are served for a folder, in order of preference.
    pub index: Vec<String>,
    /// Paths that are tried in turn, with `$path` for the request's own; empty: that alone.
    pub try_files: Vec<String>,
    /// Media types by extension, in lower case and without its dot, that win over the known ones.
    pub types: Vec<(String, String)>,
    /// Fields of every file, as lines.
    pub lines: Vec<u8>,
    /// Fields of files that a pattern matches. Of a name, the last one counts.
    pub headers: Vec<(Pattern, String, String)>,
    /// A folder without an index is listed.
    pub listing: bool,
    /// Files are sent in the coding that the client likes best.
    pub compress: bool,
    /// Extensions of scripts that are run here: their files, and what may be copies of them, are never sent.
    pub scripts: Vec<String>,
    /// Paths of programs and of their folders, which are never sent, nor their copies beside them.
    pub hidden: Vec<Vec<u8>>,
}

/// A path with `*` for any characters. Without a slash it is about the file's name alone.
#[derive(Debug)]
pub struct Pattern(pub String);

impl Pattern {
    /// Whether it is about the file at this path, which begins with a slash.
    fn matches(&self, path: &[u8]) -> bool {
        let text = self.0.as_bytes();
        if text.contains(&b'/') {
            return wildcard(text, path);
        }
        wildcard(text, path.rsplit(|&byte| byte == b'/').next().unwrap_or_default())
    }
}

/// Whether the text is the pattern's, with `*` for any characters. Linear but for a factor of the number of stars.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                // The last star takes one more.
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

impl FileRules {
    /// Whether the file at a path, which begins with a slash, is run instead of being sent, or may be a copy of one (C63, F85).
    #[inline]
    pub fn hides(&self, path: &[u8]) -> bool {
        if self.scripts.is_empty() && self.hidden.is_empty() {
            return false;
        }
        let is_beneath = |hidden: &Vec<u8>| {
            path.strip_prefix(hidden.as_slice()).is_some_and(|rest| {
                // `/hook.pl.bak` beside `/hook.pl`, and what is in `/cgi-bin`; not `/cgi-binary`.
                hidden.ends_with(b"/")
                    || rest.first().is_none_or(|next| !next.is_ascii_alphanumeric())
            })
        };
        is_source(path, &self.scripts) || self.hidden.iter().any(is_beneath)
    }

    /// The media type of a file of this name.
    #[inline]
    pub fn content_type(&self, name: &[u8]) -> Cow<'_, str> {
        let own = extension(name).and_then(|given| {
            self.types.iter().find(|(known, _)| known.eq_ignore_ascii_case(given))
        });
        match own {
            Some((_, media_type)) => Cow::Borrowed(media_type),
            None => content_type(name),
        }
    }

    /// Whether the file's name says that it is compressed already, and as what.
    #[inline]
    pub(crate) fn is_svgz(&self, name: &[u8]) -> bool {
        extension(name).is_some_and(|given| given.eq_ignore_ascii_case("svgz"))
            && self.content_type(name).starts_with("image/svg+xml")
    }

    /// Whether the file may be sent in another coding than it has.
    #[inline]
    pub fn may_be_coded(&self, name: &[u8]) -> bool {
        self.compress && is_compressible(self.content_type(name).as_bytes()) && !self.is_svgz(name)
    }

    /// The header lines that go with a file, whose path is relative.
    #[inline]
    pub(crate) fn lines_of(&self, name: &[u8]) -> Vec<u8> {
        let mut lines = self.lines.clone();
        let path = [b"/", name].concat();
        let matching: Vec<_> =
            self.headers.iter().filter(|(pattern, ..)| pattern.matches(&path)).collect();
        for (index, (_, field, value)) in matching.iter().enumerate() {
            let is_last = !matching[index + 1..]
                .iter()
                .any(|(_, other, _)| other.eq_ignore_ascii_case(field));
            if is_last {
                lines.extend_from_slice(format!("{field}: {value}\r\n").as_bytes());
            }
        }
        lines
    }

    /// The paths that may answer for a path, in turn.
    #[inline]
    pub fn candidates<'a>(&'a self, path: &'a [u8]) -> Vec<Cow<'a, [u8]>> {
        if self.try_files.is_empty() {
            return vec![Cow::Borrowed(path)];
        }
        self.try_files
            .iter()
            .map(|template| match template.split_once("$path") {
                Some((before, after)) => {
                    Cow::Owned([before.as_bytes(), path, after.as_bytes()].concat())
                }
                None => Cow::Borrowed(template.as_bytes()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, path, expected) in [
            ("/assets/*", "/assets/a/b.js", true),
            ("/assets/*", "/assets", false),
            ("*.js", "/assets/a/b.js", true),
            ("*.js", "/assets/b.js/c", false),
            ("/*.js", "/assets/b.js", true),
            ("/a*b*c", "/a-b-b-c", true),
            ("/a*b*c", "/a-b-b-d", false),
            ("*", "/any/thing", true),
            ("index.html", "/a/index.html", true),
            ("/index.html", "/a/index.html", false),
            ("/*", "/", true),
        ] {
            assert_eq!(
                Pattern(pattern.into()).matches(path.as_bytes()),
                expected,
                "{pattern} {path}"
            );
        }
        // No backtracking without end.
        let pattern = Pattern("/".to_owned() + &"*a".repeat(50) + "b");
        assert!(!pattern.matches(&[b"/".as_slice(), &[b'a'; 5000]].concat()));
    }

    #[test]
    fn of_a_field_the_last_rule_counts() {
        let rule = |pattern: &str, value: &str| {
            (Pattern(pattern.into()), "X-Rule".to_owned(), value.to_owned())
        };
        let rules = FileRules {
            lines: b"X-Content-Type-Options: nosniff\r\n".to_vec(),
            headers: vec![rule("*", "all"), rule("*.js", "script"), rule("*.css", "style")],
            types: vec![("js".into(), "application/x-script".into())],
            ..FileRules::default()
        };
        let lines = |name: &str| String::from_utf8(rules.lines_of(name.as_bytes())).unwrap();
        assert_eq!(lines("a.js"), "X-Content-Type-Options: nosniff\r\nX-Rule: script\r\n");
        assert_eq!(lines("a.txt"), "X-Content-Type-Options: nosniff\r\nX-Rule: all\r\n");
        assert_eq!(rules.content_type(b"a.JS"), "application/x-script");
        assert_eq!(rules.content_type(b"a.css"), "text/css; charset=utf-8");
    }
}
