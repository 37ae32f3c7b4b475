//! The chunked coding: H8–H13. Every input is decoded whole, split at every position, and byte by byte.

use gwanmun_http1::{Chunk, ChunkedDecoder};

/// Body and bytes consumed, `None` while it has not ended; or the status and how far it was right.
type Outcome = Result<(Vec<u8>, Option<usize>), u16>;

fn decode_pieces(pieces: &[&[u8]]) -> Outcome {
    let mut decoder = ChunkedDecoder::new();
    let (mut body, mut consumed) = (Vec::new(), 0);
    for &piece in pieces {
        let mut rest = piece;
        loop {
            let (used, chunk) = decoder.decode(rest).map_err(|rejection| rejection.status())?;
            rest = &rest[used..];
            consumed += used;
            match chunk {
                Chunk::Data(data) => {
                    assert!(!data.is_empty());
                    body.extend_from_slice(data);
                }
                Chunk::NeedMore => {
                    assert!(rest.is_empty());
                    break;
                }
                Chunk::Done => return Ok((body, Some(consumed))),
            }
        }
    }
    Ok((body, None))
}

#[track_caller]
fn decode(input: &[u8]) -> Outcome {
    let whole = decode_pieces(&[input]);
    for at in 0..=input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(
            decode_pieces(&[first, second]),
            whole,
            "split at {at}: {}",
            input.escape_ascii()
        );
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(decode_pieces(&bytes), whole, "byte by byte: {}", input.escape_ascii());
    whole
}

