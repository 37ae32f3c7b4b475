//! Conditional requests and ranges for GET and HEAD: RFC 9110 §13 and §14, as a function of a file and the request's
//! fields.

use std::time::{SystemTime, UNIX_EPOCH};

use super::entry::FileEntry;

/// The fields that decide, as they came. Several lines of one field are to be joined by a comma first (RFC 9110 §5.3);
/// `range` is `None` for HEAD, which has no ranges (RFC 9110 §14.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// If-Match
    pub if_match: Option<&'a [u8]>,
    /// If-None-Match
    pub if_none_match: Option<&'a [u8]>,
    /// If-Modified-Since
    pub if_modified_since: Option<&'a [u8]>,
    /// If-Unmodified-Since
    pub if_unmodified_since: Option<&'a [u8]>,
    /// If-Range
    pub if_range: Option<&'a [u8]>,
    /// Range
    pub range: Option<&'a [u8]>,
    /// Accept-Encoding
    pub accept_encoding: Option<&'a [u8]>,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200 with the whole file.
    Full,
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
    /// 206 with the bytes from `start` up to, not including, `end`; never empty.
    Partial {
        /// Offset of the first byte.
        start: u64,
        /// Offset after the last byte.
        end: u64,
    },
    /// 206 with several parts, none empty, as `multipart/byteranges`.
    Parts(Box<[(u64, u64)]>),
    /// 416
    NotSatisfiable,
}

/// Decides in the order of RFC 9110 §13.2.2. Fields that do not parse count as absent, except that an If-Match that
/// names nothing matches nothing.
#[inline]
pub fn evaluate(entry: &FileEntry, conditions: &Conditions<'_>) -> Reply {
    if let Some(tags) = conditions.if_match {
        if !any_tag_matches(tags, &entry.etag, Comparison::Strong) {
            return Reply::PreconditionFailed;
        }
    } else if let Some(date) = conditions.if_unmodified_since.and_then(parse_date)
        && entry.modified > date
    {
        return Reply::PreconditionFailed;
    }

    if let Some(tags) = conditions.if_none_match {
        if any_tag_matches(tags, &entry.etag, Comparison::Weak) {
            return Reply::NotModified;
        }
    } else if conditions.if_modified_since.is_some_and(|since| is_unmodified_since(entry, since)) {
        return Reply::NotModified;
    }

    match conditions.range {
        Some(range) if conditions.if_range.is_none_or(|validator| is_current(entry, validator)) => {
            select(range, entry.size)
        }
        _ => Reply::Full,
    }
}

/// Appends the header fields of a reply, each ended by CRLF: the entry's own, Content-Range and Content-Length as its
/// status asks for. Nothing for 412, whose body is the caller's, and no Content-Length for 304. A 416 has an empty body.
#[inline]
pub fn write_headers(out: &mut Vec<u8>, entry: &FileEntry, reply: &Reply) {
    let mut digits = itoa::Buffer::new();
    let mut number =
        |out: &mut Vec<u8>, value: u64| out.extend_from_slice(digits.format(value).as_bytes());
    match reply {
        Reply::Full => {
            out.extend_from_slice(&entry.headers);
            out.extend_from_slice(b"Content-Length: ");
            number(out, entry.size);
            out.extend_from_slice(b"\r\n");
        }
        &Reply::Partial { start, end } => {
            out.extend_from_slice(&entry.headers);
            out.extend_from_slice(b"Content-Range: bytes ");
            number(out, start);
            out.push(b'-');
            number(out, end - 1);
            out.push(b'/');
            number(out, entry.size);
            out.extend_from_slice(b"\r\nContent-Length: ");
            number(out, end - start);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Parts(parts) => {
            // The type is the parts' to say.
            let type_end =
                entry.headers.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            out.extend_from_slice(&entry.headers[type_end..]);
            out.extend_from_slice(b"Content-Type: multipart/byteranges; boundary=");
            out.extend_from_slice(BOUNDARY);
            out.extend_from_slice(b"\r\nContent-Length: ");
            let body = parts
                .iter()
                .map(|&(start, end)| part_head(entry, start, end).len() as u64 + (end - start));
            number(out, body.sum::<u64>() + PARTS_END.len() as u64);
            out.extend_from_slice(b"\r\n");
        }
        Reply::NotSatisfiable => {
            out.extend_from_slice(b"Content-Range: bytes */");
            number(out, entry.size);
            out.extend_from_slice(b"\r\nContent-Length: 0\r\n");
        }
        Reply::NotModified => out.extend_from_slice(entry.validator_lines()),
        Reply::PreconditionFailed => {}
    }
}

/// Between parts. It cannot be in a file that does not know it, and who writes it into one gains nothing: the parts have their lengths.
const BOUNDARY: &[u8] = b"gwanmun-8f0c5d1e7a3b49d2";
/// Behind the last part.
pub const PARTS_END: &[u8] = b"\r\n--gwanmun-8f0c5d1e7a3b49d2--\r\n";

/// What stands before a part (RFC 9110 §14.6).
pub fn part_head(entry: &FileEntry, start: u64, end: u64) -> Vec<u8> {
    let type_end = entry.headers.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut head = b"\r\n--".to_vec();
    head.extend_from_slice(BOUNDARY);
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&entry.headers[..type_end]);
    let range = format!("Content-Range: bytes {start}-{}/{}\r\n\r\n", end - 1, entry.size);
    head.extend_from_slice(range.as_bytes());
    head
}

