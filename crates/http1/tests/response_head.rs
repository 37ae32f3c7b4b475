//! Response heads that an HTTP/1 server wrote, and what of them is relayed.

use gwanmun_http1::{ResponseHeadError, parse_response_head};

/// Status, reason and relayed lines.
fn relayed(head: &str) -> (u16, String, String) {
    let mut lines = Vec::new();
    let parsed = parse_response_head(head.as_bytes(), &mut lines).expect("a good head");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (parsed.status, text(parsed.reason), text(&lines))
}

fn refused(head: &[u8]) -> ResponseHeadError {
    parse_response_head(head, &mut Vec::new()).expect_err(&head.escape_ascii().to_string())
}

#[test]
fn status_and_reason_stay_as_they_were_written() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.0 404 No Such Thing", 404, "No Such Thing"),
        ("HTTP/1.1 999 ", 999, ""),
        ("HTTP/1.1 100", 100, ""),
        ("HTTP/1.1 200  two  spaces ", 200, " two  spaces "),
    ] {
        assert_eq!(relayed(&format!("{line}\r\n\r\n")), (status, reason.to_owned(), String::new()));
    }
}

#[test]
fn end_to_end_fields_are_relayed_in_order_and_as_they_are() {
    let lines = "Set-Cookie: a=1\r\nx-Case:  odd \r\nset-cookie: b=2\r\nProxy-Authenticate: Basic\r\nContent-Length: 5\r\n";
    let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    assert_eq!(relayed(&head).2, lines);
    let mut out = b"before\r\n".to_vec();
    let parsed = parse_response_head(head.as_bytes(), &mut out).unwrap();
    assert_eq!(parsed.facts.content_length, Some(5));
    assert!(!parsed.close && !parsed.chunked);
    assert!(out.starts_with(b"before\r\nSet-Cookie"));
}

#[test]
fn fields_of_the_connection_are_left_out() {
    let head = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nA: b\r\nTE: x\r\nTrailer: y\r\n\
                Upgrade: h2c\r\nProxy-Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    // RFC 9110 §6.6.2: Trailer is the message's.
    assert_eq!(relayed(head).2, "A: b\r\nTrailer: y\r\n");
    assert!(parse_response_head(head.as_bytes(), &mut Vec::new()).unwrap().chunked);
}

#[test]
fn fields_that_connection_names_are_left_out_wherever_they_stand() {
    let head = "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nA: b\r\nConnection: x-hop, Content-Length,, X-Other\r\nContent-Length: 3\r\nx-other: 2\r\n\r\n";
    assert_eq!(relayed(head).2, "A: b\r\nContent-Length: 3\r\n");
}

#[test]
fn connection_close_is_told() {
    for (value, close) in [
        ("close", true),
        ("Keep-Alive, CLOSE", true),
        ("keep-alive", false),
        ("closed", false),
        ("", false),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nConnection: {value}\r\n\r\n");
        assert_eq!(
            parse_response_head(head.as_bytes(), &mut Vec::new()).unwrap().close,
            close,
            "{value}"
        );
    }
}

#[test]
fn a_length_beside_transfer_encoding_is_left_out() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nA: b\r\nContent-Length: 3\r\n\r\n",
    ] {
        let mut lines = Vec::new();
        let parsed = parse_response_head(head.as_bytes(), &mut lines).unwrap();
        assert_eq!((parsed.facts.content_length, &lines[..]), (None, &b"A: b\r\n"[..]));
    }
}

#[test]
fn a_bad_status_line_is_refused() {
    for line in [
        "",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 2000 High\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200\tOK\r\n\r\n",
        "HTTP/1.1 200 a\rb\r\n\r\n",
        "HTTP/1.1 200 a\0b\r\n\r\n",
    ] {
        assert_eq!(refused(line.as_bytes()), ResponseHeadError::StatusLine, "{line:?}");
    }
}

#[test]
fn a_bad_line_is_refused() {
    for line in [
        "A b\r\n",
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\n",
        "A: b\rc\r\n",
        "A: \x01\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: +1\r\n",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{line}\r\n");
        assert!(matches!(refused(head.as_bytes()), ResponseHeadError::Line(_)), "{line:?}");
    }
}

#[test]
fn only_chunked_is_a_transfer_coding() {
    for value in ["gzip", "gzip, chunked", "chunked, chunked", "identity", ""] {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {value}\r\n\r\n");
        assert_eq!(refused(head.as_bytes()), ResponseHeadError::TransferEncoding, "{value}");
    }
    let twice =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(twice.as_bytes()), ResponseHeadError::TransferEncoding);
}

#[test]
fn the_head_ends_with_its_empty_line_and_nothing_else() {
    for head in [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n",
        "HTTP/1.1 200 OK\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nA: b\r\n\r\n\r\n",
    ] {
        assert_eq!(refused(head.as_bytes()), ResponseHeadError::End, "{head:?}");
    }
}
