//! Header lines: H14–H21.

use gwanmun_http1::{Body, HeaderSpan, Limits, Rejection, RequestHead, parse_request};

fn parse(buf: &[u8]) -> Result<Option<RequestHead>, Rejection> {
    parse_request(buf, &Limits::default(), &mut Vec::new())
}

fn with_lines(lines: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n"].concat()
}

fn assert_refused(row: &str, buf: &[u8]) {
    match parse(buf) {
        Err(rejection) => assert_eq!(rejection.status(), 400, "{row}: {}", buf.escape_ascii()),
        other => panic!("{row}: {other:?} for {}", buf.escape_ascii()),
    }
}

#[test]
fn fields_come_in_order_with_trimmed_values() {
    let buf = b"GET / HTTP/1.1\r\nHost: h\r\nA:1\r\nb: \t 2 x\t \r\nA:\r\nC:  \r\nD: \xe9\r\n\r\nE: 5\r\n\r\n";
    let mut headers = vec![HeaderSpan { name: Default::default(), value: Default::default() }];
    let head = parse_request(buf, &Limits::default(), &mut headers).unwrap().unwrap();
    let fields: Vec<_> =
        headers.iter().map(|field| (field.name.of(buf), field.value.of(buf))).collect();
    assert_eq!(
        fields,
        [
            (&b"Host"[..], &b"h"[..]),
            (b"A", b"1"),
            (b"b", b"2 x"),
            (b"A", b""),
            (b"C", b""),
            (b"D", b"\xe9")
        ]
    );
    assert_eq!(&buf[head.len..], b"E: 5\r\n\r\n");
}

#[test]
fn a_refused_or_incomplete_head_leaves_no_headers() {
    let mut headers = Vec::new();
    let whole = with_lines(b"A: 1\r\n");
    parse_request(&whole, &Limits::default(), &mut headers).unwrap().unwrap();
    assert_eq!(headers.len(), 2);
    parse_request(&whole[..whole.len() - 1], &Limits::default(), &mut headers).unwrap();
    assert!(headers.is_empty());
}

#[test]
fn h14_bare_line_feeds() {
    for buf in [
        &b"GET / HTTP/1.1\nHost: h\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: h\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\nB: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: 1 \nB: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA:\nB: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: \nB: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\r\n\r\n",
        // Refused at once, though no empty line has come.
        b"GET /\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: h\n",
        b"GET / HTTP/1.1\r\nA: 1\r\n\n",
    ] {
        assert_refused("H14", buf);
    }
}

#[test]
fn h15_bare_carriage_returns() {
    for lines in [
        &b"A: 1\rB: 2\r\n"[..],
        b"A: \r1\r\n",
        b"A:\r1\r\n",
        b"A\r: 1\r\n",
        b"\rA: 1\r\n",
        b"A: 1\r\r\n",
        b"A: 1 \r \r\n",
    ] {
        assert_refused("H15", &with_lines(lines));
    }
    assert_refused("H15", b"GET / HTTP/1.1\rHost: h\r\r\n\r\n");
}

#[test]
fn h16_folded_lines() {
    for lines in [
        &b"A: 1\r\n 2\r\n"[..],
        b"A: 1\r\n\t2\r\n",
        b"A:\r\n 1\r\n",
        b"A: 1\r\n \r\n",
        b"A: 1\r\n B: 2\r\n",
    ] {
        assert_refused("H16", &with_lines(lines));
        assert_eq!(parse(&with_lines(lines)).unwrap_err().reason(), "folded header line");
    }
}

#[test]
fn h17_white_space_before_the_colon() {
    for lines in [
        &b"A : 1\r\n"[..],
        b"A\t: 1\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding\t: chunked\r\n",
    ] {
        assert_refused("H17", &with_lines(lines));
    }
}

#[test]
fn h18_white_space_before_the_first_header() {
    for buf in [
        &b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\n\tHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n",
    ] {
        assert_refused("H18", buf);
        assert_eq!(parse(buf).unwrap_err().reason(), "white space before the first header");
    }
}

#[test]
fn h19_names_are_tokens() {
    for lines in [
        &b": 1\r\n"[..],
        b"A\r\n",
        b"no colon\r\n",
        b"A\xe9: 1\r\n",
        b"A\0: 1\r\n",
        b"(A): 1\r\n",
        b"A,B: 1\r\n",
        b"A/B: 1\r\n",
        b"\"A\": 1\r\n",
    ] {
        assert_refused("H19", &with_lines(lines));
    }
    for byte in 0..=255u8 {
        let name_ok = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        // A colon ends the name instead.
        if byte != b':' {
            let parsed = parse(&with_lines(&[b"X", &[byte][..], b"Y: 1\r\n"].concat()));
            assert_eq!(parsed.is_ok(), name_ok, "H19: byte {byte:#x}");
        }
    }
}

#[test]
fn h20_no_control_character_in_a_value() {
    for byte in 0..=255u8 {
        let value_ok = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        for lines in
            [[b"A: x", &[byte][..], b"y\r\n"].concat(), [b"A:", &[byte][..], b"\r\n"].concat()]
        {
            // CR CR LF: the first one is the control character.
            assert_eq!(parse(&with_lines(&lines)).is_ok(), value_ok, "H20: byte {byte:#x}");
        }
    }
}

#[test]
fn h21_look_alike_names_mean_nothing_to_framing() {
    for line in [
        "Content_Length: 5",
        "Transfer.Encoding: chunked",
        "Transfer_Encoding: chunked",
        "X-Content-Length: 5",
        "Content-Lengt: 5",
    ] {
        let head = parse(&with_lines(format!("{line}\r\n").as_bytes())).unwrap().unwrap();
        assert_eq!(head.body, Body::None, "H21: {line}");
    }
}