/// RFC 9110 §8.8.3.2. The file's own tag is always strong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn any_tag_matches(list: &[u8], etag: &str, comparison: Comparison) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        // Empty list elements are allowed (RFC 9110 §5.6.1.2).
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let Some((tag, tail)) = split_tag(rest) else { return false };
        if tag.opaque == etag.as_bytes() && (comparison == Comparison::Weak || !tag.weak) {
            return true;
        }
        rest = tail.trim_ascii_start();
        if !rest.starts_with(b",") {
            return false;
        }
    }
}

struct Tag<'a> {
    weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

/// The entity tag at the start, and what follows it (RFC 9110 §8.8.3).
fn split_tag(bytes: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (weak, quoted) = match bytes.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, bytes),
    };
    let inner = quoted.strip_prefix(b"\"")?;
    let length = inner.iter().position(|&byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
    if inner[length] != b'"' {
        return None;
    }
    let (opaque, rest) = quoted.split_at(length + 2);
    Some((Tag { weak, opaque }, rest))
}

fn is_unmodified_since(entry: &FileEntry, since: &[u8]) -> bool {
    // What most clients send is our own date.
    if since == entry.last_modified.as_bytes() {
        return true;
    }
    // A date still to come cannot have been seen on a response; the client's clock is wrong.
    parse_date(since).is_some_and(|date| entry.modified <= date && date <= now())
}

/// If-Range, RFC 9110 §13.1.5: a strong tag that is equal, or the very date of the file if it is at least a second past,
/// after which no further version can carry it (RFC 9110 §8.8.2.2).
fn is_current(entry: &FileEntry, validator: &[u8]) -> bool {
    let validator = validator.trim_ascii();
    match split_tag(validator) {
        Some((tag, rest)) => rest.is_empty() && !tag.weak && tag.opaque == entry.etag.as_bytes(),
        None => parse_date(validator) == Some(entry.modified) && entry.modified < now(),
    }
}

