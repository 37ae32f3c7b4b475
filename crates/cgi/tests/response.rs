//! What programs write before their body, and what is made of it.

#![expect(clippy::unwrap_used, reason = "a head that is not read fails the test")]

use gwanmun_cgi::response::{Head, HeadCollector, HeadError, MAX_FIELDS, MAX_HEAD, parse};

/// The status, the reason and the lines.
fn document(head: &str) -> (u16, Option<String>, String) {
    let mut lines = Vec::new();
    match parse(head.as_bytes(), false, &mut lines).unwrap() {
        Head::Document { status, reason, .. } => {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (status, reason.map(text), text(&lines))
        }
        Head::LocalRedirect(target) => panic!("a redirect to {}", target.escape_ascii()),
    }
}

fn error(head: &str) -> HeadError {
    parse(head.as_bytes(), false, &mut Vec::new()).unwrap_err()
}

fn redirect(head: &str) -> Option<String> {
    let mut lines = Vec::new();
    match parse(head.as_bytes(), false, &mut lines).unwrap() {
        Head::LocalRedirect(target) => Some(String::from_utf8(target.to_vec()).unwrap()),
        Head::Document { .. } => None,
    }
}

#[test]
fn c31_c35_a_document_has_a_status_whatever_its_line_ends() {
    let expected = (200, None, "Content-Type: text/plain\r\nX-A: b\r\n".to_owned());
    assert_eq!(document("Content-Type: text/plain\r\nX-A:b\r\n\r\n"), expected);
    assert_eq!(document("Content-Type:text/plain\nX-A: b \n\n"), expected);
    assert_eq!(document("content-type: a/b\n\n").2, "content-type: a/b\r\n");
    assert_eq!(document("Status: 404 Not Here\nContent-Type: a/b\n\n").0, 404);
}

#[test]
fn c37_a_status_is_three_digits_with_or_without_a_reason() {
    assert_eq!(document("Status: 404 Not Here\n\n").1.as_deref(), Some("Not Here"));
    assert_eq!(document("STATUS:204\n\n"), (204, None, String::new()));
    for value in
        ["", "20", "2000", "abc", "404x", "100 Continue", "101", "199", "600", "999", "-10", "2 0"]
    {
        let head = format!("Status: {value}\nContent-Type: a/b\n\n");
        assert!(matches!(error(&head), HeadError::Status(_)), "{value}");
    }
}

#[test]
fn f32_a_status_line_counts_as_a_status() {
    assert_eq!(document("HTTP/1.1 404 Gone Fishing\r\nX-A: b\r\n\r\n").0, 404);
    assert_eq!(document("HTTP/1.0 200 OK\nStatus: 403 No\nX: y\n\n").0, 403);
    assert!(matches!(error("HTTP/1.1\r\n\r\n"), HeadError::Status(_)));
}

#[test]
fn c32_c64_a_path_alone_is_a_local_redirect() {
    assert_eq!(redirect("Location: /a/b?c=d\n\n").as_deref(), Some("/a/b?c=d"));
    assert_eq!(redirect("Location: /a\nContent-Type: text/html\n\n").as_deref(), Some("/a"));
    for head in [
        "Location: //other.example/\n\n",
        "Location: /a\nSet-Cookie: b=c\n\n",
        "Location: /a\nStatus: 302 Found\n\n",
        "Location: a\n\n",
    ] {
        assert_eq!(redirect(head), None, "{head}");
        assert_eq!(document(head).0, 302, "{head}");
    }
}

#[test]
fn c33_c34_a_url_is_the_clients_to_follow() {
    assert_eq!(document("Location: https://a.example/\n\n").0, 302);
    let (status, _, lines) =
        document("Location: https://a.example/\nStatus: 301 Moved\nContent-Type: a/b\n\n");
    assert_eq!(status, 301);
    assert!(lines.contains("Location: https://a.example/\r\n"));
}

