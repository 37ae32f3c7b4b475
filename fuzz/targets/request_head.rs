//! Request heads and paths: spans lie in the buffer, what is accepted is strict, and a head means the same however much
//! of it, or behind it, is there.

#![no_main]

use gwanmun_gateway::frame::MAX_PAYLOAD;
use gwanmun_gateway::pairs::{PAIRS_FIXED, write_pairs};
use gwanmun_gateway::request::{Fixed, HeadWriter, Pair, Piece};
use gwanmun_http1::path::{self, Normal};
use gwanmun_http1::{
    HeaderSpan, Limits, Rejection, RequestHead, TargetForm, Version, parse_request,
};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;

/// Small enough for the fuzzer to reach every limit.
const TIGHT: Limits = Limits { request_line: 48, header_bytes: 96, header_count: 3 };

type Parsed = Result<Option<(RequestHead, Vec<HeaderSpan>)>, Rejection>;

fuzz_target!(|data: &[u8]| {
    check(data, &Limits::default());
    check(data, &TIGHT);
    if let Ok(Some(tight)) = parse(data, &TIGHT) {
        assert_eq!(parse(data, &Limits::default()), Ok(Some(tight)));
    }
    check_path(data);
});

fn parse(buf: &[u8], limits: &Limits) -> Parsed {
    let mut headers = Vec::new();
    let head = parse_request(buf, limits, &mut headers)?;
    assert!(head.is_some() || headers.is_empty());
    Ok(head.map(|head| (head, headers)))
}

fn check(data: &[u8], limits: &Limits) {
    let whole = parse(data, limits);
    if let Ok(Some((head, headers))) = &whole {
        check_spans(data, head, headers);
        check_lines(&data[..head.len]);
        check_rewritten(data, head, headers);
        check_environ(data, head, headers);
    }
    // Every prefix of a short input, a few of a long one.
    let step = 1 + data.len() / 256;
    for len in (0..data.len()).step_by(step) {
        match (parse(&data[..len], limits), &whole) {
            (Ok(None), Ok(Some((head, _)))) => {
                assert!(len < head.len, "complete and not accepted at {len}")
            }
            (Ok(None), _) => {}
            // What is refused or accepted stays so, whatever follows.
            (Ok(Some(part)), Ok(Some(whole))) => assert_eq!(part, *whole),
            (Ok(Some(_)), other) => panic!("accepted at {len}, but {other:?} in whole"),
            (Err(_), Err(_)) => {}
            (Err(part), other) => panic!("{part:?} at {len}, but {other:?} in whole"),
        }
    }
}

fn check_spans(data: &[u8], head: &RequestHead, headers: &[HeaderSpan]) {
    assert!(head.len <= data.len());
    let buf = &data[..head.len];
    for span in [head.method, head.target, head.path, head.query, head.authority, head.host] {
        let _ = span.of(buf);
    }
    assert!(head.authority.of(buf).starts_with(head.host.of(buf)));
    assert!((1..=32).contains(&head.method.len()));
    match head.form {
        TargetForm::Asterisk => assert_eq!(head.path.of(buf), b"*"),
        _ => assert_eq!(head.path.of(buf)[0], b'/'),
    }
    let mut end = head.target.end;
    for field in headers {
        assert!(end < field.name.start && field.name.end < field.value.start);
        let value = field.value.of(buf);
        assert!(!field.name.is_empty());
        assert!(
            !value.starts_with(b" ")
                && !value.ends_with(b" ")
                && !value.starts_with(b"\t")
                && !value.ends_with(b"\t")
        );
        end = field.value.end;
    }
    assert!(end as usize + 4 <= head.len);
}

/// Lines end in CRLF and in nothing else; no other control character but HTAB.
fn check_lines(head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n"));
    for (i, &byte) in head.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(head.get(i + 1), Some(&b'\n')),
            b'\n' => assert_eq!(head[i - 1], b'\r'),
            b'\t' => {}
            _ => assert!(byte >= b' ' && byte != 0x7f),
        }
    }
}

