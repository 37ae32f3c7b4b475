//! Response heads: status lines, chunk heads, and the check of an application's header lines (H84).

use gwanmun_http1::response::{
    BlockFacts, body_allowed, check_block, check_trailers, reason, write_chunk_head,
    write_status_line,
};

#[test]
fn status_lines() {
    for (status, expected) in [
        (200, "HTTP/1.1 200 OK\r\n"),
        (404, "HTTP/1.1 404 Not Found\r\n"),
        (418, "HTTP/1.1 418 I'm a teapot\r\n"),
        (299, "HTTP/1.1 299 \r\n"),
        (999, "HTTP/1.1 999 \r\n"),
    ] {
        let mut out = b"before ".to_vec();
        write_status_line(&mut out, status);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before {expected}"));
    }
    assert_eq!(reason(503), "Service Unavailable");
    assert_eq!(reason(599), "");
}

#[test]
fn every_status_line_has_its_own_number_and_reason() {
    for status in 100..=999 {
        let mut out = Vec::new();
        write_status_line(&mut out, status);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("HTTP/1.1 {status} {}\r\n", reason(status))
        );
    }
}

#[test]
fn chunk_heads() {
    for len in [1, 9, 10, 15, 16, 255, 256, 4096, 65_520, usize::MAX] {
        let mut out = Vec::new();
        write_chunk_head(&mut out, len);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{len:x}\r\n"));
    }
}

#[test]
fn statuses_without_a_body() {
    let without: Vec<u16> = (100..600).filter(|&status| !body_allowed(status)).collect();
    let expected: Vec<u16> = (100..200).chain([204, 304]).collect();
    assert_eq!(without, expected);
}

#[test]
fn facts_of_a_block() {
    assert_eq!(check_block(b""), Ok(BlockFacts::default()));
    assert_eq!(
        check_block(b"content-type: text/html\r\nX-Empty:\r\nX-Tab:\ta\tb\xe9 \r\nContent-Length:  12 \r\nDATE: x\r\nServer:y\r\n"),
        Ok(BlockFacts { content_length: Some(12), has_date: true, has_server: true, has_content_type: true, has_request_id: false, has_hsts: false })
    );
}

#[test]
fn connection_level_headers_are_refused() {
    for name in [
        "Connection",
        "connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "proxy-authorization",
        "Proxy-Status",
        "TE",
        "te",
        "Trailer",
        "Transfer-Encoding",
        "TRANSFER-ENCODING",
        "Upgrade",
    ] {
        let error =
            check_block(format!("A: b\r\n{name}: x\r\n").as_bytes()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("connection"), "{error}");
    }
    assert!(check_block(b"Proxy: x\r\nTEx: y\r\nUpgrade-Insecure: 1\r\n").is_ok());
}

#[test]
fn h84_no_block_splits_a_response() {
    for (block, word) in [
        (&b"A: b\r\n\r\nbody"[..], "colon"),
        (b"A: b\r\n\r\n", "colon"),
        (b"A: b\nB: c\r\n", "CRLF"),
        (b"A: b\rB: c\r\n", "CRLF"),
        (b"A: b", "CRLF"),
        (b"A: b\r", "CRLF"),
        (b"A: b\0c\r\n", "control"),
        (b"A: b\x7f\r\n", "control"),
        (b"A: \x1b[0m\r\n", "control"),
        (b"A: b\r\n c\r\n", "folding"),
        (b"\tA: b\r\n", "folding"),
        (b"A : b\r\n", "token"),
        (b": b\r\n", "token"),
        (b"A\xc3\xa9: b\r\n", "token"),
        (b"A\0: b\r\n", "token"),
        (b"nothing\r\n", "colon"),
        (b"Name", "colon"),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", "more than one"),
        (b"Content-Length: five\r\n", "decimal"),
        (b"Content-Length: -1\r\n", "decimal"),
        (b"Content-Length:\r\n", "decimal"),
    ] {
        let error = check_block(block).expect_err(&block.escape_ascii().to_string()).to_string();
        assert!(error.contains(word), "{}: {error}", block.escape_ascii());
    }
}

#[test]
fn trailers_are_fields_that_need_not_be_known_before() {
    for block in [&b""[..], b"X-Sum: 1\r\n", b"Server-Timing: db;dur=5\r\nETag: \"a\"\r\n"] {
        assert_eq!(check_trailers(block), Ok(()));
    }
    for (block, word) in [
        (&b"Content-Length: 5\r\n"[..], "too late"),
        (b"X-A: 1\r\nset-cookie: a=b\r\n", "too late"),
        (b"Transfer-Encoding: chunked\r\n", "connection"),
        (b"X-A: 1\r\n\r\nHTTP/1.1 200 OK\r\n", "colon"),
        (b"X-A: a\0b\r\n", "control"),
        (b"X-A: 1", "CRLF"),
    ] {
        let error = check_trailers(block).unwrap_err().to_string();
        assert!(error.contains(word), "{}: {error}", block.escape_ascii());
    }
}

#[test]
fn a_control_character_is_refused_anywhere_in_a_block() {
    for byte in 0..=255u8 {
        let ok = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        assert_eq!(
            check_block(&[b"A: x", &[byte][..], b"y\r\n"].concat()).is_ok(),
            ok,
            "{byte:#x}"
        );
    }
}

#[test]
fn an_error_shows_the_header_escaped_and_cut() {
    let error = check_block(b"X\x1b[31m: a\r\n").unwrap_err().to_string();
    assert!(error.contains("\"X\\x1b[31m\"") && !error.contains('\x1b'), "{error}");
    let long = [&b"("[..], &b"x".repeat(10_000), b": a\r\n"].concat();
    assert!(check_block(&long).unwrap_err().to_string().len() < 300);
}
