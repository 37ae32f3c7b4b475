//! Limits, incomplete heads and early refusals: H30, H31.

use gwanmun_http1::{Limits, RequestHead, parse_request};

const LIMITS: Limits = Limits { request_line: 100, header_bytes: 200, header_count: 5 };

fn parse(buf: &[u8], limits: &Limits) -> Result<Option<RequestHead>, u16> {
    parse_request(buf, limits, &mut Vec::new()).map_err(|rejection| rejection.status())
}

fn line_of(len: usize) -> String {
    format!("GET /{} HTTP/1.1", "a".repeat(len - "GET / HTTP/1.1".len()))
}

#[test]
fn h30_request_line_limit() {
    let default = Limits::default();
    assert!(
        parse(format!("{}\r\nHost: h\r\n\r\n", line_of(8192)).as_bytes(), &default)
            .unwrap()
            .is_some()
    );
    assert_eq!(
        parse(format!("{}\r\nHost: h\r\n\r\n", line_of(8193)).as_bytes(), &default),
        Err(414)
    );
    assert_eq!(
        parse(format!("{}\r\nHost: h\r\n\r\n", line_of(30_000)).as_bytes(), &default),
        Err(414)
    );

    let long = line_of(101);
    assert_eq!(parse(&long.as_bytes()[..100], &LIMITS), Ok(None));
    assert_eq!(parse(long.as_bytes(), &LIMITS), Err(414));
    assert_eq!(parse(format!("{}\r", line_of(100)).as_bytes(), &LIMITS), Ok(None));
    assert_eq!(parse(format!("{}\r\n", line_of(100)).as_bytes(), &LIMITS), Ok(None));
    assert_eq!(parse(format!("{long}\r\n").as_bytes(), &LIMITS), Err(414));
    // Leading empty lines do not count.
    assert_eq!(parse(format!("\r\n\r\n{}", line_of(100)).as_bytes(), &LIMITS), Ok(None));
}

#[test]
fn h31_header_bytes_limit() {
    let head_of = |bytes: usize| {
        let fixed = "Host: h\r\nA: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "a".repeat(bytes - fixed))
    };
    let fits = head_of(200);
    assert_eq!(parse(fits.as_bytes(), &LIMITS).unwrap().unwrap().len, fits.len());
    for len in 0..fits.len() {
        assert_eq!(parse(&fits.as_bytes()[..len], &LIMITS), Ok(None), "{len}");
    }
    let too_large = head_of(201);
    assert_eq!(parse(too_large.as_bytes(), &LIMITS), Err(431));
    assert_eq!(parse(&too_large.as_bytes()[..too_large.len() - 1], &LIMITS), Ok(None));
    assert_eq!(
        parse(&head_of(202).as_bytes()[.."GET / HTTP/1.1\r\n".len() + 201], &LIMITS),
        Err(431)
    );
    assert_eq!(parse(head_of(100_000).as_bytes(), &Limits::default()), Err(431));
    assert_eq!(parse(&head_of(100_000).as_bytes()[..50_000], &Limits::default()), Err(431));
    // The body does not count.
    let with_body = format!("{fits}{}", "b".repeat(1000));
    assert_eq!(parse(with_body.as_bytes(), &LIMITS).unwrap().unwrap().len, fits.len());
}

#[test]
fn h31_header_count_limit() {
    let head_of = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "a:\r\n".repeat(count));
    for (count, limit) in
        [(5, 5), (32, 100), (33, 100), (100, 100), (31, 32), (32, 32), (1000, 4000), (0, 0)]
    {
        let limits = Limits { header_count: limit, ..Limits::default() };
        let head = head_of(count);
        let mut headers = Vec::new();
        assert!(
            parse_request(head.as_bytes(), &limits, &mut headers).unwrap().is_some(),
            "{count} of {limit}"
        );
        assert_eq!(headers.len(), count);
    }
    for (count, limit) in [(6, 5), (33, 32), (34, 33), (101, 100), (1, 0), (4000, 100)] {
        let limits = Limits { header_count: limit, ..Limits::default() };
        let head = head_of(count);
        assert_eq!(parse(head.as_bytes(), &limits), Err(431), "{count} of {limit}");
        assert_eq!(
            parse(&head.as_bytes()[..head.len() - 2], &limits),
            Err(431),
            "{count} of {limit}, incomplete"
        );
    }
}

#[test]
fn unlimited_limits_do_not_overflow() {
    let limits =
        Limits { request_line: usize::MAX, header_bytes: usize::MAX, header_count: usize::MAX };
    let head = format!("GET / HTTP/1.0\r\n{}\r\n", "a:\r\n".repeat(500));
    assert!(parse(head.as_bytes(), &limits).unwrap().is_some());
    assert_eq!(parse(&head.as_bytes()[..head.len() - 1], &limits), Ok(None));
}

#[test]
fn an_incomplete_head_that_is_bad_is_refused_at_once() {
    for (buf, status) in [
        (&b"\x16\x03\x01\x02"[..], 400),
        (b"\x16", 400),
        (b"\0", 400),
        (b" ", 400),
        (b"G{", 400),
        (b"GET / HTTP/1.2x\r\n", 400),
        (b"GET \\ HTTP/1.1\r\n", 400),
        (b"GET /\r\n", 400),
        (b"TRACE / HTTP/1.1\r\n", 405),
        (b"CONNECT h:1 HTTP/1.1\r\n", 501),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 501),
        (b"GET / HTTP/1.1\r\nHost: h\n", 400),
    ] {
        assert_eq!(parse(buf, &Limits::default()), Err(status), "{}", buf.escape_ascii());
    }
}

#[test]
fn a_head_means_the_same_however_it_arrives() {
    let heads: [&[u8]; 4] = [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        b"POST http://h?q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: \r\nY:\t1\t\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    for buf in heads {
        let whole = parse(buf, &Limits::default()).unwrap().unwrap();
        for len in 0..buf.len() {
            let expected = (len >= whole.len).then_some(whole);
            assert_eq!(
                parse(&buf[..len], &Limits::default()),
                Ok(expected),
                "{}",
                buf[..len].escape_ascii()
            );
        }
    }
}
