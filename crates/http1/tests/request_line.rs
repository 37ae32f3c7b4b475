//! The request line and Host: H23–H30.

use gwanmun_http1::{Body, Limits, RequestHead, TargetForm, Version, parse_request};

fn parse(buf: &[u8]) -> Result<Option<RequestHead>, u16> {
    parse_request(buf, &Limits::default(), &mut Vec::new()).map_err(|rejection| rejection.status())
}

fn accept(buf: &[u8]) -> RequestHead {
    match parse(buf) {
        Ok(Some(head)) => head,
        other => panic!("{other:?} for {}", buf.escape_ascii()),
    }
}

fn assert_refused(row: &str, status: u16, buf: &[u8]) {
    assert_eq!(parse(buf), Err(status), "{row}: {}", buf.escape_ascii());
}

fn with_target(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat()
}

fn with_host(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n").into_bytes()
}

#[test]
fn splits_an_origin_target() {
    let buf = b"GET /a/b%20c;p?x=/?y HTTP/1.1\r\nHost: example.com:8080\r\n\r\nrest";
    let head = accept(buf);
    assert_eq!(head.method.of(buf), b"GET");
    assert_eq!(head.target.of(buf), b"/a/b%20c;p?x=/?y");
    assert_eq!(head.path.of(buf), b"/a/b%20c;p");
    assert_eq!(head.query.of(buf), b"x=/?y");
    assert_eq!(head.authority.of(buf), b"example.com:8080");
    assert_eq!(head.host.of(buf), b"example.com");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.form, TargetForm::Origin);
    assert_eq!(head.body, Body::None);
    assert_eq!(&buf[head.len..], b"rest");
}

#[test]
fn an_empty_query_is_empty() {
    for target in [&b"/a"[..], b"/a?"] {
        let buf = with_target(target);
        let head = accept(&buf);
        assert!(head.query.is_empty());
        assert_eq!(head.path.of(&buf), b"/a");
    }
}

#[test]
fn only_utf_8_passes_in_a_target_beyond_ascii() {
    for target in ["/caf\u{e9}", "/a?\u{adf8}\u{bb38}", "/\u{1f600}?\u{e9}", "http://h/\u{e9}"] {
        assert_eq!(accept(&with_target(target.as_bytes())).target.len(), target.len());
    }
    let bad: [&[u8]; 11] = [
        b"/caf\xe9",
        b"/\x80",
        b"/?\xbf",
        b"/\xc0\xaf",
        b"/\xe0\x80\xaf",
        b"/\xed\xa0\x80",
        b"/\xf4\x90\x80\x80",
        b"/\xff",
        b"/\xc3",
        b"/\xc3?\xa9",
        b"/\xc3\xa9\xe9",
    ];
    for target in bad {
        assert_refused("RFC 9112 3.2", 400, &with_target(target));
    }
}

#[test]
fn h24_the_authority_of_an_absolute_target_wins() {
    let buf = b"GET HTTP://other:81/p?q HTTP/1.1\r\nHost: h\r\n\r\n";
    let head = accept(buf);
    assert_eq!(head.form, TargetForm::Absolute);
    assert_eq!(head.authority.of(buf), b"other:81");
    assert_eq!(head.host.of(buf), b"other");
    assert_eq!(head.path.of(buf), b"/p");
    assert_eq!(head.query.of(buf), b"q");
    assert_refused("H23", 400, b"GET http://h/ HTTP/1.1\r\n\r\n");
    assert_refused("H23", 400, b"GET http://h/ HTTP/1.1\r\nHost: a@b\r\n\r\n");
}

#[test]
fn an_absolute_target_without_a_path_means_the_root() {
    for (target, query) in [("http://h", ""), ("https://h:1?q/x", "q/x"), ("http://h?", "")] {
        let buf = with_target(target.as_bytes());
        let head = accept(&buf);
        assert_eq!(head.path.of(&buf), b"/", "{target}");
        assert_eq!(head.query.of(&buf), query.as_bytes(), "{target}");
        assert_eq!(head.host.of(&buf), b"h", "{target}");
    }
    let buf = b"GET http://h/a HTTP/1.0\r\n\r\n";
    assert_eq!(accept(buf).authority.of(buf), b"h");
}

