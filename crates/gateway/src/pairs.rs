//! Environ encoding 2: a request head as the environ it becomes, for workers to which cutting text by offsets is dear.
//!
//! The payload is the application's index, the flags of the request, and the environ: name NUL value NUL …

use crate::frame::MAX_PAYLOAD;
use crate::request::{FIXED, FLAG_BODY, FLAG_HTTP10, FLAG_TLS, HeadView, Piece};

/// Bytes before the pairs.
pub const PAIRS_FIXED: usize = 8;

/// Appends the payload for the head that [`HeadWriter`](crate::request::HeadWriter) wrote.
///
/// It fits a frame, which [`HeadWriter::finish`](crate::request::HeadWriter::finish) has seen to; REQUEST_URI, which repeats the path and the query, is
/// left out where it would not.
pub fn write_pairs(out: &mut Vec<u8>, head: &[u8]) {
    if head.len() < FIXED {
        return;
    }
    let view = HeadView::new(head);
    let start = out.len();
    let flags = view.flags();
    out.extend_from_slice(&head[..4]);
    out.extend_from_slice(&flags.to_le_bytes());
    pair(out, b"REQUEST_METHOD", view.piece(Piece::Method));
    pair(out, b"SCRIPT_NAME", view.piece(Piece::ScriptName));
    pair(out, b"PATH_INFO", view.piece(Piece::PathInfo));
    pair(out, b"QUERY_STRING", view.piece(Piece::Query));
    let tls = flags & FLAG_TLS != 0;
    pair(out, b"SERVER_NAME", view.piece(Piece::ServerName));
    let (server_port, remote_port) = view.ports();
    // W03: never empty, also behind a Unix socket.
    let server_port = match server_port {
        0 if tls => 443,
        0 => 80,
        port => port,
    };
    number(out, b"SERVER_PORT", server_port.into());
    pair(out, b"SERVER_PROTOCOL", if flags & FLAG_HTTP10 != 0 { b"HTTP/1.0" } else { b"HTTP/1.1" });
    pair(out, b"REMOTE_ADDR", view.piece(Piece::RemoteAddr));
    if remote_port != 0 {
        number(out, b"REMOTE_PORT", remote_port.into());
    }
    pair(out, b"wsgi.url_scheme", if tls { b"https" } else { b"http" });
    if tls {
        pair(out, b"HTTPS", b"on");
    }
    out.extend_from_slice(view.variables());
    if flags & FLAG_BODY != 0 {
        number(out, b"CONTENT_LENGTH", view.body_length());
    }
    headers(out, &view);
    let target = view.piece(Piece::Target);
    if out.len() - start + target.len() + 13 <= MAX_PAYLOAD {
        pair(out, b"REQUEST_URI", target);
    }
}

/// W06: each header once, under its environ key, the values of repeated ones joined.
fn headers(out: &mut Vec<u8>, view: &HeadView<'_>) {
    // A bit for each name that has been seen, by its length and last letter: a clear bit spares the search for others.
    let mut seen = 0u64;
    for (index, (name, value)) in view.headers().enumerate() {
        let content_type = is(name, b"content-type");
        if is(name, b"content-length") {
            continue;
        }
        let bit =
            1 << ((name.len() * 7 + usize::from(name.last().map_or(0, |last| last | 0x20))) % 64);
        let maybe_repeated = seen & bit != 0;
        seen |= bit;
        if maybe_repeated && view.headers().take(index).any(|(other, _)| is(name, other)) {
            continue; // The first one has taken its value along.
        }
        if !content_type {
            out.extend_from_slice(b"HTTP_");
        }
        out.extend(name.iter().map(|byte| match byte {
            b'-' => b'_',
            byte => byte.to_ascii_uppercase(),
        }));
        out.push(0);
        text(out, value);
        if !content_type {
            let separator: &[u8] = if is(name, b"cookie") { b"; " } else { b", " };
            for (_, value) in view.headers().skip(index + 1).filter(|(other, _)| is(name, other)) {
                out.extend_from_slice(separator);
                text(out, value);
            }
        }
        out.push(0);
    }
}

fn is(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && name.eq_ignore_ascii_case(other)
}

fn pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.push(0);
    text(out, value);
    out.push(0);
}

fn number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    pair(out, name, value.to_string().as_bytes());
}