#[track_caller]
fn assert_body(input: &[u8], body: &[u8]) {
    assert_eq!(decode(input), Ok((body.to_vec(), Some(input.len()))), "{}", input.escape_ascii());
    let with_more = [input, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(
        decode(&with_more),
        Ok((body.to_vec(), Some(input.len()))),
        "{}",
        with_more.escape_ascii()
    );
    for len in 0..input.len() {
        assert!(
            matches!(decode_pieces(&[&input[..len]]), Ok((_, None))),
            "{}",
            input[..len].escape_ascii()
        );
    }
}

#[track_caller]
fn assert_refused(row: &str, status: u16, input: &[u8]) {
    assert_eq!(decode(input), Err(status), "{row}: {}", input.escape_ascii());
}

#[test]
fn bodies() {
    assert_body(b"0\r\n\r\n", b"");
    assert_body(b"5\r\nhello\r\n0\r\n\r\n", b"hello");
    assert_body(b"5\r\nhello\r\n00A\r\n, chunked!\r\n0\r\n\r\n", b"hello, chunked!");
    assert_body(b"4\r\n\r\n\r\n\r\n000\r\n\r\n", b"\r\n\r\n");
    assert_body(
        b"a\r\n0123456789\r\nB\r\n0\r\n\r\n567890\r\n0000000000000000\r\n\r\n",
        b"01234567890\r\n\r\n567890",
    );
}

#[test]
fn h8_chunk_sizes() {
    for size in [
        "", "0x5", "+5", "-1", "1_0", " 5", "5 ", "\t5", "5\t", "5 ;a", "g", "5.", "\"5\"", "5,",
        "\u{665}", "\0", "5\0",
    ] {
        assert_refused("H8", 400, format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes());
    }
    assert_refused("H8", 400, b"00000000000000005\r\nhello\r\n0\r\n\r\n");
    assert_refused("H8", 400, b"10000000000000005\r\nhello\r\n0\r\n\r\n");
    assert_refused("H8", 400, b"8000000000000000\r\nhello");
    assert_refused("H8", 400, b"ffffffffffffffff\r\nhello");
    assert_eq!(decode(b"7fffffffffffffff\r\nhello"), Ok((b"hello".to_vec(), None)));
    // No chunk line at all, or a second request in its place.
    assert_refused("H8", 400, b"\r\n0\r\n\r\n");
    assert_refused("H8", 400, b"GET / HTTP/1.1\r\n");
}

#[test]
fn h9_line_ends() {
    for input in [
        &b"5\nhello\r\n0\r\n\r\n"[..],
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\n\rX",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a\r\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\nX: 1\r\r\n",
    ] {
        assert_refused("H9", 400, input);
    }
}

#[test]
fn h10_extensions() {
    for extension in [
        ";a",
        ";a=b",
        ";a;b=c",
        ";a=\"b\"",
        ";a=\"\"",
        "; a = b ; c",
        ";a=\" \\\"\\\\;\t\";b",
        ";!#$%&'*+-.^_`|~=~",
        ";a=\"\\ \"",
    ] {
        assert_body(format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n").as_bytes(), b"hello");
    }
    for extension in [
        ";",
        ";;",
        ";a;",
        ";a=",
        ";=b",
        "; ",
        ";a ",
        ";a=b ",
        ";a=\"b\" ",
        ";a=\"b",
        ";a=\"b\"c",
        ";a=b\"c\"",
        ";a b",
        ";a=b c",
        ";a=b=c",
        ";a@",
        ";a=@",
        ";a\0",
        ";a=\"\0\"",
        ";a=\"\\\0\"",
        ";a\r;b",
        ";a=\"\r\n\"",
        ";a=\"\\\r\n\"",
        ";a\x7f",
        ";\u{e9}",
        ";a=\"b\"=",
        "=a",
        ";a==",
    ] {
        assert_refused("H10", 400, format!("5{extension}\r\nhello\r\n0\r\n\r\n").as_bytes());
    }
}

#[test]
fn h11_chunk_line_limit() {
    let line = |len: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(len - 2));
    assert_body(line(256).as_bytes(), b"hello");
    assert_refused("H11", 400, line(257).as_bytes());
    assert_refused("H11", 400, line(10_000).as_bytes());
    let quoted = format!("5;a=\"{}\"\r\n", "\\a".repeat(200));
    assert_refused("H11", 400, quoted.as_bytes());
}

#[test]
fn h11_extensions_may_not_outweigh_the_data() {
    // As a signed upload has them: about 90 bytes for each 8 KiB.
    let piece = format!("2000;chunk-signature={}\r\n{}\r\n", "f".repeat(64), "d".repeat(8192));
    let (body, _) = decode_pieces(&[piece.repeat(5000).as_bytes()]).unwrap();
    assert_eq!(body.len(), 5000 * 8192);

    let flood = format!("1;{}\r\nd\r\n", "a".repeat(200)).repeat(10_000);
    assert_eq!(decode_pieces(&[flood.as_bytes()]), Err(400), "H11");
    let padded = "0000000000000004\r\ndata\r\n".repeat(50_000);
    assert_eq!(decode_pieces(&[padded.as_bytes()]), Err(400), "H11");
}

#[test]
fn h13_one_byte_chunks() {
    let few = "1\r\nd\r\n".repeat(10_000);
    assert_eq!(decode_pieces(&[few.as_bytes()]).unwrap().0.len(), 10_000);
    let flood = "1\r\nd\r\n".repeat(100_000);
    assert_eq!(decode_pieces(&[flood.as_bytes()]), Err(400), "H13");
    // Paid for by data before it.
    let paid = format!("100000\r\n{}\r\n{flood}", "d".repeat(0x100000));
    assert_eq!(decode_pieces(&[paid.as_bytes()]).unwrap().0.len(), 0x100000 + 100_000);
}

#[test]
fn h12_trailers_are_checked_and_dropped() {
    assert_body(
        b"5\r\nhello\r\n0\r\nContent-Length: 3\r\nHost: x\r\nX:\r\nY: \t\xe9 \r\n\r\n",
        b"hello",
    );
    for trailer in [
        "no colon\r\n",
        ": 1\r\n",
        "A : 1\r\n",
        " A: 1\r\n",
        "A: 1\r\n 2\r\n",
        "A: \0\r\n",
        "A: \x7f\r\n",
        "A\u{e9}: 1\r\n",
        "A: 1\rB: 2\r\n",
        "A: 1\n",
    ] {
        assert_refused("H12", 400, format!("0\r\n{trailer}\r\n").as_bytes());
    }
}

#[test]
fn h12_trailer_limits() {
    let body = |count: usize| format!("0\r\n{}\r\n", "a:\r\n".repeat(count));
    assert!(decode_pieces(&[body(100).as_bytes()]).is_ok());
    assert_eq!(decode_pieces(&[body(101).as_bytes()]), Err(431));
    let body = |bytes: usize| format!("0\r\na:{}\r\n\r\n", "x".repeat(bytes - 4));
    assert!(decode_pieces(&[body(16_384).as_bytes()]).is_ok());
    assert_eq!(decode_pieces(&[body(16_385).as_bytes()]), Err(431));
}

#[test]
fn nothing_is_consumed_after_the_end_and_errors_stay() {
    let mut decoder = ChunkedDecoder::new();
    assert_eq!(decoder.decode(b"0\r\n\r\nrest"), Ok((5, Chunk::Done)));
    assert_eq!(decoder.decode(b"rest"), Ok((0, Chunk::Done)));
    assert_eq!(decoder.decode(b""), Ok((0, Chunk::Done)));

    let mut decoder = ChunkedDecoder::new();
    let error = decoder.decode(b"x").unwrap_err();
    assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(error));
    assert_eq!(decoder.decode(b""), Err(error));
}
