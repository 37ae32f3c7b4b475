//! What a mount, or the whole configuration, says of the heads of all its responses (A118–A120).

use super::head::is_field;
use crate::config;
use crate::error::{Error, ErrorKind};

/// Fields that say how a body is framed or coded, or how the connection goes on.
const UNTOUCHABLE: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The line that a head gets which has no field of this name.
#[derive(Debug)]
struct Fallback {
    name: Box<[u8]>,
    line: Vec<u8>,
}

/// Rules for the fields of a head.
#[derive(Debug, Default)]
pub(crate) struct HeaderRules {
    /// Names whose fields go.
    removed: Vec<Box<[u8]>>,
    /// Lines that every head gets.
    added: Vec<u8>,
    defaults: Vec<Fallback>,
}

impl HeaderRules {
    /// # Errors
    /// A name or a value that no head may have.
    pub(crate) fn new(config: &config::HeaderRules) -> Result<Self, Error> {
        let mut rules = Self::default();
        for (name, value) in &config.set {
            check(name, value)?;
            rules.removed.push(name.as_bytes().into());
            rules.added.extend_from_slice(&line(name, value));
        }
        for (name, value) in &config.default {
            check(name, value)?;
            rules.defaults.push(Fallback { name: name.as_bytes().into(), line: line(name, value) });
        }
        for name in &config.remove {
            check(name, "")?;
            rules.removed.push(name.as_bytes().into());
        }
        Ok(rules)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.defaults.is_empty()
    }

    /// Takes fields of these names for the core's own: what else a head says of them goes.
    pub(super) fn take_over(&mut self, names: &[&str]) {
        self.removed.extend(names.iter().map(|name| name.as_bytes().into()));
    }

    pub(super) fn add(&mut self, lines: &[u8]) {
        self.added.extend_from_slice(lines);
    }

    /// Does to the lines from `start` on what the rules say.
    pub(crate) fn apply(&self, out: &mut Vec<u8>, start: usize) {
        if !self.removed.is_empty() {
            let (mut kept, mut at) = (start, start);
            while at < out.len() {
                let length = out[at..]
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .map_or(out.len() - at, |end| end + 1);
                let goes = self.removed.iter().any(|name| is_field(&out[at..at + length], name));
                if !goes {
                    out.copy_within(at..at + length, kept);
                    kept += length;
                }
                at += length;
            }
            out.truncate(kept);
        }
        for Fallback { name, line } in &self.defaults {
            let mut lines = out[start..].split_inclusive(|&byte| byte == b'\n');
            if !lines.any(|own| is_field(own, name)) {
                out.extend_from_slice(line);
            }
        }
        out.extend_from_slice(&self.added);
    }
}

/// A header line, with its end.
pub(crate) fn line(name: &str, value: &str) -> Vec<u8> {
    format!("{name}: {value}\r\n").into_bytes()
}

/// Whether a field may be in the head of a response because a configuration says so.
pub(crate) fn check(name: &str, value: &str) -> Result<(), Error> {
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_name && is_value && !UNTOUCHABLE.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Ok(());
    }
    let message = format!("A header can't be set by the configuration: {name:?}: {value:?}.");
    Err(Error::new(ErrorKind::Config, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn applied(rules: &config::HeaderRules, lines: &str) -> String {
        let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
        let start = out.len();
        out.extend_from_slice(lines.as_bytes());
        HeaderRules::new(rules).unwrap().apply(&mut out, start);
        String::from_utf8(out[start..].to_vec()).unwrap()
    }

    #[test]
    fn a_field_is_set_once_whatever_was_there() {
        let rules = config::HeaderRules { set: pairs(&[("A", "1")]), ..Default::default() };
        assert_eq!(applied(&rules, ""), "A: 1\r\n");
        assert_eq!(applied(&rules, "a: 2\r\nB: 3\r\nA:4\r\n"), "B: 3\r\nA: 1\r\n");
        assert_eq!(applied(&rules, "AB: 2\r\n"), "AB: 2\r\nA: 1\r\n");
    }

    #[test]
    fn a120_a_default_yields_to_what_is_there() {
        let rules =
            config::HeaderRules { default: pairs(&[("A", "1"), ("B", "2")]), ..Default::default() };
        assert_eq!(applied(&rules, "a: 9\r\n"), "a: 9\r\nB: 2\r\n");
    }

    #[test]
    fn a_field_is_removed_in_any_case_and_number() {
        let rules = config::HeaderRules { remove: vec!["x-a".to_owned()], ..Default::default() };
        assert_eq!(applied(&rules, "X-A: 1\r\nB: 2\r\nx-a: 3\r\n"), "B: 2\r\n");
        assert_eq!(applied(&rules, "X-A: 1\r\n"), "");
    }

    #[test]
    fn framing_cannot_be_touched() {
        for name in ["Content-Length", "transfer-encoding", "Connection", "a b", "", "A:"] {
            let rules = config::HeaderRules { remove: vec![name.to_owned()], ..Default::default() };
            assert!(HeaderRules::new(&rules).is_err(), "{name}");
        }
        let rules = config::HeaderRules { set: pairs(&[("A", "1\r\nB: 2")]), ..Default::default() };
        assert!(HeaderRules::new(&rules).is_err());
    }
}