/// NUL ends a value, and no request that is accepted has one (H15); if it had, it would not end in another's name.
fn text(out: &mut Vec<u8>, value: &[u8]) {
    if value.contains(&0) {
        out.extend(value.iter().filter(|byte| **byte != 0));
    } else {
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Fixed, HeadWriter, Pair, set_body_length};

    /// The payload that the core writes for a head with these headers.
    fn head(fixed: Fixed, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        head_of(fixed, "example.org", path, headers)
    }

    fn head_of(fixed: Fixed, server: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        try_head_of(fixed, server, path, headers).expect("it fits a frame")
    }

    fn try_head_of(
        fixed: Fixed,
        server: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Option<Vec<u8>> {
        let mut text = format!("GET {path}?a=%20b HTTP/1.1\r\n").into_bytes();
        let mut pairs = Vec::new();
        for (name, value) in headers {
            let start = text.len() as u32;
            let middle = start + name.len() as u32;
            text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            pairs.push((
                Pair::new(start, middle),
                Pair::new(middle + 2, middle + 2 + value.len() as u32),
            ));
        }
        let mut out = Vec::new();
        let mut writer = HeadWriter::new(&mut out, fixed);
        writer.headers(pairs.len(), pairs.into_iter());
        writer.text(&text);
        let end = 4 + path.len() as u32;
        writer.piece(Piece::Method, Pair::new(0, 3));
        writer.piece(Piece::Target, Pair::new(4, end + 7));
        writer.piece(Piece::ScriptName, Pair::new(4, 6));
        writer.piece(Piece::PathInfo, Pair::new(6, end));
        writer.piece(Piece::Query, Pair::new(end + 1, end + 7));
        let server = writer.append(server.as_bytes());
        writer.piece(Piece::ServerName, server);
        let remote = writer.append(b"192.0.2.1");
        writer.piece(Piece::RemoteAddr, remote);
        writer.finish().then_some(out)
    }

    fn environ(head: &[u8]) -> Vec<(String, String)> {
        let mut out = b"before".to_vec();
        write_pairs(&mut out, head);
        assert!(out.len() - 6 <= MAX_PAYLOAD);
        let text = &out[6 + PAIRS_FIXED..];
        let mut values: Vec<_> = text
            .split(|byte| *byte == 0)
            .map(|value| value.iter().map(|byte| char::from(*byte)).collect::<String>())
            .collect();
        assert_eq!(values.pop().as_deref(), Some(""), "a NUL ends the last value");
        assert_eq!(values.len() % 2, 0);
        values.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    fn value<'a>(environ: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut found = environ.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} comes once");
        value
    }

    #[test]
    fn w03_every_cgi_variable_is_there() {
        let fixed =
            Fixed { application: 2, server_port: 8080, remote_port: 40_000, ..Fixed::default() };
        let head = head(fixed, "/a/b c", &[("Host", "h"), ("X-Long-Name", "v")]);
        let environ = environ(&head);
        for (name, expected) in [
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", "/a"),
            ("PATH_INFO", "/b c"),
            ("QUERY_STRING", "a=%20b"),
            ("REQUEST_URI", "/a/b c?a=%20b"),
            ("SERVER_NAME", "example.org"),
            ("SERVER_PORT", "8080"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REMOTE_ADDR", "192.0.2.1"),
            ("REMOTE_PORT", "40000"),
            ("wsgi.url_scheme", "http"),
            ("HTTP_HOST", "h"),
            ("HTTP_X_LONG_NAME", "v"),
        ] {
            assert_eq!(value(&environ, name), Some(expected), "{name}");
        }
        assert_eq!(environ.len(), 13);
    }

    #[test]
    fn w03_a_unix_socket_has_a_port_and_no_remote_one() {
        let plain = environ(&head(Fixed::default(), "/a/", &[]));
        assert_eq!(value(&plain, "SERVER_PORT"), Some("80"));
        assert_eq!(value(&plain, "REMOTE_PORT"), None);
        let fixed = Fixed { flags: FLAG_TLS | FLAG_HTTP10, ..Fixed::default() };
        let tls = environ(&head(fixed, "/a/", &[]));
        assert_eq!(value(&tls, "SERVER_PORT"), Some("443"));
        assert_eq!(value(&tls, "SERVER_PROTOCOL"), Some("HTTP/1.0"));
        assert_eq!(value(&tls, "HTTPS"), Some("on"));
        assert_eq!(value(&tls, "wsgi.url_scheme"), Some("https"));
    }

    #[test]
    fn w06_repeated_headers_are_joined_at_the_place_of_the_first() {
        let environ = environ(&head(
            Fixed::default(),
            "/a/",
            &[
                ("X-A", "1"),
                ("Cookie", "a=1"),
                ("x-a", "2"),
                ("Content-Type", "text/plain"),
                ("cookie", "b=2"),
                ("content-type", "text/html"),
                ("X-a", ""),
                ("Y-A", "y"),
            ],
        ));
        assert_eq!(value(&environ, "HTTP_X_A"), Some("1, 2, "));
        assert_eq!(value(&environ, "HTTP_COOKIE"), Some("a=1; b=2"));
        assert_eq!(value(&environ, "CONTENT_TYPE"), Some("text/plain"));
        assert_eq!(value(&environ, "HTTP_Y_A"), Some("y"));
        assert_eq!(value(&environ, "HTTP_CONTENT_TYPE"), None);
    }

    #[test]
    fn w24_the_length_is_that_of_the_body_and_not_what_a_header_says() {
        let mut head = head(Fixed::default(), "/a/", &[("Content-Length", "7")]);
        assert_eq!(value(&environ(&head), "CONTENT_LENGTH"), None);
        set_body_length(&mut head, 0x1_0000_0002);
        let environ = environ(&head);
        assert_eq!(value(&environ, "CONTENT_LENGTH"), Some("4294967298"));
        assert_eq!(value(&environ, "HTTP_CONTENT_LENGTH"), None);
    }

    #[test]
    fn w04_bytes_beyond_ascii_are_kept() {
        let environ = environ(&head(Fixed::default(), "/a/", &[("X-Name", "café")]));
        assert_eq!(value(&environ, "HTTP_X_NAME"), Some("caf\u{c3}\u{a9}"));
    }

    #[test]
    fn the_largest_head_fits_a_frame() {
        let path = format!("/a/{}", "p".repeat(16_300));
        let many: Vec<(String, String)> =
            (0..1000).map(|n| (format!("h{n}"), "v".repeat(24))).collect();
        let headers: Vec<_> =
            many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let server = "h".repeat(1024);
        let environ = environ(&head_of(Fixed::default(), &server, &path, &headers));
        assert_eq!(value(&environ, "PATH_INFO").map(str::len), Some(16_301));
        assert_eq!(value(&environ, "HTTP_H999").map(str::len), Some(24));
        assert!(value(&environ, "REQUEST_URI").is_none());
    }

    /// A proxy may name the host: it stands in a field of its own, and in the places of Host and SERVER_NAME.
    #[test]
    fn a_head_whose_host_stands_in_another_field_fits_as_pairs() {
        let host = "h".repeat(512);
        let payload = |filling: usize| {
            let text = format!("X-Forwarded-Host{host}Host{}", "v".repeat(filling)).into_bytes();
            let value = Pair::new(16, 528);
            let pairs = [
                (Pair::new(0, 16), value),
                (Pair::new(528, 532), value),
                (Pair::new(2, 3), Pair::new(532, 532 + filling as u32)),
            ];
            let mut out = Vec::new();
            let fixed = Fixed {
                flags: FLAG_TLS | FLAG_BODY,
                server_port: 65_535,
                remote_port: 65_535,
                ..Fixed::default()
            };
            let mut writer = HeadWriter::new(&mut out, fixed);
            writer.headers(pairs.len(), pairs.into_iter());
            writer.text(&text);
            writer.piece(Piece::ServerName, value);
            let remote = writer.append(&[b'f'; 39]);
            writer.piece(Piece::RemoteAddr, remote);
            writer.finish().then_some(out)
        };
        let longest = (0..MAX_PAYLOAD).rev().find_map(payload).expect("it fits a frame");
        assert_eq!(value(&environ(&longest), "HTTP_HOST"), Some(&*host));
    }

    #[test]
    fn every_head_that_fits_as_a_table_fits_as_pairs() {
        let host = "h".repeat(1024);
        for count in [1, 2, 100, 1000] {
            // As long as it can be.
            let mut length = 60_000 / count;
            let payload = loop {
                let value = "v".repeat(length);
                let names: Vec<_> = (0..count).map(|n| format!("h{n}")).collect();
                let mut headers: Vec<_> =
                    names.iter().map(|name| (name.as_str(), value.as_str())).collect();
                headers.push(("Host", &host));
                if let Some(payload) = try_head_of(Fixed::default(), &host, "/a/p", &headers) {
                    break payload;
                }
                length -= 1;
            };
            let environ = environ(&payload);
            assert_eq!(value(&environ, "HTTP_HOST").map(str::len), Some(1024));
            assert_eq!(
                environ.iter().filter(|(name, _)| name.starts_with("HTTP_H")).count(),
                count + 1
            );
        }
    }
}