#[test]
fn c35_f33_what_is_no_head_is_shown_and_not_sent() {
    for (head, shown) in [
        ("<html>\n<body>: x\n\n", "<html>"),
        ("Content-Type: a/b\n folded\n\n", " folded"),
        ("PHP Warning\nX: y\n\n", "PHP Warning"),
        (": x\n\n", ": x"),
    ] {
        assert_eq!(error(head), HeadError::Line(shown.as_bytes().to_vec()), "{head}");
    }
    assert_eq!(error("\nbody"), HeadError::Empty);
    assert_eq!(error("X-A: b\n\n"), HeadError::NoField);
    assert!(matches!(error("Content-Type: a\0b\n\n"), HeadError::Field(_)));
    assert!(matches!(error("Content-Type: a/b\nX-A: b\rX-C: d\n\n"), HeadError::Field(_)));
    assert!(error(&format!("{}\n\n", "x".repeat(500))).to_string().len() < 200);
}

#[test]
fn c65_a_field_of_cgi_comes_once_and_others_stay_apart() {
    assert_eq!(error("Status: 200\nStatus: 201\n\n"), HeadError::Repeated("Status"));
    assert_eq!(error("Location: /a\nlocation: /b\n\n"), HeadError::Repeated("Location"));
    assert_eq!(error("Content-Type: a\nContent-type: b\n\n"), HeadError::Repeated("Content-Type"));
    assert!(matches!(
        error("Content-Type: a\nContent-Length: 1\nContent-Length: 2\n\n"),
        HeadError::Field(_)
    ));
    let cookies = document("Content-Type: a/b\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n").2;
    assert_eq!(cookies, "Content-Type: a/b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
}

#[test]
fn c38_f35_f37_what_is_for_a_server_does_not_go_on() {
    let head = "Content-Type: a/b\nConnection: close\nKeep-Alive: x\nTransfer-Encoding: chunked\nTrailer: x\nTE: x\n\
                Upgrade: x\nProxy-Authenticate: x\nX-CGI-Thing: x\nX-Accel-Redirect: /x\nX-Accel-Buffering: no\n\
                X-Sendfile: /x\nX-LIGHTTPD-send-file: /x\nX-A: b\n\n";
    assert_eq!(document(head).2, "Content-Type: a/b\r\nX-A: b\r\n");
    let mut lines = Vec::new();
    parse(b"Content-Type: a/b\nX-LIGHTTPD-send-file: /x\n\n", true, &mut lines).unwrap();
    assert_eq!(lines, b"Content-Type: a/b\r\nX-Sendfile: /x\r\n");
}

#[test]
fn f36_the_length_is_known() {
    let Head::Document { facts, .. } =
        parse(b"Content-Type: a/b\nContent-Length: 12\nDate: x\n\n", false, &mut Vec::new())
            .unwrap()
    else {
        panic!()
    };
    assert_eq!((facts.content_length, facts.has_date), (Some(12), true));
}

#[test]
fn a_head_is_collected_wherever_it_is_cut() {
    for head in [
        "Content-Type: a/b\r\nX: y\r\n\r\n",
        "Content-Type: a/b\nX: y\n\n",
        "A: b\r\n\n",
        "\n",
        "\r\n",
    ] {
        let all = format!("{head}body\n\nmore");
        for size in 1..=all.len() {
            let mut collector = HeadCollector::default();
            let mut read = 0;
            let end = all.as_bytes().chunks(size).find_map(|piece| {
                let taken = collector.push(piece).unwrap();
                let end = taken.map(|taken| read + taken);
                read += piece.len();
                end
            });
            assert_eq!(end, Some(head.len()), "{head:?} by {size}");
            assert_eq!(collector.bytes(), head.as_bytes());
        }
    }
}

#[test]
fn c57_f30_a_head_has_bounds() {
    for piece in ["x".repeat(1000), format!("X: {}\n", "y".repeat(997))] {
        let mut collector = HeadCollector::default();
        let mut sent = 0;
        while collector.push(piece.as_bytes()).is_ok() {
            sent += piece.len();
            assert!(sent <= MAX_HEAD);
        }
        assert!(collector.bytes().len() <= MAX_HEAD);
        assert!(sent > MAX_HEAD - 2000);
    }
    let line = "X: y\n".repeat(MAX_FIELDS - 1);
    assert_eq!(document(&format!("Content-Type: a/b\n{line}\n")).0, 200);
    assert_eq!(error(&format!("Content-Type: a/b\n{line}X: y\n\n")), HeadError::TooManyFields);
}