/// The environ of a head has each name once, and the values that the head has.
fn check_environ(data: &[u8], head: &RequestHead, headers: &[HeaderSpan]) {
    let crosses =
        |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let headers: Vec<_> = headers.iter().filter(|field| crosses(field.name.of(data))).collect();
    let pair = |span: gwanmun_http1::Span| Pair::new(span.start, span.end);
    let mut payload = Vec::new();
    let mut writer = HeadWriter::new(&mut payload, Fixed::default());
    writer
        .headers(headers.len(), headers.iter().map(|field| (pair(field.name), pair(field.value))));
    writer.text(&data[..head.len]);
    writer.piece(Piece::Method, pair(head.method));
    writer.piece(Piece::Target, pair(head.target));
    writer.piece(Piece::PathInfo, pair(head.path));
    writer.piece(Piece::Query, pair(head.query));
    if !writer.finish() {
        return;
    }
    let mut out = Vec::new();
    write_pairs(&mut out, &payload);
    assert!(out.len() <= MAX_PAYLOAD);
    let mut parts = out[PAIRS_FIXED..].split(|byte| *byte == 0);
    let mut environ = HashMap::new();
    while let Some(name) = parts.next().filter(|name| !name.is_empty()) {
        let value = parts.next().expect("a value for each name");
        assert!(environ.insert(name, value).is_none(), "no name twice");
    }
    assert_eq!(parts.next(), None);
    assert_eq!(environ[&b"REQUEST_METHOD"[..]], head.method.of(data));
    assert_eq!(environ[&b"PATH_INFO"[..]], head.path.of(data));
    assert_eq!(environ[&b"QUERY_STRING"[..]], head.query.of(data));
    for field in headers {
        let name = environ_name(field.name.of(data));
        let key =
            if name == b"CONTENT_TYPE" { name.clone() } else { [b"HTTP_", &name[..]].concat() };
        match environ.get(&key[..]) {
            Some(value) => {
                let own = field.value.of(data);
                let first_counts = name == b"CONTENT_TYPE";
                assert!(
                    first_counts
                        || own.is_empty()
                        || value.windows(own.len()).any(|part| part == own)
                );
            }
            None => assert_eq!(name, b"CONTENT_LENGTH"),
        }
    }
}

fn environ_name(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }).collect()
}

/// A head written from what was understood is understood the same.
fn check_rewritten(data: &[u8], head: &RequestHead, headers: &[HeaderSpan]) {
    let version: &[u8] = if head.version == Version::Http10 { b"HTTP/1.0" } else { b"HTTP/1.1" };
    let mut text = [head.method.of(data), head.target.of(data), version].join(&b' ');
    for field in headers {
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(field.name.of(data));
        text.push(b':');
        text.extend_from_slice(field.value.of(data));
    }
    text.extend_from_slice(b"\r\n\r\n");

    let (again, fields) = parse(&text, &Limits::default()).expect("accepted").expect("complete");
    assert_eq!(again.len, text.len());
    assert_eq!((again.version, again.form, again.body), (head.version, head.form, head.body));
    assert_eq!((again.keep_alive, again.expect_continue), (head.keep_alive, head.expect_continue));
    for (one, two) in [
        (head.path, again.path),
        (head.query, again.query),
        (head.authority, again.authority),
        (head.host, again.host),
    ] {
        assert_eq!(one.of(data), two.of(&text));
    }
    assert_eq!(headers.len(), fields.len());
    for (one, two) in headers.iter().zip(&fields) {
        assert_eq!(
            (one.name.of(data), one.value.of(data)),
            (two.name.of(&text), two.value.of(&text))
        );
    }

    check_path(head.path.of(data));
}

fn check_path(raw: &[u8]) {
    let mut out = vec![0xff];
    let Ok(normalized) = path::normalize(raw, &mut out) else {
        return;
    };
    let path = match normalized.form {
        Normal::Same => {
            assert!(out.is_empty());
            raw
        }
        Normal::Decoded => {
            assert_ne!(out, raw);
            &out
        }
    };
    if raw == b"*" {
        return;
    }
    assert_eq!(path[0], b'/');
    assert!(path.len() <= raw.len());
    let segments: Vec<&[u8]> = path[1..].split(|&byte| byte == b'/').collect();
    let (last, inner) = segments.split_last().expect("a split has a piece");
    assert!(inner.iter().all(|segment| !segment.is_empty()));
    assert!(
        inner
            .iter()
            .chain([last])
            .all(|segment| *segment != b"." && *segment != b".." && !segment.contains(&0))
    );
    // A140: behind any mount an application gets what merges to it.
    let mounts = (1..path.len()).filter(|&end| path[end] == b'/' && path[end - 1] != b'/');
    for prefix in mounts.chain([0]).filter(|_| normalized.doubled) {
        let mut info = Vec::new();
        path::rest(raw, prefix, &mut info);
        assert!(info.is_empty() || (info[0] == b'/' && !info.starts_with(b"//")));
        path::merge(&mut info);
        assert_eq!(info, path[prefix..]);
    }
    // Without an escape left, the normal form is its own.
    if !path.contains(&b'%') {
        let again = path::normalize(path, &mut Vec::new()).expect("normal");
        assert_eq!(again.form, Normal::Same);
    }
}