#[test]
fn h23_host_is_one_valid_authority() {
    for host in [
        "h",
        " h ",
        "a.example.com:80",
        "127.0.0.1",
        "[::1]",
        "[2001:db8::1]:443",
        "h:",
        "h:65535",
        "a_b",
        "\th\t",
    ] {
        let buf = with_host(host);
        assert_eq!(accept(&buf).authority.of(&buf), host.trim().as_bytes(), "{host:?}");
    }
    let buf = with_host("[::1]:443");
    assert_eq!(accept(&buf).host.of(&buf), b"[::1]");

    for host in [
        "",
        " ",
        "a,b",
        "a, b",
        "user@h",
        "user:pw@h",
        "h/",
        "h/path",
        "http://h",
        "h?q",
        "h#f",
        "a b",
        ":80",
        "h:65536",
        "h:+1",
        "h:080000",
        "h:80:80",
        "h:a",
        "[::1",
        "::1",
        "[::1]x",
        "[]",
        "[fe80::1%25eth0]",
        "[v1.x]",
        "h%2f",
        "h\\",
        "\u{e9}",
        "h\"",
        "<h>",
    ] {
        assert_refused("H23", 400, &with_host(host));
    }
    assert_refused("H23", 400, b"GET / HTTP/1.1\r\n\r\n");
    assert_refused("H23", 400, b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n");
    assert_refused("H23", 400, b"GET / HTTP/1.0\r\nHost: h\r\nHOST: i\r\n\r\n");
    assert_refused("H23", 400, b"GET / HTTP/1.0\r\nHost: \r\n\r\n");
}

#[test]
fn http_1_0_needs_no_host() {
    let head = accept(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(head.version, Version::Http10);
    assert!(head.authority.is_empty() && head.host.is_empty());
}

#[test]
fn h25_target_forms() {
    for target in [
        "h:443",
        "h",
        "a/b",
        "*",
        "*/",
        "/a#f",
        "/a?q#f",
        "http:/h/",
        "http:h",
        "http://",
        "http:///p",
        "http://?q",
        "http://u@h/",
        "http://h\\p/",
        "ftp://h/",
        "https:",
        "//",
        "http://h:99999/",
        "http://a,b/",
        "http://[::1/",
    ] {
        match target {
            "//" => assert_eq!(accept(&with_target(b"//")).form, TargetForm::Origin),
            _ => assert_refused("H25", 400, &with_target(target.as_bytes())),
        }
    }
    assert_refused("H25", 400, &with_target(b"/a b"));
    assert_refused("H70", 400, &with_target(b"/a\\b"));
    assert_eq!(accept(&with_target(b"/a?b\\c")).query.len(), 3);

    let buf = b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";
    let head = accept(buf);
    assert_eq!(head.form, TargetForm::Asterisk);
    assert_eq!(head.path.of(buf), b"*");
    assert!(head.query.is_empty());
    assert_refused("H25", 400, b"OPTIONS *?q HTTP/1.1\r\nHost: h\r\n\r\n");
}

#[test]
fn h25_no_control_character_space_or_del_in_a_target() {
    for byte in (0..=0x20).chain([0x7f]) {
        for template in [&b"/a_b"[..], b"/_", b"/a?b_c", b"http://h/_"] {
            let target: Vec<u8> =
                template.iter().map(|&b| if b == b'_' { byte } else { b }).collect();
            assert_refused("H25", 400, &with_target(&target));
        }
    }
}

#[test]
fn h26_connect_and_trace_are_refused() {
    assert_refused("H26", 501, b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    assert_refused("H26", 405, b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n");
}

#[test]
fn h27_methods() {
    for method in ["GET", "get", "PROPFIND", "M-SEARCH", "X!#$%&'*+-.^_`|~", &"M".repeat(32)] {
        let buf = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        assert_eq!(accept(&buf).method.of(&buf), method.as_bytes());
    }
    for method in ["G(T", "G\0T", "\u{e9}", "", "\"G\"", "G,", "G:", "\x16\x03\x01", " GET"] {
        assert_refused("H27", 400, format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    }
    assert_refused(
        "H27",
        501,
        format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(33)).as_bytes(),
    );
}

#[test]
fn h28_request_line_grammar() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1\t",
        " GET / HTTP/1.1",
        "GET /",
        "GET",
        "GET / ",
        "GET / HTTP/1.1x",
        "GET / HTTP/01.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1,1",
        "GET / HTTP /1.1",
        "GET / XTTP/1.1",
        "GET / HTTP/a.b",
        "GET HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.\r1",
    ] {
        assert_refused("H28", 400, format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"] {
        assert_refused("H28", 505, format!("GET / {version}\r\nHost: h\r\n\r\n").as_bytes());
    }
    assert_eq!(accept(b"GET / HTTP/1.2\r\nHost: h\r\n\r\n").version, Version::Http11);
    assert_eq!(accept(b"GET / HTTP/1.9\r\nHost: h\r\n\r\n").version, Version::Http11);
}

#[test]
fn h29_the_http_2_preface_is_refused() {
    assert_refused("H29", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_refused("H29", 505, b"PRI * HTTP/2.0\r\n");
}

#[test]
fn h40_a_valid_request_is_parsed_before_an_invalid_one() {
    let buf = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\nHost: h\r\n\r\n";
    let first = accept(buf);
    assert_eq!(first.path.of(buf), b"/1");
    assert_refused("H40", 400, &buf[first.len..]);
}

#[test]
fn pipelined_requests_are_parsed_one_by_one() {
    let one = b"GET /p HTTP/1.1\r\nHost: h\r\n\r\n";
    let buf = one.repeat(3);
    for start in [0, one.len(), 2 * one.len()] {
        assert_eq!(accept(&buf[start..]).len, one.len());
    }
}

#[test]
fn a_few_empty_lines_before_the_request_line_are_skipped() {
    for count in 0..=4 {
        let buf = ["\r\n".repeat(count).as_bytes(), b"GET /p HTTP/1.0\r\n\r\n"].concat();
        let head = accept(&buf);
        assert_eq!(head.len, buf.len());
        assert_eq!(head.path.of(&buf), b"/p");
    }
    for buf in [
        &b"\r\n\r\n\r\n\r\n\r\n"[..],
        b"\n",
        b"\r\n\n",
        b"\r\r",
        b"\rGET / HTTP/1.0\r\n\r\n",
        b"\nGET / HTTP/1.0\r\n\r\n",
    ] {
        assert_refused("H14", 400, buf);
    }
    for buf in [&b""[..], b"\r", b"\r\n", b"\r\n\r\n\r\n\r\n\r"] {
        assert_eq!(parse(buf), Ok(None), "{}", buf.escape_ascii());
    }
}