/// Seconds since the epoch.
fn parse_date(bytes: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(str::from_utf8(bytes).ok()?.trim_ascii()).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Ranges of bytes (RFC 9110 §14.1.2). Another unit, nonsense or too many of them: the whole file, as a server may always
/// answer (RFC 9110 §14.2). Those that touch become one, so that no request can ask for more than the file once (H54).
fn select(range: &[u8], size: u64) -> Reply {
    // An empty file has no range to give, and clients that always ask for one are served better so than by 416.
    if size == 0 {
        return Reply::Full;
    }
    let Some(set) = range_set(range) else { return Reply::Full };
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for (count, spec) in set.split(|&byte| byte == b',').enumerate() {
        let spec = spec.trim_ascii();
        if count >= MOST_RANGES {
            return Reply::Full;
        }
        // Empty list elements are allowed (RFC 9110 §5.6.1.2).
        if spec.is_empty() && set.contains(&b',') {
            continue;
        }
        let Some((first, last)) = split_range(spec) else { return Reply::Full };
        let (start, end) = match (first, last) {
            (Some(first), Some(last)) if first > last => return Reply::Full,
            (Some(first), Some(last)) => (first, last.saturating_add(1).min(size)),
            (Some(first), None) => (first, size),
            (None, Some(suffix)) => (size.saturating_sub(suffix), size),
            (None, None) => return Reply::Full,
        };
        if start < end && start < size {
            merge(&mut parts, start, end);
        }
    }
    match *parts.as_slice() {
        [] => Reply::NotSatisfiable,
        [(start, end)] => Reply::Partial { start, end },
        _ => Reply::Parts(parts.into()),
    }
}

/// More of them are an attack, not a use.
const MOST_RANGES: usize = 16;

/// Adds a part, in place of those that it touches: the order of the others stays as they were asked for.
fn merge(parts: &mut Vec<(u64, u64)>, mut start: u64, mut end: u64) {
    let mut place = parts.len();
    let mut index = 0;
    while index < parts.len() {
        let (other_start, other_end) = parts[index];
        if start <= other_end && other_start <= end {
            (start, end) = (start.min(other_start), end.max(other_end));
            parts.remove(index);
            place = place.min(index);
            // It has grown, and may touch others.
            index = 0;
        } else {
            index += 1;
        }
    }
    parts.insert(place.min(parts.len()), (start, end));
}

/// What follows `bytes=`.
fn range_set(range: &[u8]) -> Option<&[u8]> {
    let (unit, set) = range.trim_ascii().split_at_checked(6)?;
    // Units are case-insensitive (RFC 9110 §14.1).
    unit.eq_ignore_ascii_case(b"bytes=").then(|| set.trim_ascii())
}

/// The two numbers around the dash.
fn split_range(spec: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    Some((parse_number(&spec[..dash])?, parse_number(&spec[dash + 1..])?))
}

/// `Some(None)` for no digits. Numbers too large to say are as good as the largest one.
fn parse_number(digits: &[u8]) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    digits
        .iter()
        .try_fold(0u64, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
        })
        .map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;
    use crate::scratch::Scratch;

    /// Tuesday, 15 November 1994, 12:45:26
    const MODIFIED: u64 = 784_903_526;

    fn entry(size: usize) -> FileEntry {
        let scratch = Scratch::new();
        let path = scratch.write("a.txt", vec![b'x'; size]);
        let file = File::options().read(true).write(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED)).unwrap();
        FileEntry::read(file, b"a.txt", &crate::rules::FileRules::default(), Vec::new()).unwrap()
    }

    fn date(offset: i64) -> String {
        let seconds = MODIFIED.checked_add_signed(offset).unwrap();
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn range(size: usize, range: &str) -> Reply {
        evaluate(
            &entry(size),
            &Conditions { range: Some(range.as_bytes()), ..Conditions::default() },
        )
    }

    fn if_none_match(entry: &FileEntry, value: &str) -> Reply {
        evaluate(
            entry,
            &Conditions { if_none_match: Some(value.as_bytes()), ..Conditions::default() },
        )
    }

    fn if_match(entry: &FileEntry, value: &str) -> Reply {
        evaluate(entry, &Conditions { if_match: Some(value.as_bytes()), ..Conditions::default() })
    }

    fn if_range(entry: &FileEntry, value: &str) -> Reply {
        let conditions = Conditions {
            if_range: Some(value.as_bytes()),
            range: Some(b"bytes=0-1"),
            ..Conditions::default()
        };
        evaluate(entry, &conditions)
    }

    fn headers(entry: &FileEntry, reply: &Reply) -> String {
        let mut out = Vec::new();
        write_headers(&mut out, entry, reply);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_conditions_the_whole_file() {
        assert_eq!(evaluate(&entry(10), &Conditions::default()), Reply::Full);
    }

    #[test]
    fn if_none_match_compares_weakly_and_takes_lists() {
        let entry = entry(10);
        let etag = &entry.etag;
        for value in [
            etag.to_string(),
            format!("W/{etag}"),
            format!("\"a\", W/\"b\",{etag}"),
            format!(",, \"with,comma\" ,\t{etag} ,"),
            " * ".to_owned(),
        ] {
            assert_eq!(if_none_match(&entry, &value), Reply::NotModified, "{value}");
        }
        for value in [
            "\"other\"".to_owned(),
            String::new(),
            etag.trim_matches('"').to_owned(),
            format!("w/{etag}"),
            format!("\"a\" {etag}"),
            format!("*, {etag}x"),
            format!("\"unfinished, {}", etag.trim_matches('"')),
            "\"".to_owned(),
            "W/".to_owned(),
        ] {
            assert_eq!(if_none_match(&entry, &value), Reply::Full, "{value}");
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        let entry = entry(10);
        let etag = &entry.etag;
        assert_eq!(if_match(&entry, etag), Reply::Full);
        assert_eq!(if_match(&entry, &format!("\"a\", {etag}")), Reply::Full);
        assert_eq!(if_match(&entry, "*"), Reply::Full);
        assert_eq!(if_match(&entry, &format!("W/{etag}")), Reply::PreconditionFailed);
        assert_eq!(if_match(&entry, "\"a\""), Reply::PreconditionFailed);
        assert_eq!(if_match(&entry, ""), Reply::PreconditionFailed);
    }

    #[test]
    fn if_modified_since_knows_all_three_date_formats() {
        let entry = entry(10);
        let reply = |value: &str| {
            evaluate(
                &entry,
                &Conditions { if_modified_since: Some(value.as_bytes()), ..Conditions::default() },
            )
        };
        assert_eq!(reply("Tue, 15 Nov 1994 12:45:26 GMT"), Reply::NotModified);
        assert_eq!(reply("Tuesday, 15-Nov-94 12:45:26 GMT"), Reply::NotModified);
        assert_eq!(reply("Tue Nov 15 12:45:26 1994"), Reply::NotModified);
        assert_eq!(reply(&date(1)), Reply::NotModified);
        assert_eq!(reply(&date(-1)), Reply::Full);
        assert_eq!(reply("Fri, 31 Dec 9999 23:59:59 GMT"), Reply::Full);
        for nonsense in [
            "",
            "yesterday",
            "Tue, 15 Nov 1994 12:45:26 CET",
            "784903526",
            "Tue, 99 Nov 1994 99:99:99 GMT",
        ] {
            assert_eq!(reply(nonsense), Reply::Full, "{nonsense}");
        }
        let conditions =
            Conditions { if_modified_since: Some(b"\xff\xfe"), ..Conditions::default() };
        assert_eq!(evaluate(&entry, &conditions), Reply::Full);
    }

    #[test]
    fn if_unmodified_since_fails_for_a_later_change_only() {
        let entry = entry(10);
        let reply = |value: &str| {
            evaluate(
                &entry,
                &Conditions {
                    if_unmodified_since: Some(value.as_bytes()),
                    ..Conditions::default()
                },
            )
        };
        assert_eq!(reply(&date(0)), Reply::Full);
        assert_eq!(reply("Fri, 31 Dec 9999 23:59:59 GMT"), Reply::Full);
        assert_eq!(reply(&date(-1)), Reply::PreconditionFailed);
        assert_eq!(reply("yesterday"), Reply::Full);
    }

    // RFC 9110 §13.2.2
    #[test]
    fn tags_take_precedence_over_dates_and_all_over_ranges() {
        let entry = entry(10);
        let etag = entry.etag.as_bytes();
        let (before, same) = (date(-1), date(0));
        let reply = |conditions: Conditions<'_>| evaluate(&entry, &conditions);
        let none = Conditions { range: Some(b"bytes=0-1"), ..Conditions::default() };
        let part = Reply::Partial { start: 0, end: 2 };

        assert_eq!(
            reply(Conditions {
                if_match: Some(etag),
                if_unmodified_since: Some(before.as_bytes()),
                ..none
            }),
            part
        );
        assert_eq!(
            reply(Conditions {
                if_none_match: Some(b"\"x\""),
                if_modified_since: Some(same.as_bytes()),
                ..none
            }),
            part
        );
        assert_eq!(
            reply(Conditions {
                if_none_match: Some(b"???"),
                if_modified_since: Some(same.as_bytes()),
                ..none
            }),
            part
        );
        assert_eq!(
            reply(Conditions { if_match: Some(b"\"x\""), if_none_match: Some(etag), ..none }),
            Reply::PreconditionFailed
        );
        assert_eq!(
            reply(Conditions { if_match: Some(etag), if_none_match: Some(etag), ..none }),
            Reply::NotModified
        );
        assert_eq!(
            reply(Conditions {
                if_unmodified_since: Some(before.as_bytes()),
                if_none_match: Some(etag),
                ..none
            }),
            Reply::PreconditionFailed
        );
        assert_eq!(
            reply(Conditions { if_modified_since: Some(same.as_bytes()), ..none }),
            Reply::NotModified
        );
    }

    #[test]
    fn one_range_of_bytes() {
        assert_eq!(range(10, "bytes=0-0"), Reply::Partial { start: 0, end: 1 });
        assert_eq!(range(10, "bytes=2-4"), Reply::Partial { start: 2, end: 5 });
        assert_eq!(range(10, "bytes=2-"), Reply::Partial { start: 2, end: 10 });
        assert_eq!(range(10, "bytes=-3"), Reply::Partial { start: 7, end: 10 });
        assert_eq!(range(10, "bytes=-30"), Reply::Partial { start: 0, end: 10 });
        assert_eq!(range(10, "bytes=0-9"), Reply::Partial { start: 0, end: 10 });
        assert_eq!(range(10, "bytes=5-1000"), Reply::Partial { start: 5, end: 10 });
        assert_eq!(range(10, "Bytes= 5-6 "), Reply::Partial { start: 5, end: 7 });
        let huge = "9".repeat(40);
        assert_eq!(range(10, &format!("bytes=5-{huge}")), Reply::Partial { start: 5, end: 10 });
        assert_eq!(range(10, &format!("bytes=-{huge}")), Reply::Partial { start: 0, end: 10 });
        assert_eq!(range(10, "bytes=0-18446744073709551615"), Reply::Partial { start: 0, end: 10 });
    }

    #[test]
    fn a_range_past_the_end_is_not_satisfiable() {
        assert_eq!(range(10, "bytes=10-"), Reply::NotSatisfiable);
        assert_eq!(range(10, "bytes=10-20"), Reply::NotSatisfiable);
        assert_eq!(range(10, "bytes=-0"), Reply::NotSatisfiable);
        assert_eq!(range(10, &format!("bytes={}-", "9".repeat(40))), Reply::NotSatisfiable);
        assert_eq!(range(0, "bytes=0-"), Reply::Full);
        assert_eq!(range(0, "bytes=-1"), Reply::Full);
    }

    // H54
    #[test]
    fn ranges_that_touch_become_one() {
        let parts = |parts: &[(u64, u64)]| Reply::Parts(parts.into());
        let part = |start, end| Reply::Partial { start, end };
        for (value, expected) in [
            ("bytes=0-1,3-4", parts(&[(0, 2), (3, 5)])),
            ("bytes=8-,0-0", parts(&[(8, 10), (0, 1)])),
            ("bytes=0-0,0-0", part(0, 1)),
            ("bytes=0-1,2-3", part(0, 4)),
            ("bytes=5-6,0-1,1-5", part(0, 7)),
            ("bytes=0-,0-,0-", part(0, 10)),
            ("bytes= 0-0 , 9-9 ,", parts(&[(0, 1), (9, 10)])),
            ("bytes=0-0,20-30", part(0, 1)),
            ("bytes=20-30,40-", Reply::NotSatisfiable),
            ("bytes=-1,-2", part(8, 10)),
        ] {
            assert_eq!(range(10, value), expected, "{value}");
        }
    }

    // H54
    #[test]
    fn too_many_ranges_and_nonsense_are_ignored() {
        let bomb = format!("bytes={}", "0-,".repeat(1300));
        for value in [
            &bomb,
            "bytes=0-1,5-2",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes 0-1",
            "byte",
            "",
            "items=0-1",
            "bytes=0x1-2",
        ] {
            assert_eq!(range(10, value), Reply::Full, "{value}");
        }
    }

    #[test]
    fn if_range_wants_the_very_same_version() {
        let entry = entry(10);
        let part = Reply::Partial { start: 0, end: 2 };
        assert_eq!(if_range(&entry, &entry.etag), part);
        assert_eq!(if_range(&entry, &date(0)), part);
        assert_eq!(if_range(&entry, &date(1)), Reply::Full);
        assert_eq!(if_range(&entry, &date(-1)), Reply::Full);
        assert_eq!(if_range(&entry, &format!("W/{}", entry.etag)), Reply::Full);
        assert_eq!(if_range(&entry, &format!("{}, \"a\"", entry.etag)), Reply::Full);
        assert_eq!(if_range(&entry, "\"other\""), Reply::Full);
        assert_eq!(if_range(&entry, "*"), Reply::Full);
        assert_eq!(if_range(&entry, ""), Reply::Full);
        // Not satisfiable, but not asked for either.
        let conditions = Conditions {
            if_range: Some(b"\"other\""),
            range: Some(b"bytes=99-"),
            ..Conditions::default()
        };
        assert_eq!(evaluate(&entry, &conditions), Reply::Full);
    }

    #[test]
    fn a_date_that_is_not_past_is_too_weak_for_if_range() {
        let mut entry = entry(10);
        entry.modified = now() + 3600;
        let value = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(entry.modified));
        assert_eq!(if_range(&entry, &value), Reply::Full);
    }

    #[test]
    fn each_reply_has_its_header_fields() {
        let entry = entry(10);
        let own = String::from_utf8(entry.headers.to_vec()).unwrap();
        assert_eq!(headers(&entry, &Reply::Full), format!("{own}Content-Length: 10\r\n"));
        assert_eq!(
            headers(&entry, &Reply::Partial { start: 2, end: 5 }),
            format!("{own}Content-Range: bytes 2-4/10\r\nContent-Length: 3\r\n")
        );
        assert_eq!(
            headers(&entry, &Reply::NotSatisfiable),
            "Content-Range: bytes */10\r\nContent-Length: 0\r\n"
        );
        assert_eq!(
            headers(&entry, &Reply::NotModified),
            format!("ETag: {}\r\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT\r\n", entry.etag)
        );
        assert_eq!(headers(&entry, &Reply::PreconditionFailed), "");
    }
}
