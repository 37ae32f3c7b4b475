//! Body framing and the life of the connection: H1–H7, H33.

use gwanmun_http1::{Body, Limits, RequestHead, parse_request};

fn parse(version: &str, lines: &[u8]) -> Result<RequestHead, u16> {
    let buf = [b"POST / ", version.as_bytes(), b"\r\nHost: h\r\n", lines, b"\r\n"].concat();
    match parse_request(&buf, &Limits::default(), &mut Vec::new()) {
        Ok(Some(head)) => Ok(head),
        Ok(None) => panic!("incomplete: {}", buf.escape_ascii()),
        Err(rejection) => Err(rejection.status()),
    }
}

fn body(lines: &[u8]) -> Result<Body, u16> {
    parse("HTTP/1.1", lines).map(|head| head.body)
}

#[track_caller]
fn assert_refused(row: &str, status: u16, lines: &[u8]) {
    assert_eq!(body(lines), Err(status), "{row}: {}", lines.escape_ascii());
}

#[test]
fn bodies() {
    assert_eq!(body(b""), Ok(Body::None));
    assert_eq!(body(b"Content-Length: 0\r\n"), Ok(Body::Length(0)));
    assert_eq!(body(b"content-length:42 \r\n"), Ok(Body::Length(42)));
    assert_eq!(body(b"CONTENT-LENGTH: 9223372036854775807\r\n"), Ok(Body::Length(i64::MAX as u64)));
    assert_eq!(body(b"Transfer-Encoding: chunked\r\n"), Ok(Body::Chunked));
    assert_eq!(body(b"transfer-encoding:\tChunKed \r\n"), Ok(Body::Chunked));
}

#[test]
fn h1_content_length_with_transfer_encoding() {
    assert_refused("H1", 400, b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
    assert_refused("H1", 400, b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n");
    assert_refused("H1", 400, b"Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0\r\n");
}

#[test]
fn h2_transfer_encoding_in_http_1_0() {
    assert_eq!(parse("HTTP/1.0", b"Transfer-Encoding: chunked\r\n"), Err(400));
    assert_eq!(parse("HTTP/1.0", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Err(400));
}

#[test]
fn h3_final_coding_is_not_chunked() {
    for value in [
        "chunked, gzip",
        "identity",
        "gzip",
        "xchunked",
        "chunkedx",
        "chunked;x",
        "chunked; q=1",
        "",
        " ",
        "\"chunked\"",
        "chunked identity",
        "c hunked",
    ] {
        assert_refused("H3", 400, format!("Transfer-Encoding: {value}\r\n").as_bytes());
    }
    assert_refused("H3", 501, b"Transfer-Encoding: gzip, chunked\r\n");
    assert_refused("H3", 501, b"Transfer-Encoding: unknown,chunked\r\n");
}

#[test]
fn h4_chunked_more_than_once_or_empty_elements() {
    assert_refused("H4", 400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    assert_refused("H4", 400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n");
    assert_refused("H4", 400, b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n");
    for value in [
        "chunked, chunked",
        "chunked,chunked",
        ", chunked",
        "chunked,",
        "chunked, ",
        ",",
        "gzip,, chunked",
    ] {
        assert_refused("H4", 400, format!("Transfer-Encoding: {value}\r\n").as_bytes());
    }
}

#[test]
fn h5_obfuscated_transfer_encoding() {
    for byte in [0x0b, 0x0c, 0x00, 0xa0, 0x85, 0x1f, 0x7f, b'\r', b'\n'] {
        for (before, after) in [(&b""[..], &b"chunked"[..]), (b"chunked", b""), (b"chun", b"ked")] {
            assert_refused(
                "H5",
                400,
                &[b"Transfer-Encoding: ", before, &[byte], after, b"\r\n"].concat(),
            );
        }
    }
    assert_refused("H5", 400, b"Transfer-Encoding:\r\n chunked\r\n");
    assert_refused("H5", 400, b"Transfer-Encoding: chunked\r\n \r\n");
    assert_refused("H5", 400, b"Transfer-Encoding : chunked\r\n");
    assert_eq!(body(b"Transfer-Encoding:\t chunked\t \r\n"), Ok(Body::Chunked));
}

#[test]
fn h6_repeated_content_length() {
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\ncontent-length: 5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,\r\n",
    ] {
        assert_refused("H6", 400, lines.as_bytes());
    }
}

#[test]
fn h7_content_length_is_a_decimal_number() {
    for value in [
        "",
        " ",
        "+5",
        "-0",
        "-5",
        "0x5",
        "5 5",
        "1_0",
        "5;",
        "5.0",
        "5e1",
        "abc",
        "010",
        "00",
        "\u{661}",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "100000000000000000000000000000005",
        "5\x0b",
    ] {
        assert_refused("H7", 400, format!("Content-Length: {value}\r\n").as_bytes());
    }
}

#[test]
fn connections_persist_by_version_and_options() {
    for (version, lines, keep_alive) in [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: CLOSE\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\n", true),
        ("HTTP/1.1", "Connection: keep-alive, close\r\n", false),
        ("HTTP/1.1", "Connection: upgrade\r\nConnection:, close ,\r\n", false),
        ("HTTP/1.1", "Connection: closed\r\n", true),
        ("HTTP/1.1", "Proxy-Connection: close\r\n", true),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ("HTTP/1.0", "Connection: x\r\nConnection: y, keep-alive\r\n", true),
    ] {
        assert_eq!(
            parse(version, lines.as_bytes()).unwrap().keep_alive,
            keep_alive,
            "{version} {lines:?}"
        );
    }
}

#[test]
fn h33_expectations() {
    let expects =
        |version, lines: &str| parse(version, lines.as_bytes()).map(|head| head.expect_continue);
    assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n"), Ok(true));
    assert_eq!(
        expects("HTTP/1.1", "expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n"),
        Ok(true)
    );
    assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\n"), Ok(false), "no body to wait for");
    assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n"), Ok(false));
    assert_eq!(expects("HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n"), Ok(false));
    assert_eq!(expects("HTTP/1.1", "Content-Length: 5\r\n"), Ok(false));
    for value in ["x", "100-continue, x", "100-continue;a=b", "100"] {
        assert_eq!(
            expects("HTTP/1.1", &format!("Expect: {value}\r\nContent-Length: 5\r\n")),
            Err(417),
            "{value}"
        );
    }
}
